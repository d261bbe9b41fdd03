"""(5) Decoding JPEG files, and augmenting what was decoded, on one core."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms import v2

from pretraining_gain.bench.baseline import MEAN, STD, as_torch_comes
from pretraining_gain.bench.engines import ENGINES, OURS, PILLOW, Decode
from pretraining_gain.bench.given import N_CLASSES, Given
from pretraining_gain.bench.measure import Contestant, compare
from pretraining_gain.bench.ours import recipe_for
from pretraining_gain.bench.photographs import tiled
from pretraining_gain.bench.records import Comparison, Goal, Part
from pretraining_gain.bench.scale import Setting
from pretraining_gain.bench.threads import one_thread
from pretraining_gain.compute.pipeline import training_batches

IMAGENET_PX = (500, 375)
AT_LEAST = 1.5
V2 = "torchvision v2, image by image"


def decoding(given: Given) -> Part:
    contents = [path.read_bytes() for path in given.photographs.files(given.scale.decoded)]
    sets = {"as they are": contents, "enlarged to {}x{}".format(*IMAGENET_PX): [_enlarged(one) for one in contents]}
    with one_thread():
        found = [
            _decoding_of(files, what, size_px, given)
            for what, files in sets.items()
            for size_px in given.scale.decode_sizes_px
        ]
        settings = [Setting("", size_px, 128, 64, 1) for size_px in (32, 64, 224)]
        found += [_augmenting(setting, given) for setting in settings]
    return Part(comparisons=found)


def _enlarged(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        ImageOps.fit(image.convert("RGB"), IMAGENET_PX).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _decoding_of(files: list[bytes], what: str, size_px: int, given: Given) -> Comparison:
    engines, absent, differences = {}, {}, {}
    wanted = np.stack([ENGINES[PILLOW](size_px)(content) for content in files])
    for name, make in ENGINES.items():
        try:
            engine = make(size_px)
            pixels = np.stack([engine(content) for content in files])
            if pixels.shape != wanted.shape:
                raise ValueError(f"gives pixels of shape {pixels.shape[1:]}")
        except Exception as error:  # engines fail in ways of their own, and none may stop the others
            absent[name] = why_absent(error)
            continue
        engines[name] = engine
        differences[name] = np.abs(pixels.astype(float) - wanted).mean()
    notes = [
        f"{name}: pixels differ from Pillow's by {value:.1f} of 255 in the mean" for name, value in differences.items()
    ]
    return compare(
        "decoding",
        [Contestant(name, lambda engine=engine: _all(engine, files), len(files)) for name, engine in engines.items()],
        given.effort(given.scale.decode_s),
        setting=f"{what}, to {size_px} px",
        reference=PILLOW,
        goals=[Goal(contestant=OURS, reference=PILLOW, at_least=AT_LEAST)],
        absent=absent,
        notes=notes[1:],
    )


def why_absent(error: Exception) -> str:
    """One line, without the folders of this machine."""
    line = " ".join(str(error).split())
    return f"{type(error).__name__}: {' '.join(word.rpartition('/')[2] or word for word in line.split())[:160]}"


def _all(decode: Decode, files: list[bytes]) -> None:
    for content in files:
        decode(content)


def _augmenting(setting: Setting, given: Given) -> Comparison:
    """From uint8 images in memory to a normalised batch: crop, resize, mirror."""
    recipe = recipe_for(setting)
    few = given.photographs.task(2 * N_CLASSES, N_CLASSES).decoded("train", recipe.resize_px)
    data = tiled(few, setting.images)
    steps = v2.Compose([
        v2.RandomResizedCrop(recipe.image_size_px, scale=(recipe.crop_scale_min, 1.0), antialias=True),
        v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD),
    ])  # fmt: skip

    def by_image() -> None:
        with as_torch_comes():
            for positions in torch.randperm(len(data)).split(recipe.batch_size):
                torch.stack([steps(data.images[position]) for position in positions.tolist()])

    def by_batch() -> None:
        for _ in training_batches(data, recipe, seed=0, epoch=0):
            pass

    return compare(
        "augmenting",
        [Contestant(V2, by_image, len(data)), Contestant(OURS, by_batch, len(data))],
        given.effort(given.scale.decode_s),
        setting=f"{recipe.resize_px} px in memory to {recipe.image_size_px} px",
        reference=V2,
        goals=[Goal(contestant=OURS, reference=V2, at_least=1.0)],
    )
