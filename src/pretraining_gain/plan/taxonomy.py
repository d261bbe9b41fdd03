"""Class tables: which classes a dataset has, which are animals, and where they stand in the tree of life (paper, D.1)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import prepared_root

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
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [column for column in REQUIRED_COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path.name}: column(s) missing: {', '.join(missing)}")
    if not table["animal"].isin(["true", "false"]).all():
        raise InputError(f"{path.name}: column 'animal' takes true or false")
    table["class_id"] = table["class_id"].astype(int)
    table["animal"] = table["animal"] == "true"
    if list(table["class_id"]) != list(range(len(table))) or table["key"].duplicated().any():
        raise InputError(f"{path.name}: class_id must count 0, 1, 2, … and keys must be unique")
    return table
