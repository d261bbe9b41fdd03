"""The loop: SGD with a step schedule on cross-entropy, resumable at any batch (paper, D.2)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.features import FrozenFeatures
from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.models import freeze_backbone
from pretraining_gain.compute.pipeline import Batch, ImageSet, training_batches
from pretraining_gain.compute.progress import Progress
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.plan.recipes import Recipe, lr_at
from pretraining_gain.plan.runs import Run

History = list[dict[str, float]]


@dataclass
class Tally:
    """An epoch so far: batches and images of all processes; this process's own sums of loss and of correct images (as
    seen, augmented), (2,) float64; seconds by the clock, and of the device (see `Machine.device_seconds`)."""

    batches: int = 0
    images: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    wall_time_s: float = 0.0
    device_time_s: float = 0.0


def train_run(
    run: Run, model: nn.Module, data: ImageSet, machine: Machine, checkpoint: Checkpoint
) -> tuple[nn.Module, History]:
    """`train` as the run's recipe says, under a progress bar."""
    with Progress(f"{run.stage} {run.run_id}", run.recipe.epochs, machine.speaks) as progress:
        return train(
            model,
            data,
            run.recipe,
            seed=run.seed,
            machine=machine,
            checkpoint=checkpoint,
            on_epoch=progress.epoch_done,
        )


def train(
    model: nn.Module,
    data: ImageSet,
    recipe: Recipe,
    *,
    seed: int,
    machine: Machine,
    checkpoint: Checkpoint,
    on_epoch: Callable[[dict[str, float]], None] = lambda epoch: None,
) -> tuple[nn.Module, History]:
    """Train `model` on `data`; returns it on the machine's device, with one entry an epoch.

    Every batch is a function of (seed, epoch, its number) alone. The state is kept in `checkpoint` from time to time, at
    the end, and when the process is told to end, which raises `Interrupted`. If a state is there, training goes on from
    it and ends, on a CPU, with the same weights bit for bit. Several processes share each batch and take the step of the
    whole batch. With a frozen backbone only the head is trained, on the features of `recipe.frozen_views` views if it
    has any. Raises `InputError` when the loss is no longer finite.
    """
    trained, batches = _what_is_trained(
        model.to(machine.accelerator.device), data.near(machine.device), recipe, seed, machine
    )
    trainable = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimizer = machine.optimizer(trainable, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    trained, optimizer = machine.prepare(trained, optimizer)
    history, tally = _resume(checkpoint, trained, optimizer, machine)
    for epoch in range(len(history), recipe.epochs):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(recipe, epoch)
        trained.train(not (recipe.freeze_backbone and recipe.frozen_batchnorm == "eval"))
        for _ in train_one_epoch(trained, optimizer, partial(batches, epoch), machine, tally):
            if machine.may_pause(tally.batches):
                due, told = machine.agreed(checkpoint.is_due()), machine.agreed(machine.told_to_end())
                if due or told:
                    _keep(checkpoint, trained, optimizer, history, tally, machine)
                if told:
                    raise Interrupted(f"told to end in epoch {epoch}, after batch {tally.batches}; the state is kept")
        history.append({"epoch": epoch, "lr": lr_at(recipe, epoch)} | _means(tally, machine))
        if not math.isfinite(history[-1]["loss"]):
            raise InputError(
                f"training diverged in epoch {epoch}: loss is {history[-1]['loss']}; a smaller lr than {recipe.lr} may help"
            )
        tally = Tally()
        on_epoch(history[-1])
    _keep(checkpoint, trained, optimizer, history, tally, machine)
    return model, history


def _what_is_trained(
    model: nn.Module, data: ImageSet, recipe: Recipe, seed: int, machine: Machine
) -> tuple[Any, Callable[[int, int], Iterator[Batch]]]:
    """The part of `model` that learns, and its batches as a function of (epoch, first batch)."""
    if recipe.freeze_backbone:
        freeze_backbone(model)
    if recipe.frozen_views:
        return model.fc, FrozenFeatures(model, data, recipe, seed, machine).batches

    def batches(epoch: int, first: int) -> Iterator[Batch]:
        return training_batches(data, recipe, seed, epoch, machine.device, first=first, part=machine.part)

    return model, batches


def train_one_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Iterator[Batch]],
    machine: Machine,
    tally: Tally,
) -> Iterator[None]:
    """One pass over what `batches` gives, from batch `tally.batches` on; brings `tally` up to date and pauses after each
    step."""
    tally.sums = tally.sums.to(machine.accelerator.device)
    wall, device = time.perf_counter() - tally.wall_time_s, machine.device_seconds() - tally.device_time_s
    for inputs, labels, n_images in batches(tally.batches):
        with machine.accelerator.autocast():
            logits = model(inputs)
            loss_sum = F.cross_entropy(logits, labels, reduction="sum")
        optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over processes, so each process's sum counts for its share of the whole batch.
        machine.accelerator.backward(loss_sum * (machine.part[1] / n_images))
        optimizer.step()
        tally.sums += torch.stack([loss_sum.detach(), (logits.argmax(1) == labels).sum()])
        tally.batches += 1
        tally.images += n_images
        tally.wall_time_s = time.perf_counter() - wall
        tally.device_time_s = machine.device_seconds() - device
        yield


def _means(tally: Tally, machine: Machine) -> dict[str, float]:
    loss_sum, correct, device_time_s = machine.total([*tally.sums, tally.device_time_s])
    return {
        "loss": loss_sum / tally.images,
        "top1": correct / tally.images,
        "wall_time_s": round(tally.wall_time_s, 3),
        "device_time_s": round(device_time_s, 3),
    }


def _keep(
    checkpoint: Checkpoint, model: nn.Module, optimizer: Any, history: History, tally: Tally, machine: Machine
) -> None:
    """Write the state, the same whatever the number of processes."""
    *sums, device_time_s = machine.total([*tally.sums, tally.device_time_s])
    if machine.speaks:
        whole = asdict(tally) | {"sums": torch.tensor(sums, dtype=torch.float64), "device_time_s": device_time_s}
        state = {"model": machine.accelerator.unwrap_model(model).state_dict(), "optimizer": optimizer.state_dict()}
        checkpoint.write(state | {"history": history, "tally": whole})


def _resume(checkpoint: Checkpoint, model: nn.Module, optimizer: Any, machine: Machine) -> tuple[History, Tally]:
    """Load the kept state into model and optimizer; returns history and tally, empty ones when nothing is kept."""
    state = checkpoint.read()
    if state is None:
        return [], Tally()
    try:
        machine.accelerator.unwrap_model(model).load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"checkpoint {checkpoint.path} is of another network ({' '.join(str(error).split())[:120]}); "
            "delete it to start this run afresh"
        ) from None
    tally = Tally(**state["tally"])
    if not machine.speaks:  # what was counted before is counted once
        tally.sums, tally.device_time_s = torch.zeros_like(tally.sums), 0.0
    return state["history"], tally
