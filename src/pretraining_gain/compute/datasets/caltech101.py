"""Caltech-101 as published: `caltech-101/101_ObjectCategories/<folder>/image_NNNN.jpg`, about 300×200 pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pretraining_gain.compute.datasets.image_folder import Decoded, check_enough, list_images, load_files
from pretraining_gain.paths import data_root
from pretraining_gain.plan.studies import Images


def load_class(images: Images, row: dict[str, Any], split: str, size_px: int) -> Decoded:
    """A seeded split of the class's images: `train_images_per_class` to train, of the rest up to `eval_images_per_class`.

    Randomness: (split_seed, class_id) only, so all runs of a study share one evaluation set. A class may gather
    several folders (`folders`, separated by semicolons): views of one taxon.
    """
    root = data_root() / "caltech-101" / "101_ObjectCategories"
    paths = [path for folder in row["folders"].split(";") for path in list_images(root / folder)]
    check_enough(paths, images, f"class {row['key']!r} in {root}")
    order = np.random.default_rng([images.split_seed, row["class_id"]]).permutation(len(paths))
    n = images.train_images_per_class
    chosen = order[:n] if split == "train" else order[n : n + images.eval_images_per_class]
    return load_files([paths[i] for i in sorted(chosen)], root, size_px, images.broken_images)
