"""Say which kinds of classes a source holds, and how near its nearest class is to each species of a target."""

from __future__ import annotations

from functools import cache

import pandas as pd

from pretraining_gain.plan.representation import is_named
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.plan.tables import METADATA, read_table

ANIMALS, NON_ANIMALS = "animals", "other classes"
_KIND_OF_ANIMAL = {"Mammals": "mammals", "Birds": "birds", NOT_STATED: ANIMALS, "": ANIMALS}
#: The lowest rank that a species shares with a class of the source, nearest first.
SPECIES, UNRELATED = "species", "none"
RANKS = (SPECIES, "genus", "family", "order", "class", "phylum", UNRELATED)


def kinds(table: pd.DataFrame) -> pd.Series:
    """Return the kind of each class: mammals, birds, other animals; artefacts, food and plants, scenes.

    Animals without a supercategory are `animals`; others that `imagenet_kinds` does not list are `other classes`.
    """
    stated = table.get("supercategory", pd.Series(NOT_STATED, index=table.index))
    animals = stated.map(lambda group: _KIND_OF_ANIMAL.get(group, "other animals"))
    others = table["key"].map(_kinds_of_others()).fillna(NON_ANIMALS)
    return animals.where(table["animal"], others).rename("kind")


@cache
def _kinds_of_others() -> pd.Series:
    path = METADATA / "imagenet_kinds.csv"
    return read_table(path, ["key", "name", "kind"]).set_index("key")["kind"]


def nearest_rank(target: pd.DataFrame, source: pd.DataFrame) -> pd.Series:
    """Return which of `RANKS` each class of a target shares with its nearest class of the source.

    `species`: a source class means, includes or is part of the species. A label of several families has no family, and so
    on. NaN where the tables state no family.
    """
    target, source = _with_lower_ranks(target), _with_lower_ranks(source[source["animal"]])
    found = pd.Series(UNRELATED, index=target.index, name="rank", dtype=object)
    if "family" not in source or "family" not in target:
        return pd.Series(None, index=target.index, name="rank", dtype=object)
    for rank in reversed([one for one in RANKS if one in target and one in source]):
        held = {taxon for taxon in source[rank] if taxon not in ("", NOT_STATED) and "(several" not in taxon}
        found[target[rank].isin(held)] = rank
    found[is_named(target)] = SPECIES
    return found.mask(target["family"].isin([NOT_STATED, ""]) & ~is_named(target))


def _with_lower_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Add genus and species, from `taxon`, to the classes that are as narrow."""
    if "taxon" not in table or "rank" not in table:
        return table
    narrow, species = table["rank"].isin(["genus", "species", "breed"]), table["rank"].isin(["species", "breed"])
    genus = table["taxon"].str.split().str[0].where(narrow, "")
    return table.assign(genus=genus, species=table["taxon"].where(species, ""))
