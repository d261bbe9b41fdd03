"""Images in memory, and the batches a network sees: uint8 until the batch is on the device, augmented by the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from pretraining_gain.plan.recipes import Recipe

# Channel means and deviations of ImageNet in 0..255, the convention of torchvision's recipes [assumed].
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255
_ASPECT = (3 / 4, 4 / 3)


class StoredImages(Protocol):
    """Images that stay on disk: indexed with positions (B,) int64 they give (B, 3, S, S) uint8."""

    shape: tuple[int, ...]

    def __getitem__(self, positions: Tensor) -> Tensor: ...

    def checksums(self) -> bytes: ...


@dataclass(frozen=True)
class ImageSet:
    """N labelled images: `images` (N, 3, S, S) uint8 in memory or stored, `labels` (N,) int64, `image_ids` N texts,
    `skipped` broken files, `from_cache` whether they were decoded before (None: nothing to cache)."""

    images: Tensor | StoredImages
    labels: Tensor
    image_ids: list[str]
    skipped: list[str] = field(default_factory=list)
    from_cache: bool | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def content_hash(self) -> str:
        """Sixteen hex digits over pixels (of stored images: their checksums), labels and ids, for the run's record."""
        in_memory = isinstance(self.images, Tensor)
        digest = hashlib.sha256(self.images.numpy().tobytes() if in_memory else self.images.checksums())
        digest.update(self.labels.numpy().tobytes() + "\n".join(self.image_ids).encode())
        return digest.hexdigest()[:16]


def training_batches(
    data: ImageSet, recipe: Recipe, generator: torch.Generator, device: str = "cpu"
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order: pairs (B, 3, P, P) float32 channels_last, normalised and augmented, and (B,) labels.

    All randomness comes from `generator` (on the CPU, so it is the same whatever the device). A last batch of a
    single image is left out, because batch statistics need two.
    """
    for chosen in torch.randperm(len(data), generator=generator).split(recipe.batch_size):
        if len(chosen) > 1:
            images = augment(data.images[chosen].to(device).float(), recipe, generator)
            yield _normalised(images), data.labels[chosen].to(device)


def evaluation_batches(
    data: ImageSet, recipe: Recipe, device: str = "cpu", batch_size: int = 256
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, central crop of P pixels: pairs (B, 3, P, P) float32 channels_last and (B,) labels."""
    margin = (data.images.shape[-1] - recipe.image_size_px) // 2
    window = slice(margin, margin + recipe.image_size_px)
    for start in range(0, len(data), batch_size):
        positions = torch.arange(start, min(start + batch_size, len(data)))
        images = data.images[positions][:, :, window, window]
        yield _normalised(images.to(device).float()), data.labels[positions].to(device)


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Crop, resize and mirror each image by its own draw: (B, 3, S, S) float -> (B, 3, P, P) float, still 0..255.

    The crop keeps a share of the area from `crop_scale_min` to 1 and an aspect from 3/4 to 4/3, as is usual for
    ImageNet [assumed]; one affine sampling does crop, resize and mirror together.
    """
    n = len(images)
    area, aspect, across, down, mirror = torch.rand(5, n, generator=generator)
    area = recipe.crop_scale_min + (1 - recipe.crop_scale_min) * area
    ratio = (torch.log(torch.tensor(_ASPECT[0])).lerp(torch.log(torch.tensor(_ASPECT[1])), aspect)).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = torch.where((mirror < 0.5) & recipe.flip, -width, width)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = (2 * across - 1) * (1 - width)
    theta[:, 1, 2] = (2 * down - 1) * (1 - height)
    size = (n, images.shape[1], recipe.image_size_px, recipe.image_size_px)
    grid = F.affine_grid(theta.to(images.device), size, align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _normalised(images: Tensor) -> Tensor:
    scaled = (images - _MEAN.to(images.device)) / _STD.to(images.device)
    return scaled.contiguous(memory_format=torch.channels_last)
