"""Derive from a study what one run asks of the machine it is sent to: minutes, memory, GPUs and cores.

Prices and sizes are estimates, so each has room [assumed], and each further `attempt` asks for more time and memory. A run
that is cut off nevertheless resumes from its checkpoint.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from pretraining_gain.datasets import find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.plan.backbones import find_backbone
from pretraining_gain.plan.costs import device_hours, images_planned
from pretraining_gain.plan.runs import Run

_SAFETY = 2  # a device at half the study's throughput, or a file system that feeds it half as fast
_FLOOR_MIN = 10  # to start Python and torch on a busy node, read and hash the images, and write the notebook
_PYTHON_MB = {"cpu": 1500, "gpu": 6000}  # interpreter, torch, the notebook and its runner; CUDA's host side
# Weights, gradients, momentum; weights and momentum once more while the checkpoint is written, and once as its bytes.
_COPIES_OF_WEIGHTS = 7
_BYTES_OF_BATCH_PIXEL = 3 * (3 * 1 + 4 + 4 + 4)  # three channels: as stored, prefetched twice; as float, cropped, normalised
_INDEX_BYTES = 300  # of an image that stays on disk: its id, place and checksum
_DECODING_CORES = 4  # per GPU, for images on disk: decoding 2,500 JPEGs of 256 px per second takes one or two (`make bench`)


@dataclass(frozen=True)
class Resources:
    """The resources that a run requests, over all its devices."""

    runtime_min: int
    mem_mb: int
    gpu: int
    cores: int


def resources_of(run: Run, attempt: int = 1) -> Resources:
    """Return what `run` asks for in its `attempt`-th start, from 1. A study priced on GPUs asks for GPUs."""
    devices = whole_number("DEVICES", 1)
    on_gpu = "cpu" not in run.plan.throughput.device.lower()
    gpu_cores = _DECODING_CORES if find_dataset(run.images.dataset).preparation else 1
    minutes = _FLOOR_MIN + _SAFETY * 60 * device_hours(run) / devices
    memory = devices * (_PYTHON_MB["gpu" if on_gpu else "cpu"] + _SAFETY * _data_mb(run, on_gpu, devices))
    return Resources(
        runtime_min=attempt * math.ceil(minutes),
        mem_mb=attempt * math.ceil(memory / 500) * 500,
        gpu=devices if on_gpu else 0,
        cores=devices * (gpu_cores if on_gpu else whole_number("THREADS", 1)),
    )


def check_environment() -> None:
    """Raise `InputError` for a bad `PRETRAINING_GAIN_DEVICES` or `_THREADS`."""
    for name in ("DEVICES", "THREADS"):
        whole_number(name, 1)


def _data_mb(run: Run, on_gpu: bool, devices: int) -> float:
    """Estimate the memory of images and network in one process, in MB."""
    recipe, images, network = run.recipe, run.images, find_backbone(run.backbone)
    trained = images_planned(run, "train")
    n_images = trained + images_planned(run, "eval")
    held = n_images * (_INDEX_BYTES if find_dataset(images.dataset).preparation else 3 * recipe.resize_px**2)
    batch_pixels = recipe.batch_size / devices * recipe.resize_px**2
    activations = 0 if on_gpu else batch_pixels * network.kept_kb_per_pixel * 1000
    n_views = trained * min(recipe.frozen_views, recipe.epochs)
    held += 2 * n_views * 4 * network.n_features
    return (held + batch_pixels * _BYTES_OF_BATCH_PIXEL + activations) / 1e6 + _COPIES_OF_WEIGHTS * network.weights_mb


def whole_number(name: str, default: int, least: int = 1, most: int = 1024) -> int:
    """Read the environment variable `PRETRAINING_GAIN_<name>`. Raises `InputError` for a value that is not accepted."""
    value = os.environ.get(f"PRETRAINING_GAIN_{name}", "")
    if value and not (value.isdecimal() and len(value) < 20 and least <= int(value) <= most):
        raise InputError(f"PRETRAINING_GAIN_{name}={value!r}; accepted: a whole number from {least} to {most}")
    return int(value or default)


def allowed_cores() -> int:
    """Return the number of cores that this process may use, which `taskset` and cluster managers limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
