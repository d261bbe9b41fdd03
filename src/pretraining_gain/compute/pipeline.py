"""Images in memory, and the batches a network sees: uint8 until the batch is on the device, augmented by the batch."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pretraining_gain.plan.recipes import Recipe

# Channel means and deviations of ImageNet in 0..255, the convention of torchvision's recipes [assumed].
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255
_WIDEST_ASPECT = 4 / 3
# Batches that are read ahead: one for the device, one for the hiccup. More would only take memory.
_READ_AHEAD = 2
# A set in memory moves to a CUDA device when it takes no more than this share of what is free there.
_SHARE_OF_DEVICE = 1 / 4
Part = tuple[int, int]
#: (B, ...) float input of a network, (B,) int64 labels, and how many images the whole batch has, over all processes.
Batch = tuple[Tensor, Tensor, int]


class StoredImages(Protocol):
    """Images that stay on disk: indexed with positions (B,) int64 they give (B, 3, S, S) uint8."""

    @property
    def shape(self) -> tuple[int, ...]: ...

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
        pixels = self.images
        digest = hashlib.sha256(pixels.cpu().numpy().tobytes() if isinstance(pixels, Tensor) else pixels.checksums())
        digest.update(self.labels.numpy().tobytes() + "\n".join(self.image_ids).encode())
        return digest.hexdigest()[:16]

    def near(self, device: str) -> ImageSet:
        """The same set, its images on a CUDA device if they are in memory and take little of what is free there."""
        if device != "cuda" or not isinstance(self.images, Tensor):
            return self
        fits = self.images.nbytes <= _SHARE_OF_DEVICE * torch.cuda.mem_get_info()[0]
        return replace(self, images=self.images.to(device)) if fits else self


def training_batches(
    data: ImageSet, recipe: Recipe, seed: int, epoch: int, device: str = "cpu", *, first: int = 0, part: Part = (0, 1)
) -> Iterator[Batch]:
    """The batches of an epoch from number `first` on: (B, 3, P, P) float channels_last, normalised and augmented, (B,)
    labels, and how many images the whole batch has.

    Order and crops are functions of (seed, epoch, number of the batch) alone, drawn on the CPU for the whole batch: the
    same on any device, from whichever batch on, and however many processes share it. `part` (rank, of how many) takes
    each n-th image. A last batch of a single image is left out, because batch statistics need two.
    """
    batches = [chosen for chosen in order_of(len(data), recipe, seed, epoch) if len(chosen) > 1]
    shares = [share(chosen, part) for chosen in batches]
    augmented = augmented_batches(data, recipe, seed, epoch, batches, device, first=first, part=part)
    for number, images in enumerate(augmented, first):
        yield images, data.labels[shares[number]].to(device, non_blocking=True), len(batches[number])


def order_of(n_images: int, recipe: Recipe, seed: int, epoch: int) -> Sequence[Tensor]:
    """Which images each batch of an epoch has: positions (B,) int64, drawn from (seed, epoch) without replacement."""
    return torch.randperm(n_images, generator=_generator(seed, epoch)).split(recipe.batch_size)


def share(batch: Tensor, part: Part) -> Tensor:
    """What the process `part` (rank, of how many) takes of a batch: each n-th image."""
    rank, n_parts = part
    return batch[rank::n_parts]


def augmented_batches(
    data: ImageSet,
    recipe: Recipe,
    seed: int,
    epoch: int,
    batches: Sequence[Tensor],
    device: str,
    *,
    first: int = 0,
    part: Part = (0, 1),
) -> Iterator[Tensor]:
    """This process's share of the images in each of `batches` from number `first` on, as the network sees them in `epoch`."""
    wanted = [share(chosen, part) for chosen in batches[first:]]
    for number, pixels in enumerate(_fetched(data.images, wanted, device), first):
        crops = draw_crops(len(batches[number]), recipe, _generator(seed, epoch, number))
        yield _normalised(augment(_as_numbers(pixels), share(crops, part), recipe.image_size_px))


