"""What one would take otherwise: torchvision's image folder, transforms and loader, and timm's, in a plain loop.

Written after torchvision's classification reference and timm's documentation. Both read every image from its file anew in
each epoch; images are NCHW, arithmetic is float32 (`amp`: autocast), nothing is logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from pretraining_gain.compute.models import build_model
from pretraining_gain.plan.recipes import Recipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MakeLoader = Callable[[Path, Recipe, int, str, bool], Any]


def torchvision_loader(folder: Path, recipe: Recipe, workers: int, device: str, training: bool) -> DataLoader:
    """Batches of `folder` as torchvision's reference makes them, for training or for evaluation."""
    size_px = recipe.image_size_px
    if training:
        own = [transforms.RandomResizedCrop(size_px, scale=(recipe.crop_scale_min, 1.0))]
        own += [transforms.RandomHorizontalFlip()] if recipe.flip else []
    else:
        own = [transforms.Resize(recipe.resize_px), transforms.CenterCrop(size_px)]
    steps = transforms.Compose([*own, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return DataLoader(
        ImageFolder(str(folder), steps), recipe.batch_size, shuffle=training, num_workers=workers,
        pin_memory=device == "cuda", persistent_workers=workers > 0,
    )  # fmt: skip


def timm_loader(folder: Path, recipe: Recipe, workers: int, device: str, training: bool) -> Any:
    """Batches of `folder` as timm makes them, augmented alike."""
    from timm.data import create_dataset, create_loader

    size_px = recipe.image_size_px
    return create_loader(
        create_dataset("", root=str(folder), is_training=training), (3, size_px, size_px), recipe.batch_size,
        is_training=training, use_prefetcher=device == "cuda", scale=(recipe.crop_scale_min, 1.0),
        ratio=(3 / 4, 4 / 3), hflip=0.5 if recipe.flip else 0.0, color_jitter=None, interpolation="bilinear",
        mean=MEAN, std=STD, num_workers=workers, crop_pct=size_px / recipe.resize_px, pin_memory=device == "cuda",
        device=torch.device(device), persistent_workers=workers > 0,
    )  # fmt: skip


def network(backbone: str, n_classes: int, seed: int, device: str) -> nn.Module:
    """The network that ours starts from with this seed, in torch's usual order of memory."""
    return build_model(backbone, n_classes, seed).to(device, memory_format=torch.contiguous_format)


def train(model: nn.Module, loader: Any, recipe: Recipe, device: str, amp: bool = False) -> nn.Module:
    """The loop of the reference: SGD, cross-entropy, the learning rate divided by ten at every step of the schedule."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, recipe.lr_step_epochs, 0.1)
    criterion = nn.CrossEntropyLoss()
    model.train(not (recipe.freeze_backbone and recipe.frozen_batchnorm == "eval"))
    for _ in range(recipe.epochs):
        for images, labels in loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with torch.autocast(device, torch.bfloat16, enabled=amp):
                loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return model


@torch.inference_mode()
def top1(model: nn.Module, loader: Any, device: str, amp: bool = False) -> float:
    """Share of the loader's images that are classified rightly."""
    model.eval()
    right = seen = 0
    for images, labels in loader:
        with torch.autocast(device, torch.bfloat16, enabled=amp):
            guesses = model(images.to(device, non_blocking=True)).argmax(1)
        right += (guesses == labels.to(device)).sum().item()
        seen += len(labels)
    return right / seen


@contextmanager
def as_torch_comes() -> Iterator[None]:
    """Without the determinism that ours asks of torch on a CPU, which is no part of a plain loop."""
    asked = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(asked)


def best_workers(work: Callable[[int], object], counts: Sequence[int]) -> int:
    """The number of workers with which `work` took the least time, tried once each after a warm-up."""
    if len(counts) == 1:
        return counts[0]
    work(counts[0])
    seconds = {}
    for count in counts:
        started = time.perf_counter()
        work(count)
        seconds[count] = time.perf_counter() - started
    return min(seconds, key=seconds.__getitem__)
