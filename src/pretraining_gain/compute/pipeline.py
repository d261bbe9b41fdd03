"""Images in memory, and the batches a network sees: uint8 until the batch is on the device, augmented by the batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pretraining_gain.plan.recipes import Recipe

# Channel means and deviations of ImageNet in 0..255, the convention of torchvision's recipes [assumed].
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255
_ASPECT = (3 / 4, 4 / 3)
Part = tuple[int, int]


class StoredImages(Protocol):
    """Images that stay on disk: indexed with positions (B,) int64 they give (B, 3, S, S) uint8."""

    shape: tuple[int, ...]

    def __getitem__(self, positions: Tensor) -> Tensor: ...

    def checksums(self) -> bytes: ...


@dataclass(frozen=True)
class ImageSet:
    """N labelled images: `images` (N, 3, S, S) uint8 in memory or stored, `labels` (N,) int64, `image_ids` N texts,
    `skipped` broken files; `from_cache`: whether they were decoded before (None: there is nothing to decode)."""

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
    data: ImageSet, recipe: Recipe, seed: int, epoch: int, device: str = "cpu", *, first: int = 0, part: Part = (0, 1)
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """The batches of an epoch from number `first` on: (B, 3, P, P) float channels_last, normalised and augmented, (B,)
    labels, and how many images the whole batch has.

    Order and crops are functions of (seed, epoch, number of the batch) alone, drawn on the CPU for the whole batch: the
    same on any device, from whichever batch on, and however many processes share it. `part` (rank, of how many) takes
    each n-th image. A last batch of a single image is left out, because batch statistics need two.
    """
    rank, n_parts = part
    order = torch.randperm(len(data), generator=_generator(seed, epoch))
    batches = [batch for batch in order.split(recipe.batch_size) if len(batch) > 1]
    for number in range(first, len(batches)):
        own = slice(rank, None, n_parts)
        chosen = batches[number][own]
        crops = draw_crops(len(batches[number]), recipe, _generator(seed, epoch, number))[own]
        images = augment(_as_numbers(data.images[chosen].to(device)), crops, recipe.image_size_px)
        yield _normalised(images), data.labels[chosen].to(device), len(batches[number])


def _generator(*key: int) -> torch.Generator:
    """A generator of its own for each key; the words of torch's seed are spread, as it takes but 32 bits."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def evaluation_batches(
    data: ImageSet, recipe: Recipe, device: str = "cpu", batch_size: int = 256, part: Part = (0, 1)
) -> Iterator[tuple[int, Tensor]]:
    """All images in order, central crop of P pixels: the batch's number, and (B, 3, P, P) float channels_last.

    `part` (rank, of how many) takes each n-th batch.
    """
    rank, n_parts = part
    margin = (data.images.shape[-1] - recipe.image_size_px) // 2
    window = slice(margin, margin + recipe.image_size_px)
    for number, positions in enumerate(torch.arange(len(data)).split(batch_size)):
        if number % n_parts == rank:
            yield number, _normalised(_as_numbers(data.images[positions][:, :, window, window].to(device)))


def draw_crops(n: int, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """For each of n images where its crop lies and whether it is mirrored: (n, 2, 3) float affine maps.

    The crop keeps a share of the area from `crop_scale_min` to 1 and an aspect from 3/4 to 4/3, as is usual for
    ImageNet [assumed].
    """
    area, aspect, across, down, mirror = torch.rand(5, n, generator=generator)
    area = recipe.crop_scale_min + (1 - recipe.crop_scale_min) * area
    ratio = (torch.log(torch.tensor(_ASPECT[0])).lerp(torch.log(torch.tensor(_ASPECT[1])), aspect)).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    crops = torch.zeros(n, 2, 3)
    crops[:, 0, 0] = torch.where((mirror < 0.5) & recipe.flip, -width, width)
    crops[:, 1, 1] = height
    crops[:, 0, 2] = (2 * across - 1) * (1 - width)
    crops[:, 1, 2] = (2 * down - 1) * (1 - height)
    return crops


def augment(images: Tensor, crops: Tensor, size_px: int) -> Tensor:
    """Crop, resize and mirror each image as drawn, in one affine sampling: (B, 3, S, S) float -> (B, 3, P, P), 0..255."""
    size = (len(images), images.shape[1], size_px, size_px)
    grid = F.affine_grid(crops.to(images), size, align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _as_numbers(images: Tensor) -> Tensor:
    return images.to(torch.get_default_dtype())


def _normalised(images: Tensor) -> Tensor:
    scaled = (images - _MEAN.to(images)) / _STD.to(images)
    return scaled.contiguous(memory_format=torch.channels_last)
