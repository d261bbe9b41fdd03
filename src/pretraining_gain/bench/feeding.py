"""Compare JPEG decoders and augmentation on one core, and how well loading hides behind a device."""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image, ImageOps

from pretraining_gain.bench.images import tiled
from pretraining_gain.bench.loops import MEAN, STD, torch_defaults
from pretraining_gain.bench.measure import compare
from pretraining_gain.bench.parts import N_CLASSES, OURS, Found, Given
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute import pipeline
from pretraining_gain.compute.images.decoding import decode
from pretraining_gain.plan.resources import allowed_cores

PILLOW, V2 = "Pillow", "torchvision v2, image by image"
_DECODED, _CROPPED, _DEVICE = "ours, decoded", "ours, decoded and cropped", "the device alone"


def _pillow(content: bytes, size_px: int) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(ImageOps.fit(image.convert("RGB"), (size_px, size_px), Image.Resampling.BICUBIC))


def feeding(given: Given, setting: Setting) -> Found:
    """Compare decoders and augmentation on one core and, of large images, what feeds a device."""
    files = [path.read_bytes() for path in given.photographs.files(setting.images)]
    with _one_core():
        found = [_decoders(files, setting.recipe().resize_px, given), _augmentation(setting, given)]
        if setting.is_large:
            found.append(_per_core(setting, given))
    return [*found, _prefetch(setting, given)] if setting.is_large else found


def _decoders(files: list[bytes], size_px: int, given: Given) -> dict[str, Any]:
    def all_by(engine: Callable[[bytes, int], np.ndarray]) -> np.ndarray:
        return np.stack([engine(content, size_px) for content in files])

    difference = np.abs(all_by(decode).astype(float) - all_by(_pillow)).mean()
    notes = [f"{OURS}: pixels differ from {PILLOW}'s by {difference:.1f} of 255 in the mean"]
    ways = {PILLOW: partial(all_by, _pillow), OURS: partial(all_by, decode)}
    return compare("decoding", f"files to {size_px} px", ways, len(files), given.effort, (OURS, PILLOW, 1.5), notes=notes)


def _augmentation(setting: Setting, given: Given) -> dict[str, Any]:
    """Compare ways from uint8 images in memory to a normalised batch: crop, resize, mirror."""
    from torchvision.transforms import v2  # after `pretraining_gain.compute`, which makes it importable

    recipe, task = setting.recipe(), given.photographs.task(2 * N_CLASSES, N_CLASSES)
    data = tiled(task.decoded("train", recipe.resize_px), 2 * setting.batch_size)
    crop = v2.RandomResizedCrop(recipe.image_size_px, scale=(recipe.crop_scale_min, 1.0), antialias=True)
    normalise = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    steps = v2.Compose([crop, v2.RandomHorizontalFlip(), *normalise])

    def by_image() -> None:
        with torch_defaults():
            for positions in torch.randperm(len(data)).split(recipe.batch_size):
                torch.stack([steps(data.images[position]) for position in positions.tolist()])

    def by_batch() -> None:
        deque(pipeline.training_batches(data, recipe, 0, 0), maxlen=0)

    where = f"{recipe.resize_px} px in memory to {recipe.image_size_px} px"
    return compare("augmenting", where, {V2: by_image, OURS: by_batch}, len(data), given.effort, (OURS, V2, 1.0))


def _per_core(setting: Setting, given: Given) -> dict[str, Any]:
    """Measure how many prepared images one core decodes for a GPU, which crops them itself, and decodes and crops for a CPU."""
    recipe = setting.recipe()
    data = given.photographs.task(setting.images, N_CLASSES).load("train", recipe.resize_px)
    order = torch.arange(len(data)).split(setting.batch_size)

    def decoded() -> None:
        for positions in order:
            data.images[positions]

    def cropped() -> None:
        deque(pipeline.training_batches(data, recipe, 0, 0), maxlen=0)

    ways = {_CROPPED: cropped, _DECODED: decoded}
    return compare("per core", f"prepared {recipe.resize_px} px images", ways, len(data), given.effort)


def _prefetch(setting: Setting, given: Given) -> dict[str, Any]:
    """Compare prefetch depths before a device that takes a fixed time per batch, a tenth more than decoding one takes."""
    recipe = setting.recipe()
    data = given.photographs.task(setting.images, N_CLASSES).load("train", recipe.resize_px)
    order = torch.arange(len(data)).split(max(2, setting.batch_size // 4))
    started = time.perf_counter()
    for positions in order:
        data.images[positions]
    batch_s = 1.1 * (time.perf_counter() - started) / len(order)

    def compute() -> None:
        for _ in order:
            time.sleep(batch_s)

    def consume(depth: int) -> None:
        with patch.object(pipeline, "_PREFETCH", depth):
            for _ in pipeline._fetched(data.images, order, given.device):
                time.sleep(batch_s)

    ways = {_DEVICE: compute} | {f"prefetch {depth}": partial(consume, depth) for depth in (1, 2, 4)}
    effort = replace(given.effort, on_cpu=False)  # a sleeping device takes no processor time
    where = f"a device that takes {1000 * batch_s:.0f} ms per batch of {len(order[0])}, {allowed_cores()} cores"
    return compare("prefetch", where, ways, len(data), effort)


@contextmanager
def _one_core() -> Iterator[None]:
    """Let torch, and the threads that decode, use one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with patch("pretraining_gain.compute.images.packs.n_workers", return_value=1):
            yield
    finally:
        torch.set_num_threads(threads)
