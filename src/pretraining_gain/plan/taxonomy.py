"""Class tables: which classes a dataset has, which are animals, and where they stand in the tree of life (paper, D.1)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import prepared_root
from pretraining_gain.plan.tables import read_table, whole_numbers

REQUIRED_COLUMNS = ["class_id", "key", "name", "animal"]
TAXON_COLUMNS = ["supercategory", "order", "family"]
#: Made by the preparation from the reader's own data, so not in the package.
MADE_TABLES = ("inat2021_animals",)
#: Tables of the package that are about classes but do not list a dataset's classes.
NOT_CLASSES = ("imagenet_birds",)
SUPERCATEGORIES = (
    "Amphibians",
    "Animalia",
    "Arachnids",
    "Birds",
    "Insects",
    "Mammals",
    "Mollusks",
    "Ray-finned Fishes",
    "Reptiles",
)


def _folder() -> Path:
    return Path(str(files("pretraining_gain") / "metadata"))


def table_names() -> list[str]:
    """The class tables that come with the package."""
    return sorted(path.stem for path in _folder().glob("*.csv") if path.stem not in NOT_CLASSES)


def has_class_table(name: str) -> bool:
    """Whether the table is there. One that is made from the reader's data is there only after the preparation."""
    return name in table_names() or made_table_path(name).exists()


def made_table_path(name: str) -> Path:
    """Where the preparation writes a class table that comes from the data themselves (see `MADE_TABLES`)."""
    return prepared_root() / "class_tables" / f"{name}.csv"


def load_class_table(name: str) -> pd.DataFrame:
    """The class table `name`, of this package or made by the preparation: one row a class, sorted by `class_id`
    (contiguous from 0).

    Columns: `class_id` int, `key` str (unique: folder, wnid or slug), `name` str, `animal` bool, and what else the
    table states (all str). Callers share one copy: do not change it. Raises `InputError` for an unknown or broken table.
    """
    if name in table_names():
        return _read_table(_folder() / f"{name}.csv", 0)
    path = made_table_path(name)
    if name not in MADE_TABLES:
        raise InputError(f"class table {name!r} is unknown; accepted: {', '.join([*table_names(), *MADE_TABLES])}")
    if not path.exists():
        raise InputError(f"class table {path} is missing; make it with `python -m pretraining_gain.prepare STUDY`")
    return _read_table(path, path.stat().st_mtime_ns)


@cache
def _read_table(path: Path, _mtime_ns: int) -> pd.DataFrame:
    table = read_table(path, REQUIRED_COLUMNS)
    wrong = table.loc[~table["animal"].isin(["true", "false"]), "animal"]
    if len(wrong):
        raise InputError(f"{path}: column 'animal' has {wrong.iloc[0]!r}; accepted: true, false")
    table["class_id"] = whole_numbers(path, table, "class_id")
    table["animal"] = table["animal"] == "true"
    for place, number in enumerate(table["class_id"]):
        if number != place:
            raise InputError(f"{path}: class_id {number} stands where {place} should; accepted: 0, 1, 2, …, each once")
    _check_keys(path, table["key"])
    return table


def _check_keys(path: Path, keys: pd.Series) -> None:
    """A key is the name of a folder or a pack, so it must be one, and must not lead out of the dataset."""
    if keys.duplicated().any():
        raise InputError(f"{path}: key {keys[keys.duplicated()].iloc[0]!r} stands twice; accepted: each key once")
    for key in keys:
        if key in (".", "..") or "/" in key or "\\" in key:
            raise InputError(f"{path}: key {key!r} is not the name of one folder; accepted: a name without slashes")
