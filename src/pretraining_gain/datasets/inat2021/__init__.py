"""iNaturalist 2021 from its official JSON files and image folders, prepared into packs (paper, D.1).

`inat2021/{train_mini,train,val}.json` and `inat2021/{train_mini,train,val}/NNNNN_Animalia_…_Species/*.jpg`. Trains on
train_mini. Evaluates on a manifest drawn from train (the paper's way), or, with `options: {evaluate_on: val}`, on the
official val, which has 10 images per class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import Field

from pretraining_gain.datasets import Dataset, Drawing, Options, Originals, Preparation, options_of
from pretraining_gain.datasets.inat2021 import manifest, official
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, make_writable, prepared_root, write_atomically
from pretraining_gain.plan.taxonomy import made_table_path

if TYPE_CHECKING:
    from pretraining_gain.compute.pipeline import ImageSet
    from pretraining_gain.plan.parts import Images


class EvaluateOn(Options):
    """Evaluate on images drawn from the full training set, or on the official validation set."""

    evaluate_on: Literal["train", "val"] = Field(default="train", description="train, val")


def evaluate_on(images: Images) -> str:
    """Return the official part that the evaluation images come from: `train` (drawn) or `val` (as published)."""
    return options_of("inat2021", images.options).evaluate_on


def is_drawn(images: Images) -> bool:
    return evaluate_on(images) == "train"


def describe_evaluation(images: Images) -> str:
    """Say in words which images a target is evaluated on."""
    n = images.eval_images_per_class
    if is_drawn(images):
        return f"{n} images per class drawn from the full training set (seed {images.split_seed}), none of them in train_mini"
    return f"the official validation images, up to {min(n, 10)} per class"


def part_name(images: Images, split: str) -> str:
    if split == "train":
        return "train"
    seeded = f"-{images.eval_images_per_class}-seed{images.split_seed}" if is_drawn(images) else ""
    return f"eval-{evaluate_on(images)}{seeded}"


def load_set(images: Images, rows: pd.DataFrame, split: str, size_px: int) -> ImageSet:
    """Load the packs of the classes in `rows`, up to the study's number of images per class, label i for the i-th row.

    A drawn evaluation set is verified at each use: its manifest, that the packs hold what it lists, and that none of
    it is trained on. Raises `InputError` for what differs.
    """
    from pretraining_gain.compute.images.packs import load_packs

    loaded = load_packs("inat2021", part_name(images, split), size_px, rows["key"].tolist(), images.per_class(split))
    if split == "eval" and is_drawn(images):
        _verify_packs(images, rows, size_px)
    return loaded


def _verify_packs(images: Images, rows: pd.DataFrame, size_px: int) -> None:
    from pretraining_gain.compute.images.packs import pack_path, read_pack

    def indexes(split: str) -> list[dict[str, Any]]:
        return [read_pack(pack_path("inat2021", part_name(images, split), size_px, key))[0] for key in rows["key"]]

    drawn, where = manifest_checksum(images), f"evaluation manifest {manifest_path(images)}"
    trained: dict[str, str] = {}  # file, and content -> id of an image that is trained on
    for index in indexes("train"):
        for _, image_id, sha256 in index["images"]:
            trained |= {manifest.file_key(image_id): image_id, sha256: image_id}
    for key, index in zip(rows["key"], indexes("eval"), strict=True):
        if index.get("manifest") != drawn:
            raise InputError(f"{where}: the pack of {key} was made from another one; delete it and run the preparation again")
        for _, image_id, sha256 in index["images"]:
            same = trained.get(manifest.file_key(image_id)) or trained.get(sha256)
            if same:
                raise InputError(f"{where}: image {image_id} is trained on, as {same}")


def set_up(images: Images) -> None:
    """Check that the official files exist, and write the class table from train_mini.json unless it is up to date."""
    for split in ("train_mini", evaluate_on(images)):
        for path in (data_root() / "inat2021" / split, data_root() / "inat2021" / f"{split}.json"):
            if not path.exists():
                raise InputError(f"{path} is missing; {official.PUBLISHED}")
    table = official.class_table(_listing("train_mini"), images.n_classes)
    path = made_table_path(DATASET.makes_table)
    content = table.to_csv(index=False, lineterminator="\n").encode()
    make_writable(path.parent)
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


def list_originals(images: Images, rows: pd.DataFrame, split: str) -> list[Originals]:
    """List id and path of the images of each class in `rows`. Raises `InputError` naming classes that lack images."""
    part, drawn = ("train_mini", False) if split == "train" else (evaluate_on(images), is_drawn(images))
    chosen = _listing(part).images
    if drawn:
        content = _read_manifest(images)
        chosen = manifest.verify_manifest(content, manifest_path(images), _listing("train"), _listing("train_mini"))
    root = data_root() / "inat2021"
    names = [[image["file_name"] for image in chosen.get(int(number), [])] for number in rows["category_id"]]
    found = [[(name, root / name) for name in some] for some in names]
    folders = {path.parent for paths in found for _, path in paths}
    there = {folder: {path.name for path in folder.iterdir()} if folder.is_dir() else set() for folder in folders}
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
    """Return the path of the evaluation manifest of this seed and number of images."""
    return prepared_root() / "inat2021" / f"evaluation-{images.eval_images_per_class}-seed{images.split_seed}.json"


def manifest_checksum(images: Images) -> str:
    return _read_manifest(images).checksum


def make_manifest(
    images: Images,
    training_hashes: Callable[[], set[str]],
    each: Callable[[Callable[[Path], str], list[Path]], list[str]],
    on_class: Callable[[], object],
) -> dict[str, int]:
    """Draw the evaluation manifest unless it exists; return the classes with fewer images than wanted.

    `training_hashes()` are the SHA-256 of train_mini's files: a file of train with the same content is passed over.
    `each(function, items)` is a map, which may work in parallel; `on_class()` is called after each class.
    """
    path = manifest_path(images)
    if not path.exists():
        known, root = training_hashes(), data_root() / "inat2021"

        def leaks(some: list[official.Photo]) -> list[bool]:
            return [sha256 in known for sha256 in each(_sha256, [root / image["file_name"] for image in some])]

        wanted = (images.eval_images_per_class, images.split_seed)
        drawn = manifest.draw_manifest(_listing("train"), _listing("train_mini"), *wanted, leaks, on_class)
        write_atomically(make_writable(path.parent) / path.name, (drawn.model_dump_json() + "\n").encode())
    return _read_manifest(images).short


def _read_manifest(images: Images) -> manifest.Manifest:
    return manifest.read_manifest(manifest_path(images), images.eval_images_per_class, images.split_seed)


def credit_image(image_id: str) -> str:
    """Return rights holder, licence and licence address of an image, as its JSON states them."""
    split, folder, _ = Path(image_id).parts
    listing = _listing(split)
    number = next(category["id"] for category in listing.categories if category["image_dir_name"] == folder)
    row = next(image for image in listing.images[number] if image["file_name"] == image_id)
    licence, holder = row.get("license"), row.get("rights_holder")
    parts = [f"© {holder}" if holder else None]
    if licence is not None and licence in listing.licences:
        parts += [listing.licences[licence].get("name"), listing.licences[licence].get("url")]
    return ", ".join(filter(None, parts)) or DATASET.credit


def _listing(split: str) -> official.Listing:
    path = data_root() / "inat2021" / f"{split}.json"
    return _read_listing(path, path.stat().st_mtime_ns if path.exists() else 0)


@cache
def _read_listing(path: Path, _mtime_ns: int) -> official.Listing:
    return official.read_listing(path)


def _sha256(path: Path) -> str:
    from pretraining_gain.compute.images.decoding import read_file

    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except OSError as error:
        raise InputError(f"image {path} cannot be read: {error.strerror or error}") from None


DATASET = Dataset(
    credit="iNaturalist 2021, each image under its photographer's licence",
    credit_image=credit_image,
    folder="inat2021",
    load_set=load_set,
    options=EvaluateOn,
    columns=("category_id",),
    on_request="iNaturalist 2021 (44 GB train_mini, 224 GB train) is at github.com/visipedia/inat_comp",
    preparation=Preparation(list_originals, part_name, set_up, Drawing(is_drawn, make_manifest, manifest_checksum)),
    makes_table="inat2021_animals",
    describe_evaluation=describe_evaluation,
)
