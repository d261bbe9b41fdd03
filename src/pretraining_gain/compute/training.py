"""Train with SGD and a step schedule on cross-entropy, resumable at any batch (paper, D.2)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.features import FrozenFeatures
from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.models import freeze_backbone, head_of
from pretraining_gain.compute.pipeline import Batch, ImageSet, seed_from, training_batches
from pretraining_gain.compute.progress import Progress
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.runs import Run

History = list[dict[str, float]]


@dataclass
class Tally:
    """Count the current epoch: batches and images of all processes; this process's sums of loss and of correct images
    (augmented), (2,) float64; seconds of wall time, and of the device (see `Machine.device_seconds`)."""

    batches: int = 0
    images: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    wall_time_s: float = 0.0
    device_time_s: float = 0.0


def train_run(
    run: Run, model: nn.Module, data: ImageSet, machine: Machine, checkpoint: Checkpoint
) -> tuple[nn.Module, History]:
    """Train as the run's recipe says, under a progress bar."""
    with Progress(f"{run.stage} {run.run_id}", run.recipe.epochs, machine.is_main) as progress:
        return train(model, data, run.recipe, seed=run.seed, machine=machine, checkpoint=checkpoint, on_epoch=progress.epoch_done)


@torch.random.fork_rng(devices=[])
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
    """Train `model` on `data`; return it on the machine's device, and one history entry per epoch.

    Each batch, and the dropout on it, is a function of (seed, epoch, its number) alone. `checkpoint` keeps the state from
    time to time, at the end, and on SIGTERM, which raises `Interrupted`. Training resumes from a kept state and ends, on a
    CPU, with the same weights bit for bit. Several processes share each batch and take the step of the whole batch. With a
    frozen backbone only the head is trained, on cached features if `recipe.frozen_views` is not 0. Raises `InputError` when
    the loss is not finite.
    """
    trained, batches = _trained_part(model.to(machine.accelerator.device), data.near(machine.device), recipe, seed, machine)
    optimizer = build_optimizer((weight for weight in trained.parameters() if weight.requires_grad), recipe)
    in_training = not (recipe.freeze_backbone and recipe.frozen_batchnorm == "eval")
    trained, optimizer = machine.prepare(trained.train(in_training), optimizer)
    history, tally = _resume(checkpoint, trained, optimizer, machine)
    for epoch in range(len(history), recipe.epochs):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(recipe, epoch)
        trained.train(in_training)
        for _ in train_one_epoch(trained, optimizer, partial(batches, epoch), machine, tally):
            if machine.may_pause(tally.batches):
                due, stopping = machine.agree(checkpoint.is_due()), machine.agree(machine.got_sigterm())
                if due or stopping:
                    _keep(checkpoint, trained, optimizer, history, tally, machine)
                if stopping:
                    raise Interrupted(f"stopped in epoch {epoch}, after batch {tally.batches}; the state is kept")
        history.append({"epoch": epoch, "lr": lr_at(recipe, epoch)} | _means(tally, machine))
        if not math.isfinite(history[-1]["loss"]):
            loss = history[-1]["loss"]
            raise InputError(f"training diverged in epoch {epoch}: loss is {loss}; a smaller lr than {recipe.lr} may help")
        tally = Tally()
        on_epoch(history[-1])
    _keep(checkpoint, trained, optimizer, history, tally, machine)
    return model, history


def build_optimizer(weights: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.SGD:
    """Build SGD with momentum and weight decay (paper, D.2), as one fused kernel."""
    return torch.optim.SGD(weights, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True)


def lr_at(recipe: Recipe, epoch: int) -> float:
    """Return the learning rate in `epoch`, from 0: divided by 10 every `lr_step_epochs` (paper, D.2)."""
    return recipe.lr * 0.1 ** (epoch // recipe.lr_step_epochs)


def _trained_part(
    model: nn.Module, data: ImageSet, recipe: Recipe, seed: int, machine: Machine
) -> tuple[Any, Callable[[int, int], Iterator[Batch]]]:
    """Return the part of `model` that learns, and its batches as a function of (epoch, first batch)."""
    if recipe.freeze_backbone:
        freeze_backbone(model)
    if recipe.frozen_views:
        return head_of(model)[1], FrozenFeatures(model, data, recipe, seed, machine).batches

    generators = [torch.default_generator, *torch.cuda.default_generators]  # the second are none before CUDA is used

    def batches(epoch: int, first: int) -> Iterator[Batch]:
        found = training_batches(data, recipe, seed, epoch, machine.device, first=first, part=machine.part)
        for number, batch in enumerate(found, first):
            for generator in generators:  # of dropout, where a network has it; `torch.manual_seed` takes a hundred times longer
                generator.manual_seed(seed_from(seed, epoch, number, 1 + machine.part[0]))
            yield batch

    return model, batches


def train_one_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Iterator[Batch]],
    machine: Machine,
    tally: Tally,
) -> Iterator[None]:
    """Take one step per batch from batch `tally.batches` on; update `tally` and yield after each step."""
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
    times = {"wall_time_s": round(tally.wall_time_s, 3), "device_time_s": round(device_time_s, 3)}
    return {"loss": loss_sum / tally.images, "top1": correct / tally.images} | times


def _keep(
    checkpoint: Checkpoint, model: nn.Module, optimizer: Any, history: History, tally: Tally, machine: Machine
) -> None:
    """Write the state, the same whatever the number of processes."""
    *sums, device_time_s = machine.total([*tally.sums, tally.device_time_s])
    if machine.is_main:
        whole = asdict(tally) | {"sums": torch.tensor(sums, dtype=torch.float64), "device_time_s": device_time_s}
        state = {"model": machine.accelerator.unwrap_model(model).state_dict(), "optimizer": optimizer.state_dict()}
        checkpoint.write(state | {"history": history, "tally": whole})


def _resume(checkpoint: Checkpoint, model: nn.Module, optimizer: Any, machine: Machine) -> tuple[History, Tally]:
    """Load the kept state into model and optimizer; return history and tally, empty where nothing is kept."""
    state = checkpoint.read()
    if state is None:
        return [], Tally()
    try:
        machine.accelerator.unwrap_model(model).load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"checkpoint {checkpoint.path} is of another network ({reason}); delete it to start again") from None
    tally = Tally(**state["tally"])
    if not machine.is_main:  # rank 0 holds the sums of all
        tally.sums, tally.device_time_s = torch.zeros_like(tally.sums), 0.0
    return state["history"], tally
