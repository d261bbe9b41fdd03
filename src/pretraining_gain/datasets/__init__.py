"""Datasets, one module each: it declares the dataset as `DATASET` and loads its images.

To add a dataset, add a module here and its class table to `metadata/`; no other file changes. Modules import torch and
image libraries inside functions only, because plans, prices and downloads read the declarations without them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from pretraining_gain.errors import InputError

if TYPE_CHECKING:
    from pretraining_gain.compute.pipeline import ImageSet
    from pretraining_gain.plan.parts import Images

Split = Literal["train", "eval"]
SPLITS: tuple[Split, ...] = ("train", "eval")
#: Id and path of each image of a class.
Originals = list[tuple[str, Path]]


class Options(BaseModel):
    """Options that a study file may give a dataset; each field's description says what it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Download:
    """A published file: its address, its checksum, and a function that unpacks it into a folder."""

    url: str
    checksum: str
    unpack: Callable[[Path, Path], object]


@dataclass(frozen=True)
class Drawing:
    """A way to draw an evaluation set during preparation.

    `wanted(images)` says whether the study evaluates on a drawn set. `draw(images, training_hashes, each, on_class)`
    draws it unless it exists and returns the classes with fewer images than wanted. `checksum(images)` identifies it.
    """

    wanted: Callable[[Images], bool]
    draw: Callable[..., dict[str, int]]
    checksum: Callable[[Images], str]


@dataclass(frozen=True)
class Preparation:
    """A way to turn a dataset too large for memory into packs (see `pretraining_gain.prepare`).

    `part_name(images, split)` names a folder of packs by all that decides what is in it. `list_originals(images, rows,
    split)` lists the images of each class. `set_up(images)` runs first.
    """

    list_originals: Callable[[Images, pd.DataFrame, str], list[Originals]]
    part_name: Callable[[Images, str], str] = lambda images, split: split
    set_up: Callable[[Images], object] = lambda images: None
    drawing: Drawing | None = None


def _own_split(images: Images) -> str:
    return f"up to {images.eval_images_per_class} images per class of its own evaluation split"


@dataclass(frozen=True)
class Dataset:
    """The declaration of one dataset.

    Either `load_class(images, row, split, size_px)` returns the images of the class in one row of the class table:
    (N, S, S, 3) uint8 with S = size_px, N ids, the broken files left out, and whether they came from the cache (None:
    not decoded). Or `load_set(images, rows, split, size_px)` returns an `ImageSet` of all rows.
    `folder` is below the data root, empty where there is nothing to fetch. `credit` names source and licence;
    `credit_image(image_id)` replaces it where each image has its own. `columns` are class-table columns that it needs.
    `makes_table` is the class table that its preparation writes. `complete(given, study_file)` fills in what a study file may
    leave out of `images`; `checksum(images)` identifies the files, where it follows from no option; `findings(images)` says
    what a reader should know of the split, as JSON beside the results.
    """

    credit: str
    folder: str = ""
    load_class: Callable[[Images, dict[str, Any], str, int], Any] | None = None
    load_set: Callable[[Images, pd.DataFrame, str, int], ImageSet] | None = None
    options: type[Options] = Options
    columns: tuple[str, ...] = ()
    download: Download | None = None
    on_request: str = ""
    preparation: Preparation | None = None
    makes_table: str = ""
    credit_image: Callable[[str], str] | None = None
    describe_evaluation: Callable[[Images], str] = _own_split
    complete: Callable[[dict[str, Any], Path], dict[str, Any]] | None = None
    checksum: Callable[[Images], str] | None = None
    findings: Callable[[Images], dict[str, Any]] | None = None


def dataset_names() -> list[str]:
    return _modules_in(tuple(__path__))


@cache
def _modules_in(folders: tuple[str, ...]) -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(folders))


def find_dataset(name: str) -> Dataset:
    """Return the declaration of a dataset. Raises `InputError` for an unknown name."""
    if name not in dataset_names():
        raise InputError(f"dataset {name!r} is unknown; accepted: {', '.join(dataset_names())}")
    return importlib.import_module(f"{__name__}.{name}").DATASET


def options_of(dataset: str, given: dict[str, Any]) -> Any:
    """Check a dataset's options and fill in its defaults. Raises `InputError` naming the option and what is accepted."""
    model = find_dataset(dataset).options
    try:
        return model.model_validate(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
    if name not in model.model_fields:
        accepted = ", ".join(model.model_fields) or "none"
        raise InputError(f"{dataset} option {name!r} is unknown; accepted: {accepted}")
    stated = f"={given[name]!r}" if name in given else " is missing"
    raise InputError(f"{dataset} option {name}{stated}; accepted: {model.model_fields[name].description}")


def check_columns(dataset: str, table_name: str | None, columns: Iterable[str]) -> None:
    """Raise `InputError` for a class table that lacks a column which the dataset reads."""
    wanted = find_dataset(dataset).columns
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise InputError(
            f"class table {table_name!r} lacks column {missing[0]!r}; dataset {dataset} takes one with {', '.join(wanted)}"
        )
