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

from pretraining_gain.compute.datasets.image_folder import read_file
from pretraining_gain.compute.datasets.prepared import load_packs, pack_path, read_pack
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, make_writable, prepared_root, write_atomically
from pretraining_gain.plan import inat2021 as official
from pretraining_gain.plan.inat2021 import evaluate_on
from pretraining_gain.plan.studies import Images
from pretraining_gain.plan.taxonomy import made_table_path

Originals = list[tuple[str, Path]]


def load_set(images: Images, rows: pd.DataFrame, split: str, size_px: int) -> ImageSet:
    """The packs of the classes in `rows`, up to the study's number of images a class, label i for the i-th row.

    A drawn evaluation set is verified at each use: its manifest, that the packs hold what it lists, and that none of
    it is trained on. Raises `InputError` for what differs.
    """
    limit = images.train_images_per_class if split == "train" else images.eval_images_per_class
    loaded = load_packs("inat2021", part_name(images, split), size_px, rows["key"].tolist(), limit)
    if split == "eval" and is_drawn(images):
        _verify_packs(images, rows, size_px)
    return loaded


def part_name(images: Images, split: str) -> str:
    if split == "train":
        return "train"
    seeded = f"-{images.eval_images_per_class}-seed{images.split_seed}" if is_drawn(images) else ""
    return f"eval-{evaluate_on(images)}{seeded}"


def set_up(images: Images) -> None:
    """Before a preparation: see that the official files are there, and write the class table, from train_mini.json,
    unless the same is there."""
    for split in ("train_mini", evaluate_on(images)):
        for path in (data_root() / "inat2021" / split, data_root() / "inat2021" / f"{split}.json"):
            if not path.exists():
                raise InputError(f"{path} is missing; it is published with iNaturalist 2021 (visipedia/inat_comp)")
    table = official.class_table(_listing("train_mini"), images.n_classes)
    path = made_table_path("inat2021_animals")
    content = table.to_csv(index=False, lineterminator="\n").encode()
    make_writable(path.parent)
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


def is_drawn(images: Images) -> bool:
    return evaluate_on(images) == "train"


def list_originals(images: Images, rows: pd.DataFrame, split: str) -> list[Originals]:
    """Id and path of the images of each class in `rows`. Raises `InputError` naming classes that lack images."""
    part, drawn = ("train_mini", False) if split == "train" else (evaluate_on(images), is_drawn(images))
    if drawn:
        manifest = _read_manifest(images)
        chosen = official.verify_manifest(manifest, manifest_path(images), _listing("train"), _listing("train_mini"))
    else:
        chosen = _listing(part).images
    root = data_root() / "inat2021"
    found = [
        [(image["file_name"], root / image["file_name"]) for image in chosen.get(int(number), [])]
        for number in rows["category_id"]
    ]
    there = {folder: set(_names(folder)) for folder in {path.parent for paths in found for _, path in paths}}
    lacking = []
    for key, paths in zip(rows["key"], found, strict=True):
        n = sum(path.name in there[path.parent] for _, path in paths)
        if n < len(paths) or not (paths or drawn):
            lacking.append(f"{key} ({n} of {len(paths)})")
    if lacking:
        raise InputError(
            f"{root / part}: {len(lacking)} of {len(rows)} classes lack images that {part}.json lists, extract the archive "
            f"again: {', '.join(lacking[:20])}{', …' if len(lacking) > 20 else ''}"
        )
    return found


def manifest_path(images: Images) -> Path:
    """The evaluation manifest of this seed and number of images."""
    name = f"evaluation-{images.eval_images_per_class}-seed{images.split_seed}.json"
    return prepared_root() / "inat2021" / name


def manifest_checksum(images: Images) -> str:
    return _read_manifest(images)["checksum"]


def make_manifest(
    images: Images,
    training_hashes: Callable[[], set[str]],
    each: Callable[[Callable[[Path], str], list[Path]], list[str]],
    on_class: Callable[[], object],
) -> dict[str, int]:
    """Draw the evaluation manifest unless it is there; returns the classes with fewer images than wanted.

    `training_hashes()` are the SHA-256 of train_mini's files: a file of train with the same content is passed over.
    `each(function, items)` is a map, which may work in parallel; `on_class()` is called after each class.
    """
    path = manifest_path(images)
    if not path.exists():
        known, root = training_hashes(), data_root() / "inat2021"
        manifest = official.draw_manifest(
            _listing("train"),
            _listing("train_mini"),
            images.eval_images_per_class,
            images.split_seed,
            lambda some: [sha256 in known for sha256 in each(_sha256, [root / image["file_name"] for image in some])],
            on_class,
        )
        write_atomically(make_writable(path.parent) / path.name, (json.dumps(manifest) + "\n").encode())
    return _read_manifest(images)["short"]


def _read_manifest(images: Images) -> dict[str, Any]:
    return official.read_manifest(manifest_path(images), images.eval_images_per_class, images.split_seed)


def _verify_packs(images: Images, rows: pd.DataFrame, size_px: int) -> None:
    checksum, where = manifest_checksum(images), f"evaluation manifest {manifest_path(images)}"
    trained: dict[str, str] = {}  # file, and content -> id of an image that is trained on
    for index in _indexes(images, rows, "train", size_px):
        for _, image_id, sha256 in index["images"]:
            trained |= {official.file_key(image_id): image_id, sha256: image_id}
    for key, index in zip(rows["key"], _indexes(images, rows, "eval", size_px), strict=True):
        if index.get("manifest") != checksum:
            raise InputError(
                f"{where}: the pack of {key} was made from another one; delete it and run the preparation again"
            )
        for _, image_id, sha256 in index["images"]:
            same = trained.get(official.file_key(image_id)) or trained.get(sha256)
            if same:
                raise InputError(f"{where}: image {image_id} is trained on, as {same}")


def _indexes(images: Images, rows: pd.DataFrame, split: str, size_px: int) -> list[dict[str, Any]]:
    return [read_pack(pack_path("inat2021", part_name(images, split), size_px, key))[0] for key in rows["key"]]


def credit(image_id: str) -> dict[str, Any]:
    """Rights holder and licence of an image, as its JSON states them, for whoever shows it."""
    split, folder, _ = Path(image_id).parts
    listing = _listing(split)
    number = next(category["id"] for category in listing.categories if category["image_dir_name"] == folder)
    row = next(image for image in listing.images[number] if image["file_name"] == image_id)
    licence = listing.licences.get(row.get("license"), {})
    return {
        "rights_holder": row.get("rights_holder", ""),
        "licence": licence.get("name", ""),
        "url": licence.get("url", ""),
    }


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
        return hashlib.sha256(read_file(path)).hexdigest()
    except OSError as error:
        raise InputError(f"image {path} cannot be read: {error.strerror or error}") from None