def evaluation_batches(
    data: ImageSet, recipe: Recipe, device: str = "cpu", batch_size: int = 256, part: Part = (0, 1)
) -> Iterator[tuple[int, Tensor]]:
    """All images in order, central crop of P pixels: the batch's number, and (B, 3, P, P) float channels_last.

    `part` (rank, of how many) takes each n-th batch.
    """
    rank, n_parts = part
    margin = (data.images.shape[-1] - recipe.image_size_px) // 2
    window = slice(margin, margin + recipe.image_size_px)
    numbered = list(enumerate(torch.arange(len(data)).split(batch_size)))[rank::n_parts]
    pixels = _fetched(data.images, [positions for _, positions in numbered], device)
    for (number, _), found in zip(numbered, pixels, strict=True):
        yield number, _normalised(_as_numbers(found[:, :, window, window]))


def _fetched(images: Tensor | StoredImages, wanted: Sequence[Tensor], device: str) -> Iterator[Tensor]:
    """The images at each of `wanted`, (B, 3, S, S) uint8 on the device, in order; stored ones are read ahead, so that
    reading and decoding go on while the device works."""
    if isinstance(images, Tensor):
        yield from (images[positions.to(images.device)].to(device, non_blocking=True) for positions in wanted)
        return

    def read(positions: Tensor) -> Tensor:
        pixels = images[positions]
        return pixels.pin_memory() if device == "cuda" else pixels

    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(read, positions) for positions in wanted[:_READ_AHEAD])
        try:
            for number in range(len(wanted)):
                pixels = waiting.popleft().result()
                waiting.extend(reader.submit(read, positions) for positions in wanted[number + _READ_AHEAD :][:1])
                yield pixels.to(device, non_blocking=True)
        finally:
            reader.shutdown(wait=True, cancel_futures=True)


def _generator(*key: int) -> torch.Generator:
    """A generator of its own for each key; the words of torch's seed are spread, as it takes but 32 bits."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def draw_crops(n: int, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Where the crops of n images lie: (n, 2, 2) float, across and down, each half the crop's extent and its centre, in
    units in which the image goes from -1 to 1; a negative extent across is mirrored.

    A crop keeps a share of the area from `crop_scale_min` to 1, drawn evenly, and an aspect from 3/4 to 4/3, drawn
    evenly on the logarithm among those with which it fits into the image, as is usual for ImageNet [assumed].
    """
    area, aspect, across, down, mirror = torch.rand(5, n, generator=generator)
    area = recipe.crop_scale_min + (1 - recipe.crop_scale_min) * area
    widest = (-area.log()).clamp(max=math.log(_WIDEST_ASPECT))
    ratio = (widest * (2 * aspect - 1)).exp()
    width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
    centres = [(2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height)]
    width = torch.where((mirror < 0.5) & recipe.flip, -width, width)
    return torch.stack([torch.stack([width, height], 1), torch.stack(centres, 1)], 2)


def augment(images: Tensor, crops: Tensor, size_px: int) -> Tensor:
    """Crop, resize and mirror each image as drawn, in one bilinear sampling: (B, 3, S, S) float -> (B, 3, P, P), 0..255."""
    crops = crops.to(images, non_blocking=True)
    centres = (2 * torch.arange(size_px, device=images.device, dtype=images.dtype) + 1) / size_px - 1
    across, down = (crops[:, :, :1] * centres + crops[:, :, 1:]).unbind(1)  # (B, P) each: where to look
    shape = (len(images), size_px, size_px)
    grid = torch.stack([across[:, None, :].expand(shape), down[:, :, None].expand(shape)], 3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _as_numbers(images: Tensor) -> Tensor:
    return images.to(torch.get_default_dtype())


def _normalised(images: Tensor) -> Tensor:
    images.sub_(_MEAN.to(images)).div_(_STD.to(images))  # in place: each caller has just made them
    return images.contiguous(memory_format=torch.channels_last)
