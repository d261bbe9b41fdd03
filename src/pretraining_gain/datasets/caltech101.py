"""Caltech-101 as published: `caltech-101/101_ObjectCategories/<folder>/image_NNNN.jpg`, about 300×200 pixels."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pretraining_gain.datasets import Dataset, Download
from pretraining_gain.paths import data_root

if TYPE_CHECKING:
    from pretraining_gain.compute.images.folder import Decoded
    from pretraining_gain.plan.parts import Images

_TAR = "101_ObjectCategories.tar.gz"


def load_class(images: Images, row: dict[str, Any], split: str, size_px: int) -> Decoded:
    """Load a seeded split of the class: `train_images_per_class` to train, and up to `eval_images_per_class` of the rest.

    Randomness: (split_seed, class_id) only, so all runs of a study share one evaluation set. A class may gather
    several folders (`folders`, separated by semicolons): views of one taxon.
    """
    from pretraining_gain.compute.images.folder import check_enough, list_images, load_files

    root = data_root() / "caltech-101" / "101_ObjectCategories"
    paths = [path for folder in row["folders"].split(";") for path in list_images(root / folder)]
    check_enough(paths, images, f"class {row['key']!r} in {root}")
    order = np.random.default_rng([images.split_seed, row["class_id"]]).permutation(len(paths))
    n = images.train_images_per_class
    chosen = order[:n] if split == "train" else order[n : n + images.eval_images_per_class]
    return load_files([paths[i] for i in sorted(chosen)], root, size_px, images.broken_images)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the tar inside the published zip: `101_ObjectCategories/<class>/image_NNNN.jpg`."""
    with zipfile.ZipFile(archive) as outer:
        name = next((name for name in outer.namelist() if name.endswith(_TAR)), None)
        if name is None:
            raise LookupError(f"it has no {_TAR}")
        with outer.open(name) as inner, tarfile.open(fileobj=inner, mode="r:gz") as tar:
            tar.extractall(folder, filter="data")


DATASET = Dataset(
    credit="Caltech-101, Li, Andreeto, Ranzato & Perona, CC BY 4.0",
    folder="caltech-101",
    load_class=load_class,
    columns=("folders",),
    # Address and checksum as torchvision.datasets publishes them.
    download=Download(
        "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip", "md5:3138e1922a9193bfa496528edbbc45d0", unpack
    ),
)
