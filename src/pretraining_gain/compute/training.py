"""The loop: SGD with a step schedule on cross-entropy, resumable at epoch ends (paper, D.2)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.models import freeze_backbone
from pretraining_gain.compute.pipeline import ImageSet, training_batches
from pretraining_gain.errors import InputError
from pretraining_gain.paths import write_atomically
from pretraining_gain.plan.recipes import Recipe, lr_at

History = list[dict[str, float]]


def train(
    model: nn.Module,
    data: ImageSet,
    recipe: Recipe,
    *,
    seed: int,
    machine: Machine,
    checkpoint: Path,
    on_epoch: Callable[[dict[str, float]], None] = lambda epoch: None,
) -> tuple[nn.Module, History]:
    """Train `model` on `data`; returns it on the machine's device, with one entry an epoch.

    Order and augmentation of epoch e are a function of (seed, e) only. After each epoch the state is written to
    `checkpoint`; if one is there, training goes on from it and ends, on a CPU, with the same weights bit for bit.
    Raises `InputError` when the loss is no longer finite.
    """
    if recipe.freeze_backbone:
        freeze_backbone(model)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    model, optimizer = machine.accelerator.prepare(model, optimizer)
    history = _resume(checkpoint, model, optimizer)
    for epoch in range(len(history), recipe.epochs):
        for group in optimizer.param_groups:
            group["lr"] = lr_at(recipe, epoch)
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        started = time.perf_counter()
        loss, top1 = train_one_epoch(model, optimizer, data, recipe, generator, machine)
        if not torch.isfinite(torch.tensor(loss)):
            raise InputError(
                f"training diverged in epoch {epoch}: loss is {loss}; a smaller lr than {recipe.lr} may help"
            )
        history.append(
            {
                "epoch": epoch,
                "lr": lr_at(recipe, epoch),
                "loss": loss,
                "top1": top1,
                "wall_time_s": round(time.perf_counter() - started, 3),
            }
        )
        _save(checkpoint, model, optimizer, history)
        on_epoch(history[-1])
    return model, history


def train_one_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: ImageSet,
    recipe: Recipe,
    generator: torch.Generator,
    machine: Machine,
) -> tuple[float, float]:
    """One pass over `data`; returns mean loss and top-1 over the augmented images as they were seen."""
    model.train()
    if recipe.freeze_backbone and recipe.frozen_batchnorm == "eval":
        model.eval()
    loss_sum = torch.zeros((), device=machine.accelerator.device)
    correct = torch.zeros_like(loss_sum)
    seen = 0
    for images, labels in training_batches(data, recipe, generator, machine.device):
        with machine.accelerator.autocast():
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        machine.accelerator.backward(loss)
        optimizer.step()
        loss_sum += loss.detach() * len(labels)
        correct += (logits.argmax(1) == labels).sum()
        seen += len(labels)
    return float(loss_sum) / seen, float(correct) / seen


def _save(path: Path, model: nn.Module, optimizer: Any, history: History) -> None:
    buffer = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, buffer)
    write_atomically(path, buffer.getvalue())


def _resume(path: Path, model: nn.Module, optimizer: Any) -> History:
    """Load the state in `path` into model and optimizer; an empty history when there is none or it is unreadable."""
    if not path.exists():
        return []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # torch raises many kinds for a damaged file; none of them may stop the run
        raise InputError(
            f"checkpoint {path} is damaged ({type(error).__name__}); delete it to start this run afresh"
        ) from None
    return state["history"]
