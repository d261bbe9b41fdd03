"""iNaturalist 2021's official JSON files: images, categories, licences, and the class table of its animals (paper, D.1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired

import pandas as pd
from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from pretraining_gain.errors import InputError, one_line
from pretraining_gain.plan.representation import imagenet_birds
from pretraining_gain.plan.species import SUPERCATEGORIES

#: Animal classes of each supercategory in the official files, and their sum (paper, D.1).
OFFICIAL_COUNTS = dict(zip(SUPERCATEGORIES, (170, 142, 153, 1486, 2526, 246, 169, 183, 313), strict=True))
N_ANIMAL_CLASSES = sum(OFFICIAL_COUNTS.values())
PUBLISHED = "it is published with iNaturalist 2021 (visipedia/inat_comp)"
#: What other programs write for a common name that is not known.
_NO_NAME = ("", "NA", "N/A", "None", "nan")


class _Row(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]


class Photo(_Row):
    id: int
    file_name: str
    license: NotRequired[int | None]
    rights_holder: NotRequired[str | None]


class _Category(_Row):
    id: int
    name: str
    common_name: NotRequired[str | None]
    supercategory: str
    kingdom: str
    order: str
    family: str
    image_dir_name: str


class _Note(_Row):
    image_id: int
    category_id: int


class _Licence(_Row):
    id: int
    name: NotRequired[str | None]
    url: NotRequired[str | None]


class _Content(_Row):
    """Hold what is read of an official JSON; place, date and size of an image are dropped on the way (train has 2.7 million)."""

    categories: list[_Category]
    images: list[Photo]
    annotations: list[_Note]
    licenses: NotRequired[list[_Licence] | None]


@dataclass(frozen=True)
class Listing:
    """One official JSON: its categories, and the images of each category (dicts with id, file_name, license …) by id."""

    path: Path
    categories: list[_Category]
    images: dict[int, list[Photo]]
    licences: dict[int, _Licence]


def read_listing(path: Path) -> Listing:
    """Read the animals of an official JSON. Raises `InputError` naming the file, and the field that does not fit."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {PUBLISHED}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    with one_line(f"{path} is not an iNaturalist 2021 file"):
        content = TypeAdapter(_Content).validate_json(text)
    animals = {row["id"]: row for row in content["categories"] if row["kingdom"] == "Animalia"}
    if not animals:
        raise InputError(f"{path} is not an iNaturalist 2021 file: it has no categories of kingdom Animalia")
    _check_unique(path, content)
    by_id = {row["id"]: row for row in content["images"]}
    images: dict[int, list[Photo]] = defaultdict(list)
    for note in content["annotations"]:
        if note["category_id"] in animals:
            if note["image_id"] not in by_id:
                raise InputError(f"{path} is not an iNaturalist 2021 file: it has no image {note['image_id']}")
            images[note["category_id"]].append(by_id[note["image_id"]])
    for rows in images.values():
        rows.sort(key=lambda row: row["id"])
        for name in (row["file_name"] for row in rows):  # must lead to an image beside the JSON
            parts = name.split("/")
            if len(parts) != 3 or parts[0] != path.stem or not parts[1].strip(".") or not parts[2].strip(".") or "\0" in name:
                raise InputError(f"{path}: file_name {name!r}; accepted: {path.stem}/<folder>/<file>")
    licences = {row["id"]: row for row in content.get("licenses") or []}
    return Listing(path, sorted(animals.values(), key=lambda row: row["id"]), dict(images), licences)


def _check_unique(path: Path, content: Mapping[str, Any]) -> None:
    """Raise `InputError` for an image that counts twice, and for an id with two meanings."""
    for part, field in (("categories", "id"), ("images", "id"), ("images", "file_name"), ("annotations", "image_id")):
        seen: set[Any] = set()
        for row in content[part]:
            if row[field] in seen:
                raise InputError(f"{path}: {field} {row[field]!r} appears twice in {part!r}; accepted: each once")
            seen.add(row[field])


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
    named = ~common.str.strip().isin(_NO_NAME)
    return pd.DataFrame(
        {
            "class_id": range(len(table)),
            "key": table["image_dir_name"],
            "name": common.where(named, table["name"]),
            "animal": "true",
            "supercategory": table["supercategory"],
            "order": table["order"],
            "family": table["family"],
            "taxon": table["name"],
            "represented_by": table["name"].map(named_by).fillna(""),
            "category_id": table["id"],
        }
    )
