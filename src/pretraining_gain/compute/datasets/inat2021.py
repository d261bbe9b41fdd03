"""iNaturalist 2021 from its official JSON files and image folders, prepared into packs (paper, D.1).

`inat2021/{train_mini,train,val}.json` and `inat2021/{train_mini,train,val}/NNNNN_Animalia_…_Species/*.jpg`. Trains on
train_mini. Evaluates on a manifest drawn from train (the paper's way), or, with `options: {evaluate_on: val}`, on the
official val, which has 10 images a class.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from pretraining_gain.compute.datasets.prepared import load_set as load_set
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, make_writable, prepared_root, write_atomically
from pretraining_gain.plan import inat2021 as official
from pretraining_gain.plan.studies import Images
from pretraining_gain.plan.taxonomy import made_table_path

Originals = list[tuple[str, Path]]
EVALUATE_ON = ("train", "val")


def make_class_table(images: Images) -> None:
    """Write the class table of the animal classes, from train_mini.json, unless the same is there."""
    table = official.class_table(_listing("train_mini"), images.n_classes)
    path = made_table_path("inat2021_animals")
    content = table.to_csv(index=False, lineterminator="\n").encode()
    make_writable(path.parent)
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


def list_originals(images: Images, rows: pd.DataFrame, split: str) -> list[Originals]:
    """Id and path of the images of each class in `rows`. Raises `InputError` naming folders that lack images."""
    if split == "train":
        chosen = _listing("train_mini").images
    elif evaluate_on(images) == "val":
        chosen = _listing("val").images
    else:
        chosen = official.verify_manifest(
            manifest_path(images),
            _listing("train"),
            _listing("train_mini"),
            images.eval_images_per_class,
            images.split_seed,
        )
    root = data_root() / "inat2021"
    found = [
        [(image["file_name"], root / image["file_name"]) for image in chosen.get(int(number), [])]
        for number in rows["category_id"]
    ]
    there = {folder: set(_names(folder)) for folder in {path.parent for paths in found for _, path in paths}}
    missing = [path for paths in found for _, path in paths if path.name not in there[path.parent]]
    if missing or not any(found):
        what = f"{len(missing)} image(s) are missing, first {missing[0]}" if missing else "no images are listed"
        raise InputError(f"{root}: {what}; extract the archive of iNaturalist 2021 again")
    return found


def evaluate_on(images: Images) -> str:
    choice = str(images.options.get("evaluate_on", "train"))
    if choice not in EVALUATE_ON:
        raise InputError(f"dataset inat2021: option evaluate_on={choice!r}; accepted: {', '.join(EVALUATE_ON)}")
    return choice


def manifest_path(images: Images) -> Path:
    """The evaluation manifest of this seed and number of images."""
    name = f"evaluation-{images.eval_images_per_class}-seed{images.split_seed}.json"
    return prepared_root() / "inat2021" / name


def make_manifest(images: Images, training_hashes: Callable[[], set[str]]) -> dict[str, int]:
    """Draw the evaluation manifest unless it is there; returns the classes with fewer images than wanted.

    `training_hashes()` are the SHA-256 of train_mini's files: a file of train with the same content is passed over.
    """
    if evaluate_on(images) == "val":
        return {}
    path = manifest_path(images)
    if not path.exists():
        known = training_hashes()
        root = data_root() / "inat2021"
        manifest = official.draw_manifest(
            _listing("train"),
            _listing("train_mini"),
            images.eval_images_per_class,
            images.split_seed,
            lambda image: _sha256(root / image["file_name"]) in known,
        )
        write_atomically(make_writable(path.parent) / path.name, (json.dumps(manifest) + "\n").encode())
    return json.loads(path.read_text(encoding="utf-8"))["short"]


def credit(image_id: str) -> dict[str, Any]:
    """Rights holder and licence of an image, as its JSON states them, for whoever shows it."""
    listing = _listing(Path(image_id).parts[0])
    row = next(image for images in listing.images.values() for image in images if image["file_name"] == image_id)
    licence = listing.licences.get(row.get("license"), {})
    return {"rights_holder": row.get("rights_holder", ""), "licence": licence.get("name", ""), "url": licence.get("url", "")}


def _listing(split: str) -> official.Listing:
    path = data_root() / "inat2021" / f"{split}.json"
    return _read(path, path.stat().st_mtime_ns if path.exists() else 0)


@cache
def _read(path: Path, _mtime_ns: int) -> official.Listing:
    return official.read_listing(path)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"image {path} cannot be read: {error.strerror}") from None
