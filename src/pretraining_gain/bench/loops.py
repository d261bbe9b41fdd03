"""Our training beside what one would otherwise write: torchvision's image folder, transforms and loader, or timm's loader.

The plain loop follows torchvision's classification reference: NCHW, every file read in every epoch. Its precision is the one
that our runs choose on the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn

from pretraining_gain.bench.images import load
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


def torchvision_loader(folder: Path, recipe: Recipe, workers: int, device: str, training: bool) -> Any:
    """Return batches of `folder` as torchvision's reference makes them, for training or for evaluation."""
    from torchvision import datasets, transforms  # after `pretraining_gain.compute`, which makes it importable

    size_px, flip = recipe.image_size_px, [transforms.RandomHorizontalFlip()] if recipe.flip else []
    crop = [transforms.RandomResizedCrop(size_px, scale=(recipe.crop_scale_min, 1.0)), *flip]
    center = [transforms.Resize(recipe.resize_px), transforms.CenterCrop(size_px)]
    steps = [*(crop if training else center), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    images = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return torch.utils.data.DataLoader(images, recipe.batch_size, shuffle=training, **_reading(workers, device))


def timm_loader(folder: Path, recipe: Recipe, workers: int, device: str, training: bool) -> Any:
    """Return batches of `folder` as timm makes them, with the same augmentation."""
    from timm.data import create_dataset, create_loader

    size_px, images = recipe.image_size_px, create_dataset("", root=str(folder), is_training=training)
    return create_loader(
        images, (3, size_px, size_px), recipe.batch_size, is_training=training, device=torch.device(device),
        use_prefetcher=device == "cuda", mean=MEAN, std=STD, scale=(recipe.crop_scale_min, 1.0), ratio=(3 / 4, 4 / 3),
        hflip=0.5 if recipe.flip else 0.0, color_jitter=None, interpolation="bilinear",  # type: ignore[arg-type]
        crop_pct=size_px / recipe.resize_px, **_reading(workers, device),
    )  # fmt: skip


def _reading(workers: int, device: str) -> dict[str, Any]:
    return {"num_workers": workers, "pin_memory": device == "cuda", "persistent_workers": workers > 0}


@dataclass(frozen=True)
class Training:
    """One training from JPEG files, by our code or by a plain loop; with `start`, from these weights of the backbone.

    Either way returns top-1 on the held-out files, or NaN if the task has none.
    """

    task: Path
    backbone: str
    n_classes: int
    recipe: Recipe
    device: str
    start: Mapping[str, Tensor] | None = None

    def ours(self, seed: int = 0, precision: str = "auto") -> float:
        """Decode or prepare the files, train and evaluate by our code."""
        machine = machine_for(self.device, precision)
        model = self.trained(machine, seed)
        if not (self.task / "val").exists():
            return float("nan")
        return evaluate(model, load(self.task, "val", self.recipe.resize_px), self.recipe, machine).top1

    def trained(self, machine: Machine, seed: int = 0) -> nn.Module:
        """Return the network that our code trains."""
        data = load(self.task, "train", self.recipe.resize_px, afresh=True)
        return train(self._network(seed), data, self.recipe, seed=seed, machine=machine, checkpoint=NoCheckpoint())[0]

    def plain(self, seed: int = 0, *, workers: int, loader: Callable[..., Any] = torchvision_loader, epochs: int = 0) -> float:
        """Train with SGD, cross-entropy and a step schedule, as the reference does, for all epochs or `epochs`, and evaluate."""
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(False)  # torch's default; `machine_for` turns them on again for ours
        recipe, device = self.recipe, self.device
        model = self._network(seed).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if recipe.freeze_backbone:
            freeze_backbone(model)
        model.train(not recipe.freeze_backbone)  # a frozen BatchNorm keeps its statistics
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, recipe.lr_step_epochs, 0.1)
        batches = loader(self.task / "train", recipe, workers, device, True)
        for _ in range(epochs or recipe.epochs):
            for images, labels in batches:
                images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
                with _autocast(device):
                    loss = nn.functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
        if not (self.task / "val").exists():
            return float("nan")
        return plain_top1(model, loader(self.task / "val", recipe, workers, device, False), device)

    def _network(self, seed: int) -> nn.Module:
        model = build_model(self.backbone, self.n_classes, seed)
        if self.start:
            load_backbone(model, self.start, "the benchmark's pretraining")
        return model


@torch.inference_mode()
def plain_top1(model: nn.Module, batches: Any, device: str) -> float:
    """Return the share of images that the model classifies correctly."""
    model.eval()
    right = seen = 0
    for images, labels in batches:
        with _autocast(device):
            guesses = model(images.to(device, non_blocking=True)).argmax(1)
        right += (guesses == labels.to(device)).sum().item()
        seen += len(labels)
    return right / seen


def _autocast(device: str) -> torch.autocast:
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda" and torch.cuda.is_bf16_supported())
