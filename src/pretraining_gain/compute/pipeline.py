"""Make the batches that a network sees: uint8 images until the batch is on the device, augmented batch by batch."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.weights import IMAGENET, Normalisation

_WIDEST_ASPECT = 4 / 3
_SMALL_PX = 64  # up to here one sampling per batch beats cropping byte by byte on a CPU, beyond it takes twice as long
_PREFETCH = 2  # batches; more only take memory
_SHARE_OF_DEVICE = 1 / 4  # of free CUDA memory: a set in memory that fits into it moves there
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
    """N labelled images: `images` (N, 3, S, S) uint8 in memory or stored, `labels` (N,) int64, `image_ids` N strings,
    `skipped` broken files; `from_cache`: whether a cache had them decoded (None: nothing to decode); `normalisation`: means
    and deviations of the channels, from 0 to 1, which a network expects."""

    images: Tensor | StoredImages
    labels: Tensor
    image_ids: list[str]
    skipped: list[str] = field(default_factory=list)
    from_cache: bool | None = None
    normalisation: Normalisation = IMAGENET

    def __len__(self) -> int:
        return len(self.labels)

    def content_hash(self) -> str:
        """Hash pixels (of stored images: their checksums), labels and ids into 16 hex digits, for the run's record."""
        pixels = self.images
        digest = hashlib.sha256(pixels.cpu().numpy().tobytes() if isinstance(pixels, Tensor) else pixels.checksums())
        digest.update(self.labels.numpy().tobytes() + "\n".join(self.image_ids).encode())
        return digest.hexdigest()[:16]

    def near(self, device: str) -> ImageSet:
        """Move images in memory to a CUDA device if they take little of its free memory; return the set."""
        if device != "cuda" or not isinstance(self.images, Tensor):
            return self
        fits = self.images.nbytes <= _SHARE_OF_DEVICE * torch.cuda.mem_get_info()[0]
        return replace(self, images=self.images.to(device)) if fits else self


def training_batches(
    data: ImageSet, recipe: Recipe, seed: int, epoch: int, device: str = "cpu", *, first: int = 0, part: Part = (0, 1)
) -> Iterator[Batch]:
    """Yield the batches of an epoch from number `first` on: images (B, 3, P, P) float channels_last, normalised and
    augmented; labels (B,); the size of the whole batch.

    Order and crops are functions of (seed, epoch, number of the batch) alone, drawn on the CPU for the whole batch: the
    same on any device, from any batch on, and for any number of processes. Process `part` (rank, number of processes) takes
    every n-th image. A last batch of a single image is dropped, because batch statistics need two.
    """
    batches = [chosen for chosen in order_of(len(data), recipe, seed, epoch) if len(chosen) > 1]
    augmented = augmented_batches(data, recipe, seed, epoch, batches, device, first=first, part=part)
    for chosen, images in zip(batches[first:], augmented, strict=True):
        yield images, data.labels[share(chosen, part)].to(device, non_blocking=True), len(chosen)


def order_of(n_images: int, recipe: Recipe, seed: int, epoch: int) -> Sequence[Tensor]:
    """Draw which images each batch of an epoch has: positions (B,) int64, from (seed, epoch), without replacement."""
    return torch.randperm(n_images, generator=_generator(seed, epoch)).split(recipe.batch_size)


def share(batch: Tensor, part: Part) -> Tensor:
    """Return what process `part` (rank, number of processes) takes of a batch: every n-th image."""
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
    """Yield this process's share of the images of each of `batches`, from number `first` on, augmented as in `epoch`."""
    wanted = [share(chosen, part) for chosen in batches[first:]]
    for number, pixels in enumerate(_fetched(data.images, wanted, device), first):
        crops = share(draw_crops(len(batches[number]), recipe, _generator(seed, epoch, number)), part)
        by_image = device == "cpu" and pixels.shape[-1] > _SMALL_PX
        yield _normalised((augment_by_image if by_image else augment)(pixels, crops, recipe.image_size_px), data.normalisation)


