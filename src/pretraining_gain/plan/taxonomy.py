"""Class tables: the classes of a dataset, which of them are animals, and their place in the tree of life (paper, D.1)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from pretraining_gain.datasets import dataset_names, find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import prepared_root
from pretraining_gain.plan.species import read_species
from pretraining_gain.plan.tables import METADATA, read_table, whole_numbers

REQUIRED_COLUMNS = ["class_id", "key", "name", "animal"]
#: Folders with class tables; the package's own first.
TABLE_FOLDERS = [METADATA]
#: Tables of the package that are about classes but do not list a dataset's classes.
NOT_CLASSES = ("imagenet_birds", "imagenet_kinds")


def table_names() -> list[str]:
    """Return the names of the class tables that come with the package."""
    found = {path.stem for folder in TABLE_FOLDERS for path in folder.glob("*.csv")}
    return sorted(found - {*NOT_CLASSES})


def made_tables() -> list[str]:
    """Return the names of the class tables that preparations make from the reader's data."""
    made = [find_dataset(name).makes_table for name in dataset_names()]
    return [name for name in made if name]


def has_class_table(name: str) -> bool:
    """Tell whether the table exists. One that a preparation makes exists only after it."""
    return class_table_path(name).exists()


def class_table_path(name: str) -> Path:
    """Return where a class table is, or where the preparation would write it."""
    if is_own_table(name):
        return Path(name)
    packaged = [folder / f"{name}.csv" for folder in TABLE_FOLDERS if name not in NOT_CLASSES]
    return next((path for path in packaged if path.is_file()), made_table_path(name))


def made_table_path(name: str) -> Path:
    """Return where the preparation writes a class table that it makes from the data (see `made_tables`)."""
    return prepared_root() / "class_tables" / f"{name}.csv"


def load_class_table(name: str | None) -> pd.DataFrame:
    """Load a class table of this package, one made by the preparation, or a reader's own from its path (see
    `plan.species`): one row per class, sorted by `class_id` (contiguous from 0).

    Columns: `class_id` int, `key` str (unique: folder, wnid or slug), `name` str, `animal` bool, and what else the
    table states (all str). Callers share one copy: do not change it. Raises `InputError` for an unknown or broken table.
    """
    return _read_table(*_table_file(name or ""))


def rows_deciding_images(name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return, per class in order of `class_id`, its id, its key and the `columns` that its dataset reads, as text.

    Callers share one copy: do not change it.
    """
    return _rows_deciding_images(*_table_file(name), columns)


def is_own_table(name: str) -> bool:
    """Tell whether a study names a table of its author by its path, and none of the package."""
    return name.endswith(".csv")


def _table_file(name: str) -> tuple[Path, int]:
    """Return the path of a table, and the time of its last change."""
    path = class_table_path(name)
    if path == made_table_path(name) and name not in made_tables():
        raise InputError(f"class table {name!r} is unknown; accepted: {', '.join([*table_names(), *made_tables()])}")
    if path.is_file() or (path.exists() and not is_own_table(name)):
        return path, path.stat().st_mtime_ns
    if is_own_table(name):
        raise InputError(f"class table {path} is missing; accepted: the path of a CSV file, relative to the study file")
    raise InputError(f"class table {path} is missing; make it with `python -m pretraining_gain.prepare STUDY`")


@cache
def _rows_deciding_images(path: Path, mtime_ns: int, columns: tuple[str, ...]) -> list[dict[str, str]]:
    return _read_table(path, mtime_ns)[["class_id", "key", *columns]].astype(str).to_dict("records")


@cache
def _read_table(path: Path, _mtime_ns: int) -> pd.DataFrame:
    known = path.parent in TABLE_FOLDERS or path.parent == made_table_path("").parent
    table = read_table(path, REQUIRED_COLUMNS) if known else read_species(path)
    wrong = table.loc[~table["animal"].isin(["true", "false"]), "animal"]
    if len(wrong):
        raise InputError(f"{path}: column 'animal' has {wrong.iloc[0]!r}; accepted: true, false")
    table["class_id"] = whole_numbers(path, table, "class_id")
    table["animal"] = table["animal"] == "true"
    for place, number in enumerate(table["class_id"]):
        if number != place:
            raise InputError(f"{path}: class_id {number} instead of {place}; accepted: 0, 1, 2, …, each once")
    keys = table["key"]
    if keys.duplicated().any():
        raise InputError(f"{path}: key {keys[keys.duplicated()].iloc[0]!r} appears twice; accepted: each key once")
    for key in keys:  # a folder or a pack, which must not lead out of the dataset
        if key in (".", "..") or "/" in key or "\\" in key:
            raise InputError(f"{path}: key {key!r} is not the name of one folder; accepted: a name without slashes")
    return table
