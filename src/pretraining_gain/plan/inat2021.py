"""iNaturalist 2021 from its official files: the animal classes, and an evaluation set kept apart from training (paper, D.1).

The official `train_mini.json`, `train.json` and `val.json` list images, categories and annotations. iNat-Mini-A is the
animal part of train_mini. The evaluation set is drawn from train, without any image of train_mini, and written once as
a manifest of image ids that can be published and is verified at each use.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.datasets import options_of
from pretraining_gain.plan.representation import imagenet_birds
from pretraining_gain.plan.studies import Images
from pretraining_gain.plan.taxonomy import SUPERCATEGORIES

#: Animal classes of each supercategory in the official files, and their sum (paper, D.1).
OFFICIAL_COUNTS = dict(zip(SUPERCATEGORIES, (170, 142, 153, 1486, 2526, 246, 169, 183, 313), strict=True))
N_ANIMAL_CLASSES = sum(OFFICIAL_COUNTS.values())
_IMAGE_FIELDS = ("id", "file_name")
_KEPT_FIELDS = (*_IMAGE_FIELDS, "license", "rights_holder")
_CATEGORY_FIELDS = ("id", "name", "supercategory", "kingdom", "order", "family", "image_dir_name")


@dataclass(frozen=True)
class Listing:
    """One official JSON: its categories, and the images of each category (dicts with id, file_name, license …) by id."""

    path: Path
    categories: list[dict[str, Any]]
    images: dict[int, list[dict[str, Any]]]
    licences: dict[int, dict[str, Any]]


def read_listing(path: Path) -> Listing:
    """Read an official JSON, keeping the animals. Raises `InputError` naming the file and what it lacks."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=_what_is_used)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; it is published with iNaturalist 2021 (visipedia/inat_comp)") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {' '.join(str(error).split())}") from None
    try:
        animals = {row["id"]: row for row in content["categories"] if row["kingdom"] == "Animalia"}
        incomplete = [field for field in _CATEGORY_FIELDS if any(field not in row for row in animals.values())]
        by_id = {row["id"]: row for row in content["images"]}
        images: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for note in content["annotations"]:
            if note["category_id"] in animals:
                images[note["category_id"]].append(by_id[note["image_id"]])
        incomplete += [field for field in _IMAGE_FIELDS if any(field not in row for row in content["images"])]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is not an iNaturalist 2021 file: {type(error).__name__} {error}") from None
    if incomplete or not animals:
        lacking = ", ".join(incomplete) or "categories of kingdom Animalia"
        raise InputError(f"{path} is not an iNaturalist 2021 file: lacking {lacking}")
    _check_unique(path, content)
    _check_names(path, [image for rows in images.values() for image in rows])
    for rows in images.values():
        rows.sort(key=lambda row: row["id"])
    licences = {row["id"]: row for row in content.get("licenses", [])}
    return Listing(path, sorted(animals.values(), key=lambda row: row["id"]), dict(images), licences)


def _check_unique(path: Path, content: dict[str, Any]) -> None:
    """No image may count twice, and no id may mean two things."""
    for part, field in (("categories", "id"), ("images", "id"), ("images", "file_name"), ("annotations", "image_id")):
        seen: set[Any] = set()
        for row in content[part]:
            if row[field] in seen:
                raise InputError(f"{path}: {field} {row[field]!r} stands twice in {part!r}; accepted: each once")
            seen.add(row[field])


def _check_names(path: Path, images: list[dict[str, Any]]) -> None:
    """A file name leads to an image beside the JSON, and nowhere else."""
    for image in images:
        name = image["file_name"]
        parts = name.split("/") if isinstance(name, str) else []
        if len(parts) != 3 or parts[0] != path.stem or not parts[1].strip(".") or not parts[2].strip("."):
            raise InputError(f"{path}: file_name {name!r}; accepted: {path.stem}/<folder>/<file>")


def _what_is_used(row: dict[str, Any]) -> dict[str, Any]:
    """An image's entry without place, date and size, as it is read: train.json has 2.7 million."""
    return {name: row[name] for name in _KEPT_FIELDS if name in row} if "file_name" in row else row


def class_table(listing: Listing, n_classes: int) -> pd.DataFrame:
    """The animal classes as a class table, in the order of their category ids.

    Raises `InputError` when their number is not `n_classes`, or, for the official 5,388, when a supercategory's is not
    the published one.
    """
    counts = pd.Series([row["supercategory"] for row in listing.categories]).value_counts().to_dict()
    if len(listing.categories) != n_classes:
        raise InputError(f"{listing.path} has {len(listing.categories)} animal classes; the study expects {n_classes}")
    unknown = sorted(set(counts) - set(SUPERCATEGORIES))
    if unknown:
        raise InputError(
            f"{listing.path}: unknown supercategory {unknown[0]!r}; accepted: {', '.join(SUPERCATEGORIES)}"
        )
    if n_classes == N_ANIMAL_CLASSES and counts != OFFICIAL_COUNTS:
        wrong = {name: counts.get(name, 0) for name, n in OFFICIAL_COUNTS.items() if counts.get(name, 0) != n}
        raise InputError(f"{listing.path}: classes a supercategory differ from the published ones: {wrong}")
    named_by = imagenet_birds().groupby("species")["wnid"].agg(lambda wnids: ";".join(sorted(set(wnids))))
    table = pd.DataFrame(listing.categories)
    return pd.DataFrame(
        {
            "class_id": range(len(table)),
            "key": table["image_dir_name"],
            "name": _common_names(table),
            "animal": "true",
            "supercategory": table["supercategory"],
            "order": table["order"],
            "family": table["family"],
            "taxon": table["name"],
            "represented_by": table["name"].map(named_by).fillna(""),
            "category_id": table["id"],
        }
    )


