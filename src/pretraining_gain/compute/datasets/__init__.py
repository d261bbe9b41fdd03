"""Datasets: one module each, which says where the images of one class come from.

A module offers `load_class(images, row, split, size_px) -> (pixels, image_ids, skipped)`: the images of the class in
one row of the class table, as (N, S, S, 3) uint8 with S = size_px, an id each, and the broken files left out (and, as
`from_cache`, whether they were decoded before, see `image_folder`). A dataset too large for memory offers
`load_set(images, rows, split, size_px) -> ImageSet` instead. The study names the module, so a new dataset is a new file
here, and, if it takes options or columns of its own, a line in `plan/datasets.py`.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.errors import InputError
from pretraining_gain.plan.datasets import check_columns, check_dataset
from pretraining_gain.plan.studies import Images

Split = Literal["train", "eval"]


def load_images(images: Images, rows: pd.DataFrame, split: Split, size_px: int) -> ImageSet:
    """The `split` of the classes in `rows`, label i for the i-th row. Raises `InputError` for missing or broken images,
    and for a class that has none."""
    check_dataset(images.dataset)
    check_columns(images.dataset, images.class_table, rows.columns)
    module = importlib.import_module(f"{__name__}.{images.dataset}")
    if hasattr(module, "load_set"):
        data = module.load_set(images, rows, split, size_px)
    else:
        data = _joined([module.load_class(images, row, split, size_px) for row in rows.to_dict("records")])
    counts = np.bincount(data.labels.numpy(), minlength=len(rows))
    if not counts.all():
        key = rows["key"].iloc[int(counts.argmin())]
        where = f"class {key!r} of dataset {images.dataset}"
        raise InputError(f"{where} has no image left for {split}; accepted: one or more a class (see the study file)")
    return data


def _joined(parts: list[Any]) -> ImageSet:
    """One set of the images of all classes, in memory."""
    pixels = np.concatenate([part[0] for part in parts])
    labels = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
    image_ids = [image_id for part in parts for image_id in part[1]]
    skipped = [path for part in parts for path in part[2]]
    cached = [getattr(part, "from_cache", None) for part in parts]
    nchw = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    from_cache = None if None in cached else all(cached)
    return ImageSet(nchw, torch.from_numpy(labels), image_ids, skipped, from_cache)
