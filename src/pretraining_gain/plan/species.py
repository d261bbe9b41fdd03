"""Read a reader's own table of species, and the packaged table of taxa."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from unicodedata import normalize

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.tables import METADATA, NO_VALUE, read_table

TAXON_COLUMNS = ["supercategory", "order", "family"]
SUPERCATEGORIES = ("Amphibians", "Animalia", "Arachnids", "Birds", "Insects", "Mammals", "Mollusks", "Ray-finned Fishes",
                   "Reptiles")  # fmt: skip
NOT_STATED = "not stated"
#: Columns of a species table; all but the first may be missing or empty.
SPECIES_COLUMNS = ("folder", "name", "scientific_name", *TAXON_COLUMNS, "represented_by", "note")
#: What `represented_by` says where no source class names the species; empty means that nobody looked.
NO_CLASS = "none"
_SCIENTIFIC = re.compile(r"[A-Z][a-z-]+ ×?[a-z-]{2,}(?: (?!(?:de|den|der|von|van|et|ex|in|and|auct)\b)[a-z-]{3,}(?![\w.]))?")


def read_species(path: Path) -> pd.DataFrame:
    """Read a species table with the columns of a class table, one row per class in the order of its lines.

    Only `folder` is required (`key` in a table that was a class table). `represented_by`: keys of source classes, `;` between
    them, or `none`. An empty cell, or one with R's NA, becomes `not stated`. `taxon` is the scientific name without its
    author. Raises `InputError`.
    """
    table = read_table(path, [], spreadsheet=True)
    if {"folder", "key"} <= {*table}:
        raise InputError(f"{path}: columns 'folder' and 'key' both name the folders; accepted: one of them")
    table = table.rename(columns={"key": "folder"})
    if "folder" not in table:
        raise InputError(f"{path}: column 'folder' is missing; accepted: {', '.join(SPECIES_COLUMNS)}, all but the first optional")
    table = table.reindex(columns=[*table.columns, *(name for name in SPECIES_COLUMNS if name not in table)], fill_value="")
    empty = table.index[table["folder"] == ""]
    if len(empty):
        raise InputError(f"{path}: row {empty[0] + 1} has no folder; accepted: the name of the folder with its photographs")
    table["folder"] = table["folder"].str.normalize("NFC")
    named_by = table["represented_by"].str.replace(r"\s*;\s*", ";", regex=True)
    table["represented_by"] = named_by.mask(named_by.str.casefold() == NO_CLASS, NO_CLASS)
    others = [column for column in table if column != "folder"]
    table[others] = table[others].where(~table[others].isin(NO_VALUE), "")
    table["name"] = table["name"].where(table["name"] != "", names_to_show(table["folder"]))
    for column in ("folder", "name"):
        again = table.loc[table[column].duplicated(), column]
        if len(again):
            raise InputError(f"{path}: {column} {again.iloc[0]!r} appears twice; accepted: each {column} once")
    for column in [*TAXON_COLUMNS, "represented_by"]:
        table[column] = table[column].where(table[column] != "", NOT_STATED)
    table["represented_by"] = table["represented_by"].replace(NO_CLASS, "")
    groups = {name.casefold(): name for name in SUPERCATEGORIES}
    table["supercategory"] = table["supercategory"].map(lambda name: groups.get(name.casefold(), name))
    if "animal" not in table:
        animal = table["supercategory"].isin([*SUPERCATEGORIES, NOT_STATED])
        table["animal"] = animal.map({True: "true", False: "false"})
    table["class_id"] = [str(number) for number in range(len(table))]
    taxa = table["scientific_name"].map(without_author)
    return table.assign(taxon=taxa).rename(columns={"folder": "key"})


def readable(folder: str) -> str:
    """Turn the name of a folder into one to show: `001.Black_footed_Albatross` -> `Black footed Albatross`."""
    words = re.sub(r"[_\s]+", " ", normalize("NFC", folder)).strip()
    return re.sub(r"^\d+[.\- ]*(?=\D)", "", words) or words


def names_to_show(folders: pd.Series) -> pd.Series:
    """Return readable names of folders; the folder itself where its name is empty or would be that of another one, too."""
    names = folders.map(readable)
    return names.mask(names.duplicated(keep=False) | (names == ""), folders)


def without_author(name: str) -> str:
    """Cut the author off a scientific name: `Parus major Linnaeus, 1758` -> `Parus major`. A subspecies keeps three words."""
    found = _SCIENTIFIC.match(" ".join(name.split()))
    return found[0] if found else name


@cache
def load_taxa() -> pd.DataFrame:
    """Load the packaged taxa, indexed by scientific name: english (`;` between names), supercategory, order, family, source."""
    return pd.read_csv(METADATA / "taxa.csv.gz", dtype=str, keep_default_na=False).set_index("scientific_name")
