"""Class tables: which classes a dataset has, which are animals, and where they stand in the tree of life (paper, D.1)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from pretraining_gain.errors import InputError

REQUIRED_COLUMNS = ["class_id", "key", "name", "animal"]
TAXON_COLUMNS = ["supercategory", "order", "family"]
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
    return sorted(path.stem for path in _folder().glob("*.csv"))


@cache
def load_class_table(name: str) -> pd.DataFrame:
    """The class table `name` of this package, one row a class, sorted by `class_id` (contiguous from 0).

    Columns: `class_id` int, `key` str (unique: folder, wnid or slug), `name` str, `animal` bool, and what else the
    table states (all str). Callers share one copy: do not change it. Raises `InputError` for an unknown or broken table.
    """
    if name not in table_names():
        raise InputError(f"class table {name!r} is unknown; accepted: {', '.join(table_names())}")
    path = _folder() / f"{name}.csv"
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
