"""How ImageNet represents bird species: the mapping from its classes, and the grades of Figure 1."""

from __future__ import annotations

import pandas as pd
import pytest

from pretraining_gain.plan.representation import (
    NONE,
    SOME,
    correct_images,
    imagenet_birds,
    load_annotations,
    representation,
    validation_classes,
    well_represented,
)
from pretraining_gain.plan.taxonomy import load_class_table

IMAGENET = load_class_table("imagenet1k")
MAPPING = imagenet_birds()
ABSENT = "not in the target"
RELATIONS = {"same scientific name", "synonym", "genus-level class", "family-level class", "vernacular class", ABSENT}


def test_each_row_agrees_with_the_class_table():
    known = IMAGENET.loc[MAPPING["imagenet_class_id"], ["key", "name"]].to_numpy().tolist()
    assert known == MAPPING[["wnid", "imagenet_name"]].to_numpy().tolist()
    assert set(IMAGENET.loc[MAPPING["imagenet_class_id"], "status"]) == {"wild"}


@pytest.mark.parametrize("relation", sorted(RELATIONS))
def test_each_row_says_why(relation):
    for row in MAPPING[MAPPING["relation"] == relation].to_dict("records"):
        synset = IMAGENET.at[row["imagenet_class_id"], "synset"]
        assert (row["species"] == "") == (row["family"] == "") == (relation == ABSENT), row
        if relation == "same scientific name":
            assert row["species"] in synset, row  # the class's own words name the species
        else:
            assert len(row["reason"].split()) > 2, row
            assert not row["species"] or row["species"] not in synset, row


def test_all_57_bird_classes_are_mapped():
    # ostrich to great grey owl, black grouse to black swan, white stork to albatross
    birds = [*range(9, 25), *range(80, 101), *range(127, 147)]
    assert sorted(set(MAPPING["imagenet_class_id"])) == birds
    assert len(birds) == 57
    assert set(MAPPING["relation"]) == RELATIONS


def test_they_are_the_birds_of_the_annotations(photographs):
    table = load_annotations()
    assert set(table.loc[table["category"] == "Bird", "class_id"]) == set(MAPPING["imagenet_class_id"])


def test_a_species_stands_once_and_a_class_is_empty_or_not():
    named = MAPPING[MAPPING["species"] != ""]
    assert named["species"].is_unique
    assert named["species"].str.fullmatch(r"[A-Z][a-z]+ [a-z]+").all()
    assert not set(MAPPING.loc[MAPPING["species"] == "", "wnid"]) & set(named["wnid"])
    assert (named.groupby(named["species"].str.split().str[0])["family"].nunique() == 1).all()


@pytest.mark.parametrize("relation", ["genus-level class", "family-level class"])
def test_a_class_of_a_genus_or_family_has_no_species_of_another(relation):
    level = MAPPING["species"].str.split().str[0] if relation.startswith("genus") else MAPPING["family"]
    chosen = MAPPING["relation"] == relation
    assert (level[chosen].groupby(MAPPING["wnid"][chosen]).nunique() == 1).all()


def test_a_vernacular_class_gathers_several_genera():
    kites = MAPPING[MAPPING["imagenet_name"].str.startswith("kite")]
    assert {"Milvus", "Elanus", "Ictinia"} < {species.split()[0] for species in kites["species"]}


def target(*named_by: str) -> pd.DataFrame:
    return pd.DataFrame({"represented_by": list(named_by)})


def test_grades_are_counts_of_correct_images():
    correct = pd.Series({"a": 40, "b": 39, "c": 0})
    table = target("a", "b", "c", "b;a", "not annotated", "")
    well = well_represented(40)
    assert representation(table, correct).tolist() == [well, SOME, NONE, well, NONE, NONE]
    assert representation(table, correct, well=39).tolist()[:2] == [well_represented(39)] * 2


@pytest.mark.parametrize("vote_cut", [-1.0, 0.0, 0.5, 1.0])
def test_no_species_is_both_none_and_well_represented(photographs, vote_cut):
    """Each species of the mapping, and one that no class names, at every cut and threshold: one grade each."""
    correct = correct_images(load_annotations(), vote_cut)
    named = MAPPING[MAPPING["species"] != ""].groupby("species")["wnid"].agg(";".join)
    for well in (1, 40, 50):
        grades = representation(target(*named, ""), correct, well)
        assert (grades.iloc[:-1] != NONE).all()
        assert grades.iloc[-1] == NONE
        best = named.map(lambda wnids: max(correct[wnid] for wnid in wnids.split(";"))).to_numpy()
        assert ((grades.iloc[:-1] == well_represented(well)).to_numpy() == (best >= well)).all()


def test_images_are_joined_by_number_never_by_label(photographs):
    """'crane' is a bird (134) and a machine (517); one label in the file is cut off."""
    table = load_annotations()
    cranes = table[table["label"] == "crane"]
    assert set(cranes["class_id"]) == {134}
    assert len(cranes) == 50
    assert table.groupby("class_id").size().eq(50).all()
    assert table["class_id"].nunique() == 269
    assert len(validation_classes()) == 50_000
    assert set(validation_classes().values()) == set(range(1000))


def test_a_cut_of_one_asks_for_unanimous_votes():
    votes = pd.DataFrame({"Correct ID": [1.0, 0.5, 0.0, -1.0], "class_id": [9, 9, 9, 9]})
    expected = {1.0: 1, 0.5: 1, 0.49: 2, 0.0: 2, -0.5: 3, -1.0: 3, -2.0: 4}
    assert {cut: correct_images(votes, cut).iloc[0] for cut in expected} == expected