def _common_names(table: pd.DataFrame) -> pd.Series:
    """The English name, where there is one."""
    common = table.get("common_name", pd.Series("", index=table.index)).fillna("")
    return common.where(common != "", table["name"])


def evaluate_on(images: Images) -> str:
    """`train`: a manifest drawn from the full training set; `val`: the official validation images, 10 a class."""
    return options_of("inat2021", images.options).evaluate_on


def describe_evaluation(images: Images) -> str:
    """Which images a target is evaluated on, in words, for the book."""
    n = images.eval_images_per_class
    if images.dataset != "inat2021":
        return f"up to {n} images a class of its own evaluation split"
    drawn = (
        f"{n} images a class drawn from the full training set (seed {images.split_seed}), none of them in train_mini"
    )
    return {"train": drawn, "val": f"the official validation images, up to {min(n, 10)} a class"}[evaluate_on(images)]


def file_key(image_id: str) -> str:
    """What stays the same of a file between train and train_mini: folder and name, without the split."""
    return "/".join(image_id.rsplit("/", 2)[-2:])


def draw_manifest(
    train: Listing,
    mini: Listing,
    per_class: int,
    seed: int,
    leaks: Callable[[list[dict[str, Any]]], list[bool]],
    on_class: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Draw the evaluation set: up to `per_class` images of each class from `train`, none of which is in `mini`.

    Images of mini are left out by id and by file; `leaks(images)` says which equal one of them in content. Randomness:
    (seed, category id), over the remaining images in the order of their ids. A class with too few images gives all it
    has and stands in `short`.
    """
    known = _ids_and_files(mini)
    chosen, short = {}, {}
    for category in train.categories:
        number = category["id"]
        rest = [
            i for i in train.images.get(number, []) if i["id"] not in known and file_key(i["file_name"]) not in known
        ]
        waiting = [rest[i] for i in np.random.default_rng([seed, number]).permutation(len(rest))]
        taken: list[int] = []
        while waiting and len(taken) < per_class:
            n = per_class - len(taken)
            batch, waiting = waiting[:n], waiting[n:]
            taken += [image["id"] for image, leaked in zip(batch, leaks(batch), strict=True) if not leaked]
        chosen[str(number)] = sorted(taken)
        if len(taken) < per_class:
            short[category["image_dir_name"]] = len(taken)
        on_class()
    facts = {"dataset": "inat2021", "drawn_from": train.path.name, "without": mini.path.name}
    facts |= {"seed": seed, "images_per_class": per_class, "checksum": _checksum(chosen)}
    return facts | {"short": short, "images": chosen}


def read_manifest(path: Path, per_class: int, seed: int) -> dict[str, Any]:
    """Read a manifest. Raises `InputError` when it is missing, damaged, was changed, or drawn with another seed or number."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = {name: manifest[name] for name in ("seed", "images_per_class", "images", "checksum", "short")}
    except FileNotFoundError:
        raise InputError(f"evaluation manifest {path} is missing; the preparation draws it") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"evaluation manifest {path} cannot be read: {type(error).__name__} {reason}") from None
    for name, wanted in {"seed": seed, "images_per_class": per_class}.items():
        if found[name] != wanted:
            raise InputError(f"evaluation manifest {path}: {name} is {found[name]}; the study says {wanted}")
    if found["checksum"] != _checksum(found["images"]):
        raise InputError(f"evaluation manifest {path} was changed after it was drawn: its checksum differs")
    return found


def verify_manifest(manifest: dict[str, Any], path: Path, train: Listing, mini: Listing) -> dict[int, list[dict]]:
    """Check a manifest, read from `path`, against the official files; returns the images of each category id.

    Raises `InputError` when it names images that train does not have in that class, or an image of train_mini (by id
    or by file).
    """
    in_mini = _ids_and_files(mini)
    chosen: dict[int, list[dict]] = {}
    for number, ids in manifest["images"].items():
        there = {image["id"]: image for image in train.images.get(int(number), [])}
        foreign = [i for i in ids if i not in there]
        if foreign:
            raise InputError(
                f"evaluation manifest {path}: image {foreign[0]} is not of category {number} in {train.path}"
            )
        leaked = [i for i in ids if i in in_mini or file_key(there[i]["file_name"]) in in_mini]
        if leaked:
            raise InputError(
                f"evaluation manifest {path}: {len(leaked)} image(s) are in {mini.path.name}, first {leaked[0]}"
            )
        chosen[int(number)] = [there[i] for i in ids]
    return chosen


def _ids_and_files(listing: Listing) -> set[int | str]:
    return {part for some in listing.images.values() for i in some for part in (i["id"], file_key(i["file_name"]))}


def _checksum(images: dict[str, list[int]]) -> str:
    return hashlib.sha256(json.dumps(images, sort_keys=True).encode()).hexdigest()[:16]
