"""CIFAR-10 as files: `cifar-10/{train,test}/<class>/NNNN.{jpg,png}`, 32 pixels."""

from __future__ import annotations

import pickle
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pretraining_gain.datasets import Dataset, Download
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root

if TYPE_CHECKING:
    from pretraining_gain.compute.images.folder import Decoded
    from pretraining_gain.plan.parts import Images


def load_class(images: Images, row: dict[str, Any], split: str, size_px: int) -> Decoded:
    """Load the first `train_images_per_class` of the class's training folder, or up to `eval_images_per_class` of its
    test folder."""
    from pretraining_gain.compute.images.folder import list_images, load_part

    root = data_root() / "cifar-10"
    paths = list_images(root / ("train" if split == "train" else "test") / row["key"])
    return load_part(images, row["key"], paths, split, root, size_px)


def unpack(archive: Path, folder: Path) -> None:
    """Write the published arrays as lossless files `{train,test}/<class>/NNNN.png`, numbered in the official order."""
    from PIL import Image

    with tarfile.open(archive) as tar:
        names = {Path(member.name).name: member for member in tar.getmembers()}
        classes = _unpickled(tar, names["batches.meta"])["label_names"]
        for split, parts in {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}.items():
            count = dict.fromkeys(classes, 0)
            for part in parts:
                batch = _unpickled(tar, names[part])
                pixels = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                for image, label in zip(pixels, batch["labels"], strict=True):
                    name = classes[label]
                    path = folder / split / name / f"{count[name]:04d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(path)
                    count[name] += 1


def _unpickled(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict:
    """Read one of the official pickles. The archive's checksum was verified before."""
    file = tar.extractfile(member)
    if file is None:
        raise InputError(f"{member.name} in the CIFAR-10 archive is not a file")
    return pickle.load(file, encoding="latin1")


DATASET = Dataset(
    credit="CIFAR-10, Krizhevsky 2009, no licence stated",
    folder="cifar-10",
    load_class=load_class,
    # Address and checksum as torchvision.datasets publishes them.
    download=Download(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a", unpack
    ),
)
