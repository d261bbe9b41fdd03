"""Load the images of a study: whichever dataset they come from, one `ImageSet`."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import torch

from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.datasets import Split, check_columns, find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.plan.parts import Images


def load_images(images: Images, rows: pd.DataFrame, split: Split, size_px: int) -> ImageSet:
    """Load the `split` of the classes in `rows`, label i for the i-th row, as squares of `size_px` pixels.

    Counts on stderr the broken images that are left out, and names the smallest class if it is smaller than asked for. Raises
    `InputError` for missing or broken images, and for a class that has none.
    """
    dataset = find_dataset(images.dataset)
    check_columns(images.dataset, images.class_table, rows.columns)
    if dataset.load_set:
        data = dataset.load_set(images, rows, split, size_px)
    else:
        parts = [dataset.load_class(images, row, split, size_px) for row in rows.to_dict("records")]  # type: ignore[misc]
        pixels = np.concatenate([part[0] for part in parts]).transpose(0, 3, 1, 2)
        labels = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
        ids, skipped = ([text for part in parts for text in part[i]] for i in (1, 2))
        cached = [part[3] for part in parts]
        from_cache = None if None in cached else all(cached)
        data = ImageSet(torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels), ids, skipped, from_cache)
    counts = np.bincount(data.labels.numpy(), minlength=len(rows))
    smallest = rows["key"].iloc[int(counts.argmin())]
    wanted = images.per_class(split)
    if data.skipped and counts.min() < wanted:
        left = f"{len(data.skipped)} broken images are left out for {split}"
        print(f"{images.dataset}: {left}; the smallest class, {smallest!r}, has {counts.min()}", file=sys.stderr)
    if not counts.all():
        where = f"class {smallest!r} of dataset {images.dataset}"
        raise InputError(f"{where} has no image left for {split}; accepted: one or more per class (see the study file)")
    return data