def inference_batch_size(image_size_px: int, device: str) -> int:
    """Return how many images a network sees at once without gradients: 256, on a CPU as few as fit into its caches."""
    return 256 if device == "cuda" else max(16, min(256, 2**18 // image_size_px**2 // 16 * 16))


def evaluation_batches(
    data: ImageSet, recipe: Recipe, device: str, batch_size: int, part: Part = (0, 1)
) -> Iterator[tuple[int, Tensor]]:
    """Yield all images in order, cropped to the central P pixels: the batch's number, and (B, 3, P, P) float channels_last.

    Process `part` (rank, number of processes) takes every n-th batch.
    """
    rank, n_parts = part
    margin = (data.images.shape[-1] - recipe.image_size_px) // 2
    window = slice(margin, margin + recipe.image_size_px)
    numbered = list(enumerate(torch.arange(len(data)).split(batch_size)))[rank::n_parts]
    pixels = _fetched(data.images, [positions for _, positions in numbered], device)
    for (number, _), found in zip(numbered, pixels, strict=True):
        yield number, _normalised(found[:, :, window, window], data.normalisation)


def _fetched(images: Tensor | StoredImages, wanted: Sequence[Tensor], device: str) -> Iterator[Tensor]:
    """Yield the images at each of `wanted`, (B, 3, S, S) uint8 on the device. Prefetches two batches of stored images, so
    that a thread reads and decodes while the device works."""
    if isinstance(images, Tensor):
        yield from (images[positions.to(images.device, non_blocking=True)].to(device, non_blocking=True) for positions in wanted)
        return

    def read(positions: Tensor) -> Tensor:
        pixels = images[positions]
        return pixels.pin_memory() if device == "cuda" else pixels

    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(read, positions) for positions in wanted[:_PREFETCH])
        try:
            for number in range(len(wanted)):
                pixels = waiting.popleft().result()
                waiting.extend(reader.submit(read, positions) for positions in wanted[number + _PREFETCH :][:1])
                yield pixels.to(device, non_blocking=True)
        finally:
            reader.shutdown(wait=True, cancel_futures=True)


def seed_from(*key: int) -> int:
    """Mix the numbers of a key into one seed of 32 bits."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def _generator(*key: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed_from(*key))


def draw_crops(n: int, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Draw the crops of n images: (n, 2, 2) float, across and down, each half the crop's extent and its centre, in units in
    which the image spans -1 to 1. A negative extent across mirrors.

    A crop keeps a share of the area, uniform from `crop_scale_min` to 1. Its aspect is log-uniform from 3/4 to 4/3, among
    the aspects with which it fits into the image, as usual for ImageNet [assumed].
    """
    area, aspect, across, down, mirror = torch.rand(5, n, generator=generator)
    area = recipe.crop_scale_min + (1 - recipe.crop_scale_min) * area
    widest = (-area.log()).clamp(max=math.log(_WIDEST_ASPECT))
    ratio = (widest * (2 * aspect - 1)).exp()
    width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
    centres = [(2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height)]
    if recipe.flip:
        width = torch.where(mirror < 0.5, -width, width)
    return torch.stack([torch.stack([width, height], 1), torch.stack(centres, 1)], 2)


def augment(images: Tensor, crops: Tensor, size_px: int) -> Tensor:
    """Crop, resize and mirror all images in one bilinear sampling: (B, 3, S, S) -> (B, 3, P, P) float, 0..255."""
    images = images.to(torch.get_default_dtype())
    crops = crops.to(images, non_blocking=True)
    centres = (2 * torch.arange(size_px, device=images.device, dtype=images.dtype) + 1) / size_px - 1
    across, down = (crops[:, :, :1] * centres + crops[:, :, 1:]).unbind(1)  # (B, P) each: where to look
    shape = (len(images), size_px, size_px)
    grid = torch.stack([across[:, None, :].expand(shape), down[:, :, None].expand(shape)], 3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def augment_by_image(images: Tensor, crops: Tensor, size_px: int) -> Tensor:
    """Do as `augment` with one image after the other, antialiased: (B, 3, S, S) uint8 -> (B, 3, P, P) uint8.

    Crops are rounded to whole pixels, as torchvision's are.
    """
    side_px = images.shape[-1]
    extent = (crops[:, :, 0].abs() * side_px).round().clamp(1, side_px)
    start = torch.minimum(((crops[:, :, 1] + 1) / 2 * side_px - extent / 2).round().clamp(min=0), side_px - extent)
    windows = torch.cat([start, start + extent], 1).int().tolist()
    found = images.new_empty(len(images), 3, size_px, size_px).to(memory_format=torch.channels_last)
    for image, (left, top, right, bottom), mirrored, place in zip(images, windows, crops[:, 0, 0] < 0, found, strict=True):
        window = image[None, :, top:bottom, left:right].contiguous(memory_format=torch.channels_last)
        resized = F.interpolate(window, (size_px, size_px), mode="bilinear", antialias=True)[0]
        place.copy_(resized.flip(2) if mirrored else resized)
    return found


def _normalised(images: Tensor, normalisation: Normalisation) -> Tensor:
    """Subtract the channels' means and divide by their deviations: (B, 3, P, P), 0..255 -> float, channels_last.

    Works in place on floats, which `augment` has just made, and before the change of layout, which is faster.
    """
    mean, std = _on_device(normalisation, images.device, torch.get_default_dtype())
    return images.to(mean.dtype).sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


@cache  # a copy to a CUDA device waits for all work before it
def _on_device(normalisation: Normalisation, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return means and deviations in 0..255: (2, 1, 3, 1, 1)."""
    return 255 * torch.tensor(normalisation, device=device, dtype=dtype).view(2, 1, 3, 1, 1)
