"""CIFAR-10 as files: `cifar-10/{train,test}/<class>/NNNN.{jpg,png}`, 32 pixels."""

from __future__ import annotations

from typing import Any

from pretraining_gain.compute.datasets.image_folder import Decoded, check_enough, list_images, load_files
from pretraining_gain.paths import data_root
from pretraining_gain.plan.studies import Images


def load_class(images: Images, row: dict[str, Any], split: str, size_px: int) -> Decoded:
    """The first `train_images_per_class` of the class's training folder, or up to `eval_images_per_class` of its test
    folder."""
    root = data_root() / "cifar-10"
    folder = root / ("train" if split == "train" else "test") / row["key"]
    paths = list_images(folder)
    if split == "train":
        check_enough(paths, images, str(folder))
        paths = paths[: images.train_images_per_class]
    else:
        paths = paths[: images.eval_images_per_class]
    return load_files(paths, root, size_px, images.broken_images)
