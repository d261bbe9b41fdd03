"""Our training beside what one would otherwise write: torchvision's image folder, transforms and loader, or timm's loader.

The plain loop follows torchvision's classification reference: NCHW, float32 unless `amp`, every file read in every epoch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pretraining_gain.bench.images import Task
from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.machine import Machine, this_machine
from pretraining_gain.compute.models import build_model, freeze_backbone, load_backbone
from pretraining_gain.compute.training import train
from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.weights import IMAGENET

MEAN, STD = IMAGENET


class NoCheckpoint(Checkpoint):
    """A checkpoint that is never written."""

    def __init__(self) -> None:
        super().__init__(Path("unkept.pt"), "bench", every_s=1e9)

    def write(self, state: dict[str, Any]) -> None:
        """Keep nothing."""


def machine_for(device: str, precision: str = "auto") -> Machine:
    """Return the machine as a run sees it that is given this device and precision. Raise `InputError` for a missing device.

    Accelerate keeps its settings and every model for the whole process; a real run has its own process, so reset it.
    """
    os.environ |= {"PRETRAINING_GAIN_DEVICE": device, "PRETRAINING_GAIN_PRECISION": precision}
    AcceleratorState._reset_state()
    PartialState._reset_state()
    return this_machine()


@dataclass(frozen=True)
class Training:
    """One training from JPEG files, by our code or by a plain loop; with `start`, from these weights of the backbone."""

    task: Task
    backbone: str
    n_classes: int
    recipe: Recipe
    device: str
    is_evaluated: bool = False
    start: Mapping[str, Tensor] | None = None

    def ours(self, seed: int = 0, precision: str = "auto") -> float:
        """Decode or prepare the files, train, and return top-1 on the held-out files; NaN if none are evaluated."""
        machine, recipe = machine_for(self.device, precision), self.recipe
        data = self.task.load("train", recipe.resize_px, afresh=True)
        model, _ = train(self._network(seed), data, recipe, seed=seed, machine=machine, checkpoint=NoCheckpoint())
        held_out = self.task.load("val", recipe.resize_px) if self.is_evaluated else None
        return evaluate(model, held_out, recipe, machine).top1 if held_out is not None else float("nan")

    def one_epoch(self, workers: int, loader: Callable[..., Any] | None = None) -> None:
        """Train the first epoch by the plain loop."""
        once = replace(self, recipe=self.recipe.model_copy(update={"epochs": 1}), is_evaluated=False)
        once.plain(workers=workers, loader=loader)

    def plain(self, seed: int = 0, *, workers: int, loader: Callable[..., Any] | None = None, amp: bool = False) -> float:
        """Train by the plain loop and return top-1 on the held-out files; NaN if none are evaluated."""
        torch.manual_seed(seed)
        make, recipe, device = loader or torchvision_loader, self.recipe, self.device
        with torch_defaults():
            model = self._network(seed).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            if recipe.freeze_backbone:
                freeze_backbone(model)
            plain_train(model, make(self.task.folder / "train", recipe, workers, device, True), recipe, device, amp)
            if not self.is_evaluated:
                return float("nan")
            return plain_top1(model, make(self.task.folder / "val", recipe, workers, device, False), device, amp)

    def _network(self, seed: int) -> nn.Module:
        model = build_model(self.backbone, self.n_classes, seed)
        if self.start:
            load_backbone(model, self.start, "the benchmark's pretraining")
        return model


def _reading(workers: int, device: str) -> dict[str, Any]:
    return {"num_workers": workers, "pin_memory": device == "cuda", "persistent_workers": workers > 0}


def torchvision_loader(folder: Path, recipe: Recipe, workers: int, device: str, training: bool) -> DataLoader:
    """Return batches of `folder` as torchvision's reference makes them, for training or for evaluation."""
    from torchvision import datasets, transforms  # after `pretraining_gain.compute`, which makes it importable

    size_px, flip = recipe.image_size_px, [transforms.RandomHorizontalFlip()] if recipe.flip else []
    crop = [transforms.RandomResizedCrop(size_px, scale=(recipe.crop_scale_min, 1.0)), *flip]
    center = [transforms.Resize(recipe.resize_px), transforms.CenterCrop(size_px)]
    steps = [*(crop if training else center), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    images = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return DataLoader(images, recipe.batch_size, shuffle=training, **_reading(workers, device))


def timm_loader(folder: Path, recipe: Recipe, workers: int, device: str, training: bool) -> Any:
    """Return batches of `folder` as timm makes them, with the same augmentation."""
    from timm.data import create_dataset, create_loader

    size_px, images = recipe.image_size_px, create_dataset("", root=str(folder), is_training=training)
    options = _reading(workers, device)
    options |= {"scale": (recipe.crop_scale_min, 1.0), "ratio": (3 / 4, 4 / 3), "hflip": 0.5 if recipe.flip else 0.0}
    options |= {"color_jitter": None, "interpolation": "bilinear", "mean": MEAN, "std": STD}
    options |= {"is_training": training, "use_prefetcher": device == "cuda", "crop_pct": size_px / recipe.resize_px}
    return create_loader(images, (3, size_px, size_px), recipe.batch_size, device=torch.device(device), **options)


def plain_train(model: nn.Module, loader: Any, recipe: Recipe, device: str, amp: bool) -> None:
    """Train with SGD, cross-entropy and a step schedule, as the reference does."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, recipe.lr_step_epochs, 0.1)
    model.train(not (recipe.freeze_backbone and recipe.frozen_batchnorm == "eval"))
    for _ in range(recipe.epochs):
        for images, labels in loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with torch.autocast(device, torch.bfloat16, enabled=amp):
                loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()


@torch.inference_mode()
def plain_top1(model: nn.Module, loader: Any, device: str, amp: bool = False) -> float:
    """Return the share of the loader's images that the model classifies correctly."""
    model.eval()
    right = seen = 0
    for images, labels in loader:
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            guesses = model(images.to(device, non_blocking=True)).argmax(1)
        right += (guesses == labels.to(device)).sum().item()
        seen += len(labels)
    return right / seen


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Turn off the determinism that our runs ask of torch on a CPU; a plain loop does without."""
    asked = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(asked)
