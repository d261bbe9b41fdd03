"""Datasets: one module each, which says where the images of one class come from.

A module offers `load_class(images, row, split, size_px) -> (pixels, image_ids, skipped)`: the images of the class in
one row of the class table, as (N, S, S, 3) uint8 with S = size_px, an id each, and the broken files left out. A
dataset too large for memory offers `load_set(images, rows, split, size_px) -> ImageSet` instead. The study names the
module, so a new dataset is a new file here.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch

from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import Images

Split = Literal["train", "eval"]


def dataset_names() -> list[str]:
    shared = {"__init__", "image_folder", "prepared"}
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in shared)


def load_images(images: Images, rows: pd.DataFrame, split: Split, size_px: int) -> ImageSet:
    """The `split` of the classes in `rows`, label i for the i-th row. Raises `InputError` for missing or broken images."""
    if images.dataset not in dataset_names():
        raise InputError(f"dataset {images.dataset!r} is unknown; accepted: {', '.join(dataset_names())}")
    module = importlib.import_module(f"{__name__}.{images.dataset}")
    if hasattr(module, "load_set"):
        return module.load_set(images, rows, split, size_px)
    parts = [module.load_class(images, row, split, size_px) for row in rows.to_dict("records")]
    pixels = np.concatenate([part[0] for part in parts])
    labels = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
    image_ids = [image_id for part in parts for image_id in part[1]]
    skipped = [path for part in parts for path in part[2]]
    nchw = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return ImageSet(nchw, torch.from_numpy(labels), image_ids, skipped)
