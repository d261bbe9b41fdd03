"""Compare JPEG decoders, from a file's bytes to an upright RGB square, and augmentation, on one core."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from pretraining_gain.bench.images import tiled
from pretraining_gain.bench.loops import MEAN, STD, torch_defaults
from pretraining_gain.bench.measure import Contestant, compare
from pretraining_gain.bench.parts import N_CLASSES, OURS, Found, Given
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.images.decoding import decode
from pretraining_gain.compute.pipeline import training_batches

PILLOW, V2 = "Pillow", "torchvision v2, image by image"


def _pillow(content: bytes, size_px: int) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(ImageOps.fit(image.convert("RGB"), (size_px, size_px), Image.Resampling.BICUBIC))


def _torchvision(content: bytes, size_px: int) -> np.ndarray:
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms.v2 import functional

    image = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    square = functional.center_crop(functional.resize(image, [size_px], antialias=True), [size_px])
    return square.numpy().transpose(1, 2, 0)


def _opencv(content: bytes, size_px: int) -> np.ndarray:
    import cv2

    cv2.setNumThreads(1)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    return cv2.resize(square, (size_px, size_px), interpolation=cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC)


Engine = Callable[[bytes, int], np.ndarray]
ENGINES: dict[str, Engine] = {PILLOW: _pillow, OURS: decode, "torchvision.io": _torchvision, "OpenCV": _opencv}


def decoding(given: Given, setting: Setting) -> Found:
    """Compare decoders to the size that the recipe reads, then augmentation from there to the image size, on one core."""
    files = [path.read_bytes() for path in given.photographs.files(setting.images)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_decoders(files, setting.recipe().resize_px, given), _augmentation(setting, given)]
    finally:
        torch.set_num_threads(threads)


def _decoders(files: list[bytes], size_px: int, given: Given) -> dict[str, Any]:
    wanted = np.stack([_pillow(content, size_px) for content in files]).astype(float)
    contestants, absent, notes = [], {}, []
    for name, engine in ENGINES.items():
        decode_all = partial(_decode_all, engine, files, size_px)
        try:
            difference = np.abs(np.stack(decode_all()) - wanted).mean()
        except Exception as error:  # engines raise many kinds, and none may stop the others
            absent[name] = why_absent(error)
            continue
        notes.append(f"{name}: pixels differ from Pillow's by {difference:.1f} of 255 in the mean")
        contestants.append(Contestant(name, decode_all, len(files)))
    setting, aim = f"as they are, to {size_px} px", (OURS, PILLOW, 1.5)
    return compare("decoding", setting, contestants, PILLOW, given.effort, aim, absent=absent, notes=notes[1:])


def _decode_all(engine: Engine, files: list[bytes], size_px: int) -> list[np.ndarray]:
    return [engine(content, size_px) for content in files]


def why_absent(error: Exception) -> str:
    """Return an error in one line, without the folders of this machine."""
    words = [word.rpartition("/")[2] or word for word in str(error).split()]
    return f"{type(error).__name__}: {' '.join(words)[:160]}"


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
        list(training_batches(data, recipe, seed=0, epoch=0))

    contestants = [Contestant(V2, by_image, len(data)), Contestant(OURS, by_batch, len(data))]
    where = f"{recipe.resize_px} px in memory to {recipe.image_size_px} px"
    return compare("augmenting", where, contestants, V2, given.effort, (OURS, V2, 1.0))
