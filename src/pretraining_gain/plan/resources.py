"""What one run asks of the machine it is sent to: minutes, memory, GPUs and cores, derived from its study.

Prices and sizes are estimates, so each has room [assumed], and asking again (`attempt`) asks for more time and memory.
A run that is cut off nevertheless goes on from its checkpoint.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from pretraining_gain.datasets import find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import WEIGHTS_MB, device_hours
from pretraining_gain.plan.runs import Run

_SAFETY = 2  # a device at half the study's throughput, or a file system that feeds it half as fast
_FLOOR_MIN = 10  # starting Python and torch on a busy node, reading the images and hashing them, writing the notebook
_PYTHON_MB = {"cpu": 1500, "gpu": 6000}  # interpreter, torch, the notebook and what started it; CUDA's host side
# Weights, gradients, momentum; weights and momentum once more while the checkpoint is written, and once as its bytes.
_COPIES_OF_WEIGHTS = 7
_BYTES_OF_BATCH_PIXEL = 3 * (3 * 1 + 4 + 4 + 4)  # as stored, two batches ahead; as float, cropped, normalised: three channels
# What a training step keeps for each pixel of a batch, fp32; on a GPU it is the GPU's.
_KEPT_KB_PER_PIXEL = {"resnet50": 2.2, "resnet18": 0.6, "resnet10_w32": 0.3, "resnet10_w16": 0.15}
_FEATURES = {"resnet50": 2048, "resnet18": 512, "resnet10_w32": 256, "resnet10_w16": 128}  # float32 numbers of a view
_INDEX_BYTES = 300  # of an image that stays on disk: its id, place and checksum
_CORES_PER_GPU = 4  # decoding 2,500 JPEGs of 256 px a second takes about one (`make bench`)


@dataclass(frozen=True)
class Resources:
    """`gpu` and `cores` are of the whole run, over all its devices."""

    runtime_min: int
    mem_mb: int
    gpu: int
    cores: int


def resources_of(run: Run, attempt: int = 1) -> Resources:
    """What `run` asks for when it is started for the `attempt`-th time (from 1)."""
    devices = whole_number("DEVICES", 1)
    on_gpu = uses_gpu(run)
    minutes = _FLOOR_MIN + _SAFETY * 60 * device_hours(run) / devices
    memory = devices * (_PYTHON_MB["gpu" if on_gpu else "cpu"] + _SAFETY * _data_mb(run, on_gpu, devices))
    return Resources(
        runtime_min=attempt * math.ceil(minutes),
        mem_mb=attempt * math.ceil(memory / 500) * 500,
        gpu=devices if on_gpu else 0,
        cores=devices * (_CORES_PER_GPU if on_gpu else whole_number("THREADS", 1)),
    )


def check_environment() -> None:
    """Raise `InputError` for a bad `PRETRAINING_GAIN_DEVICES` or `_THREADS`."""
    for name in ("DEVICES", "THREADS"):
        whole_number(name, 1)


def uses_gpu(run: Run) -> bool:
    """Whether the study's throughput is of GPUs, as said by the name of its device."""
    return "cpu" not in run.plan.throughput.device.lower()


def _data_mb(run: Run, on_gpu: bool, devices: int) -> float:
    """Memory of images and network in one process, in MB."""
    recipe, images = run.recipe, run.images
    classes = images.n_classes if run.downstream else run.k
    n_images = classes * (images.train_images_per_class + (images.eval_images_per_class if run.downstream else 0))
    held = n_images * (_INDEX_BYTES if find_dataset(images.dataset).preparation else 3 * recipe.resize_px**2)
    batch_pixels = recipe.batch_size / devices * recipe.resize_px**2
    kept = 0 if on_gpu else batch_pixels * _KEPT_KB_PER_PIXEL[run.backbone] * 1000
    viewed = classes * images.train_images_per_class * min(recipe.frozen_views, recipe.epochs)
    held += 2 * viewed * 4 * _FEATURES[run.backbone]
    return (held + batch_pixels * _BYTES_OF_BATCH_PIXEL + kept) / 1e6 + _COPIES_OF_WEIGHTS * WEIGHTS_MB[run.backbone]


def whole_number(name: str, default: int, least: int = 1, most: int = 1024) -> int:
    """The value of the environment variable `PRETRAINING_GAIN_<name>`. Raises `InputError` where it is not accepted."""
    value = os.environ.get(f"PRETRAINING_GAIN_{name}", "")
    if value and not (value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
        raise InputError(f"PRETRAINING_GAIN_{name}={value!r}; accepted: a whole number from {least} to {most}")
    return int(value or default)
