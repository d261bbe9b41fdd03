"""iNaturalist 2021's official JSON files: images, categories, licences, and the class table of its animals (paper, D.1)."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.representation import imagenet_birds
from pretraining_gain.plan.species import SUPERCATEGORIES

#: Animal classes of each supercategory in the official files, and their sum (paper, D.1).
OFFICIAL_COUNTS = dict(zip(SUPERCATEGORIES, (170, 142, 153, 1486, 2526, 246, 169, 183, 313), strict=True))
N_ANIMAL_CLASSES = sum(OFFICIAL_COUNTS.values())
PUBLISHED = "it is published with iNaturalist 2021 (visipedia/inat_comp)"
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
    """Read the animals of an official JSON. Raises `InputError` naming the file and what it lacks."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=_kept)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {PUBLISHED}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {' '.join(str(error).split())}") from None
    images: dict[int, list[dict[str, Any]]] = defaultdict(list)
    try:
        animals = {row["id"]: row for row in content["categories"] if row["kingdom"] == "Animalia"}
        by_id = {row["id"]: row for row in content["images"]}
        for note in content["annotations"]:
            if note["category_id"] in animals:
                images[note["category_id"]].append(by_id[note["image_id"]])
        incomplete = [field for field in _CATEGORY_FIELDS if any(field not in row for row in animals.values())]
        incomplete += [field for field in _IMAGE_FIELDS if any(field not in row for row in content["images"])]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is not an iNaturalist 2021 file: {type(error).__name__} {error}") from None
    if incomplete or not animals:
        lacking = ", ".join(incomplete) or "categories of kingdom Animalia"
        raise InputError(f"{path} is not an iNaturalist 2021 file: lacking {lacking}")
    _check_unique(path, content)
    for rows in images.values():
        rows.sort(key=lambda row: row["id"])
        for row in rows:
            _check_file_name(path, row["file_name"])
    licences = {row["id"]: row for row in content.get("licenses", [])}
    return Listing(path, sorted(animals.values(), key=lambda row: row["id"]), dict(images), licences)


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """Drop place, date and size of an image while reading: train.json has 2.7 million."""
    return {name: row[name] for name in _KEPT_FIELDS if name in row} if "file_name" in row else row


def _check_unique(path: Path, content: dict[str, Any]) -> None:
    """Raise `InputError` for an image that counts twice, and for an id with two meanings."""
    for part, field in (("categories", "id"), ("images", "id"), ("images", "file_name"), ("annotations", "image_id")):
        seen: set[Any] = set()
        for row in content[part]:
            if row[field] in seen:
                raise InputError(f"{path}: {field} {row[field]!r} appears twice in {part!r}; accepted: each once")
            seen.add(row[field])


def _check_file_name(path: Path, name: object) -> None:
    """Raise `InputError` for a file name that does not lead to an image beside the JSON."""
    parts = name.split("/") if isinstance(name, str) else []
    if len(parts) != 3 or parts[0] != path.stem or not parts[1].strip(".") or not parts[2].strip("."):
        raise InputError(f"{path}: file_name {name!r}; accepted: {path.stem}/<folder>/<file>")


def class_table(listing: Listing, n_classes: int) -> pd.DataFrame:
    """Return the animal classes as a class table, in the order of their category ids.

    Raises `InputError` when their number is not `n_classes`, or, for the official 5,388, when the number in a
    supercategory is not the published one.
    """
    table = pd.DataFrame(listing.categories)
    counts = table["supercategory"].value_counts().to_dict()
    if len(table) != n_classes:
        raise InputError(f"{listing.path} has {len(table)} animal classes; the study expects {n_classes}")
    unknown = sorted(set(counts) - set(SUPERCATEGORIES))
    if unknown:
        raise InputError(f"{listing.path}: unknown supercategory {unknown[0]!r}; accepted: {', '.join(SUPERCATEGORIES)}")
    if n_classes == N_ANIMAL_CLASSES and counts != OFFICIAL_COUNTS:
        wrong = {name: counts.get(name, 0) for name, n in OFFICIAL_COUNTS.items() if counts.get(name, 0) != n}
        raise InputError(f"{listing.path}: classes per supercategory differ from the published ones: {wrong}")
    named_by = imagenet_birds().groupby("species")["wnid"].agg(lambda wnids: ";".join(sorted(set(wnids))))
    common = table.get("common_name", pd.Series("", index=table.index)).fillna("")
    return pd.DataFrame(
        {
            "class_id": range(len(table)),
            "key": table["image_dir_name"],
            "name": common.where(common != "", table["name"]),
            "animal": "true",
            "supercategory": table["supercategory"],
            "order": table["order"],
            "family": table["family"],
            "taxon": table["name"],
            "represented_by": table["name"].map(named_by).fillna(""),
            "category_id": table["id"],
        }
    )
