"""Find the place of a species in the tree of life by its name."""

from __future__ import annotations

import re
from functools import cache

from pretraining_gain.plan.species import TAXON_COLUMNS, load_taxa, readable, without_author
from pretraining_gain.plan.tables import METADATA, read_table


def place(text: str) -> dict[str, str] | None:
    """Find a species by the name of its folder: its scientific_name, supercategory, order, family, and a note on how.

    Looks for a scientific name, also at the end of a longer name (`03111_Animalia_…_Aves_…_Parus_major`), then for an English
    one, then for the genus alone, which settles the family but not the species, then for a word such as `ant`. None for a
    name that is empty, that it does not know, or that several species have.
    """
    taxa, name = load_taxa(), readable(text)
    if not name:
        return None
    tail = " ".join(name.split()[-2:])
    for candidate in (" ".join(without_author(name).split()[:2]), tail):
        if candidate.capitalize() in taxa.index:
            return _facts(candidate.capitalize(), "")
    found = _english().get(_plain(name), set())
    if len(found) == 1:
        return _facts(next(iter(found)), f"{name!r} is an English name of it; ")
    genus = name.split()[0].capitalize()
    if re.fullmatch(r"[A-Z][a-z-]+( (sp\.?|spp\.?|[a-z-]+))?", name) and genus in _genera():
        row = taxa.loc[_genera()[genus]]
        known = {column: row[column] for column in TAXON_COLUMNS}
        return {"scientific_name": name, **known, "note": f"order and family of the genus {genus}; {row['source']}"}
    return _animal_words().get(_plain(name))


def _facts(species: str, how: str) -> dict[str, str]:
    row = load_taxa().loc[species]
    return {"scientific_name": species, **row[TAXON_COLUMNS].to_dict(), "note": f"{how}{row['source']}"}


def _plain(name: str) -> str:
    """Reduce an English name to what spellings share: no case, hyphens or genitive."""
    return " ".join(re.sub(r"['’]s?\b", "", name.casefold()).replace("-", " ").split())


@cache
def _english() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for species, names in load_taxa()["english"].items():
        for name in filter(None, names.split(";")):
            found.setdefault(_plain(name), set()).add(str(species))
    return found


@cache
def _genera() -> dict[str, str]:
    """Genus -> one of its species, for those that have one family in the table."""
    found: dict[str, dict[str, str]] = {}
    for species, family in load_taxa()["family"].items():
        found.setdefault(str(species).split()[0], {})[family] = str(species)
    return {genus: next(iter(families.values())) for genus, families in found.items() if len(families) == 1}


@cache
def _animal_words() -> dict[str, dict[str, str]]:
    """English words for groups of animals -> their taxa, as the class table of Caltech-101 states them with its authorities."""
    table = read_table(METADATA / "caltech101_animals.csv", ["key", *TAXON_COLUMNS])
    table = table.assign(scientific_name=table["taxon"], note="stands for a group, " + table["rank"] + "; " + table["source"])
    return table.set_index(table["key"].map(_plain))[["scientific_name", *TAXON_COLUMNS, "note"]].to_dict("index")
