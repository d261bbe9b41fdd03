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
from pretraining_gain.bench.parts import N_CLASSES, OURS, Given
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.images.decoding import decode
from pretraining_gain.compute.pipeline import training_batches

PILLOW, V2 = "Pillow", "torchvision v2, image by image"
_IMAGENET_PX = (500, 375)


def _pillow(content: bytes, size_px: int, draft: bool = False) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        if draft:
            image.draft("RGB", (size_px, size_px))
        return np.asarray(ImageOps.fit(image.convert("RGB"), (size_px, size_px), Image.Resampling.BICUBIC))


def _torchvision(content: bytes, size_px: int) -> np.ndarray:
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    image = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    steps = v2.Compose([v2.Resize(size_px, antialias=True), v2.CenterCrop(size_px)])
    return steps(image).numpy().transpose(1, 2, 0)


def _opencv(content: bytes, size_px: int, shrinking: bool = False) -> np.ndarray:
    import cv2
    import simplejpeg

    cv2.setNumThreads(1)
    if shrinking:
        image = simplejpeg.decode_jpeg(content, "RGB", min_height=size_px, min_width=size_px, min_factor=1)
    else:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    how = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    return cv2.resize(image[top : top + side, left : left + side], (size_px, size_px), interpolation=how)


def _vips(content: bytes, size_px: int) -> np.ndarray:
    import pyvips

    image = pyvips.Image.thumbnail_buffer(content, size_px, height=size_px, crop="centre")
    return (image if image.bands == 3 else image.colourspace("srgb")).numpy()


ENGINES: dict[str, Callable[[bytes, int], np.ndarray]] = {
    PILLOW: _pillow,
    OURS: decode,
    "Pillow, shrinking while decoding": partial(_pillow, draft=True),
    "torchvision.io": _torchvision,
    "OpenCV": _opencv,
    "simplejpeg and OpenCV": partial(_opencv, shrinking=True),
    "pyvips": _vips,
}


def decoding(given: Given) -> list[dict[str, Any]]:
    """Compare decoders on the files as they are and at ImageNet's usual size, and augmentation at three image sizes."""
    files = [path.read_bytes() for path in given.photographs.files(given.scale.decoded)]
    sets = {"as they are": files, "enlarged to {}x{}".format(*_IMAGENET_PX): [_enlarged(one) for one in files]}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = [_decoders(some, what, size_px, given) for what, some in sets.items() for size_px in given.scale.decode_px]
        return found + [_augmentation(Setting("", size_px, 128, 64), given) for size_px in (32, 64, 224)]
    finally:
        torch.set_num_threads(threads)


def _enlarged(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        ImageOps.fit(image.convert("RGB"), _IMAGENET_PX).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _decoders(files: list[bytes], what: str, size_px: int, given: Given) -> dict[str, Any]:
    wanted = np.stack([_pillow(content, size_px) for content in files])
    contestants, absent, notes = [], {}, []
    for name, engine in ENGINES.items():
        try:
            difference = np.abs(np.stack([engine(content, size_px) for content in files]).astype(float) - wanted).mean()
        except Exception as error:  # engines raise many kinds, and none may stop the others
            absent[name] = why_absent(error)
            continue
        notes.append(f"{name}: pixels differ from Pillow's by {difference:.1f} of 255 in the mean")
        contestants.append(Contestant(name, lambda engine=engine: [engine(content, size_px) for content in files], len(files)))  # type: ignore[misc]
    setting, aims = f"{what}, to {size_px} px", [(OURS, PILLOW, 1.5)]
    return compare("decoding", setting, contestants, PILLOW, given.effort, aims=aims, absent=absent, notes=notes[1:])


def why_absent(error: Exception) -> str:
    """Return an error in one line, without the folders of this machine."""
    return f"{type(error).__name__}: {' '.join(word.rpartition('/')[2] or word for word in str(error).split())[:160]}"


def _augmentation(setting: Setting, given: Given) -> dict[str, Any]:
    """Compare ways from uint8 images in memory to a normalised batch: crop, resize, mirror."""
    from torchvision.transforms import v2  # after `pretraining_gain.compute`, which makes it importable

    recipe = setting.recipe()
    data = tiled(given.photographs.task(2 * N_CLASSES, N_CLASSES).decoded("train", recipe.resize_px), setting.images)
    crop = v2.RandomResizedCrop(recipe.image_size_px, scale=(recipe.crop_scale_min, 1.0), antialias=True)
    steps = v2.Compose([crop, v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    def by_image() -> None:
        with torch_defaults():
            for positions in torch.randperm(len(data)).split(recipe.batch_size):
                torch.stack([steps(data.images[position]) for position in positions.tolist()])

    def by_batch() -> None:
        list(training_batches(data, recipe, seed=0, epoch=0))

    contestants = [Contestant(V2, by_image, len(data)), Contestant(OURS, by_batch, len(data))]
    where = f"{recipe.resize_px} px in memory to {recipe.image_size_px} px"
    return compare("augmenting", where, contestants, V2, given.effort, aims=[(OURS, V2, 1.0)])
