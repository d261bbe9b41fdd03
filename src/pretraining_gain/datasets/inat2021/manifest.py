"""The evaluation set of iNaturalist 2021: drawn from train, without any image of train_mini (paper, D.1).

It is written once as a manifest of image ids, which can be published and is verified at each use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from pretraining_gain.datasets.inat2021.official import Listing, Photo
from pretraining_gain.errors import Given, InputError, one_line


class Manifest(Given):
    """An evaluation set: `images` are the ids per category id, and `short` the images of classes that have too few."""

    dataset: str
    drawn_from: str
    without: str
    seed: int
    images_per_class: int
    checksum: str
    short: dict[str, int]
    images: dict[Annotated[str, Field(pattern=r"^\d{1,18}$")], list[int]]


def file_key(image_id: str) -> str:
    """Return what train and train_mini share of a file's name: folder and name, without the split."""
    return "/".join(image_id.rsplit("/", 2)[-2:])


def draw_manifest(
    train: Listing,
    mini: Listing,
    per_class: int,
    seed: int,
    leaks: Callable[[list[Photo]], list[bool]],
    on_class: Callable[[], object] = lambda: None,
) -> Manifest:
    """Draw up to `per_class` images of each class from `train`, none of which is in `mini`.

    Images of mini are left out by id and by file; `leaks(images)` says which equal one of them in content. Randomness:
    (seed, category id), over the remaining images in the order of their ids. A class with too few images gives all it
    has and is listed in `short`.
    """
    known = _ids_and_files(mini)
    chosen, short = {}, {}
    for category in train.categories:
        number = category["id"]
        images = train.images.get(number, [])
        rest = [i for i in images if i["id"] not in known and file_key(i["file_name"]) not in known]
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
    return Manifest(
        dataset="inat2021", drawn_from=train.path.name, without=mini.path.name, seed=seed, images_per_class=per_class,
        checksum=checksum(chosen), short=short, images=chosen,
    )  # fmt: skip


def read_manifest(path: Path, per_class: int, seed: int) -> Manifest:
    """Read a manifest. Raises `InputError` when it is missing, damaged, changed, or drawn with another seed or number."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"evaluation manifest {path} is missing; the preparation draws it") from None
    except OSError as error:
        raise InputError(f"evaluation manifest {path} cannot be read: {error.strerror}") from None
    with one_line(f"evaluation manifest {path} cannot be read"):
        found = Manifest.model_validate_json(text)
    for name, wanted in {"seed": seed, "images_per_class": per_class}.items():
        if getattr(found, name) != wanted:
            raise InputError(f"evaluation manifest {path}: {name} is {getattr(found, name)}; the study says {wanted}")
    if found.checksum != checksum(found.images):
        raise InputError(f"evaluation manifest {path} was changed after it was drawn: its checksum differs")
    return found


def verify_manifest(manifest: Manifest, path: Path, train: Listing, mini: Listing) -> dict[int, list[Photo]]:
    """Check a manifest, read from `path`, against the official files; return the images of each category id.

    Raises `InputError` when it names images that train does not have in that class, or an image of train_mini (by id
    or by file).
    """
    in_mini = _ids_and_files(mini)
    chosen: dict[int, list[Photo]] = {}
    for number, ids in manifest.images.items():
        there = {image["id"]: image for image in train.images.get(int(number), [])}
        foreign = [i for i in ids if i not in there]
        if foreign:
            raise InputError(f"evaluation manifest {path}: image {foreign[0]} is not of category {number} in {train.path}")
        leaked = [i for i in ids if i in in_mini or file_key(there[i]["file_name"]) in in_mini]
        if leaked:
            raise InputError(f"evaluation manifest {path}: {len(leaked)} image(s) are in {mini.path.name}, first {leaked[0]}")
        chosen[int(number)] = [there[i] for i in ids]
    return chosen


def _ids_and_files(listing: Listing) -> set[int | str]:
    return {part for some in listing.images.values() for i in some for part in (i["id"], file_key(i["file_name"]))}


def checksum(images: dict[str, list[int]]) -> str:
    return hashlib.sha256(json.dumps(images, sort_keys=True).encode()).hexdigest()[:16]
