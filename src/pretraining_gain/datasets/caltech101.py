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
    several folders (`folders`, separated by semicolons): views of one taxon. Files in `near_duplicates` are left out.
    """
    from pretraining_gain.compute.images.folder import list_images, load_part

    root = data_root() / "caltech-101" / "101_ObjectCategories"
    left_out = set(near_duplicates(row["near_duplicates"]))
    paths = [path for folder in row["folders"].split(";") for path in list_images(root / folder)]
    paths = [path for path in paths if path.relative_to(root).as_posix() not in left_out]
    order = np.random.default_rng([images.split_seed, row["class_id"]]).permutation(len(paths))
    drawn = [paths[i] for i in order]
    train = load_part(images, row["key"], drawn, "train", root, size_px)
    if split == "train":
        return train
    used = {*train.image_ids, *train.skipped}
    rest = [path for path in drawn if path.relative_to(root).as_posix() not in used]
    return load_part(images, row["key"], rest, split, root, size_px)


def near_duplicates(listed: str) -> list[str]:
    """Return the files that a class table lists as `folder/12;folder/101-200`, the numbers of images."""
    files = []
    for part in filter(None, listed.split(";")):
        folder, _, numbers = part.partition("/")
        first, _, last = numbers.partition("-")
        files += [f"{folder}/image_{number:04d}.jpg" for number in range(int(first), int(last or first) + 1)]
    return files


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
    columns=("folders", "near_duplicates"),
    # Address and checksum as torchvision.datasets publishes them.
    download=Download(
        "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip", "md5:3138e1922a9193bfa496528edbbc45d0", unpack
    ),
)
