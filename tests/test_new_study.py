"""Studies and species tables of a reader's own: as `make study` writes them, and as people save them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import simulate_results
from refusal import assert_one_line, refuse_text, refused
from test_folder import in_splits, loaded, manifest, photos, root  # noqa: F401 - a fixture

from pretraining_gain import new_study
from pretraining_gain.compute import models
from pretraining_gain.compute.models import build_model
from pretraining_gain.plan.backbones import BACKBONES
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.placing import place
from pretraining_gain.plan.representation import NONE, REPRESENTED, is_named, representation
from pretraining_gain.plan.species import NOT_STATED, load_taxa, read_species, without_author
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.book.answer import answer
from pretraining_gain.tell.claims.ledger import Ledger, read_ledger
from pretraining_gain.tell.claims.what_if import single_changes
from pretraining_gain.tell.claims.what_if_data import what_if_tables
from pretraining_gain.tell.figures.explorer import explorer_tables
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import taxa_numbers
from pretraining_gain.tell.results.study import StudyResults

COLUMNS = "folder;Scientific name;Family\n"
SAVED = {
    "by hand": b"folder,scientific_name,family\nowl,Bubo bubo,Strigidae\n",
    "Excel, semicolons and a mark": (COLUMNS + "owl;Bubo bubo;Strigidae\n").encode("utf-8-sig"),
    "Excel, Windows line ends": (COLUMNS + "owl;Bubo bubo;Strigidae\n;;\n").replace("\n", "\r\n").encode(),
    "tabs": (COLUMNS + "owl;Bubo bubo;Strigidae\n").replace(";", "\t").encode(),
    "Excel, Unicode text": (COLUMNS + "owl;Bubo bubo;Strigidae\n").replace(";", "\t").encode("utf-16"),
    "spaces and capitals": b"Folder , SCIENTIFIC NAME, Family\nowl , Bubo bubo , Strigidae\n",
    "an author": b"folder,scientific_name,family\nowl,\"Bubo bubo (Linnaeus, 1758)\",Strigidae\n",
}


@pytest.mark.parametrize("content", SAVED.values(), ids=SAVED)
def test_a_species_table_is_read_however_it_was_saved(tmp_path, content):
    (tmp_path / "own.csv").write_bytes(content)
    (row,) = read_species(tmp_path / "own.csv").to_dict("records")
    wanted = {"key": "owl", "name": "owl", "taxon": "Bubo bubo", "family": "Strigidae", "order": NOT_STATED, "animal": "true"}
    assert {name: row[name] for name in wanted} == wanted


def test_latin_1_is_read(tmp_path):
    (tmp_path / "own.csv").write_bytes("folder;name\nkauz;Rauhfußkauz\n".encode("latin-1"))
    assert read_species(tmp_path / "own.csv")["name"].tolist() == ["Rauhfußkauz"]


def test_folders_whose_names_read_alike_are_shown_as_they_are(tmp_path):
    (tmp_path / "own.csv").write_text("folder\n1.Crow\n2.Crow\n3.Black_Kite\n_\n")
    assert read_species(tmp_path / "own.csv")["name"].tolist() == ["1.Crow", "2.Crow", "Black Kite", "_"]


BAD_TABLES = {
    "no folder column": ("name,family\nowl,Strigidae\n", "column 'folder' is missing; accepted: folder, name, scientific_name"),
    "a folder twice": ("folder\nowl\nowl\n", "folder 'owl' appears twice; accepted: each folder once"),
    "a name twice": ("folder,name\nowl,Owl\njay,Owl\n", "name 'Owl' appears twice"),
    "two columns of folders": ("folder,key\nowl,owl\n", "columns 'folder' and 'key' both name the folders; accepted: one of"),
    "a row without folder": ("folder,name\nowl,Owl\n,Jay\n", "row 2 has no folder"),
    "a column twice": ("folder,name,Name\nowl,a,b\n", "column 'name' appears twice"),
    "a folder elsewhere": ("folder\n../owl\n", "key '../owl' is not the name of one folder"),
    "too many fields": ("folder,name\nowl,a,b\n", "line 2: 3 fields; accepted: 2, as in the header"),
    "empty": ("", "accepted: one row or more"),
}


@pytest.mark.parametrize(("content", "said"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_species_table_is_named(tmp_path, content, said):
    refuse_text(tmp_path / "own.csv", content, load_class_table, said)


def test_represented_is_stated_or_not(tmp_path):
    (tmp_path / "own.csv").write_text("folder,represented_by\nowl,n01622779\njay,none\nheron,\n")
    table = load_class_table(str(tmp_path / "own.csv"))
    assert representation(table).tolist() == [REPRESENTED, NONE, NOT_STATED]
    assert is_named(table).tolist() == [True, False, False]
    assert set(representation(table.drop(columns="represented_by"))) == {NOT_STATED}


def test_what_other_programs_write_for_no_value_is_none(tmp_path):
    rows = "owl,Owls,NA,Birds,n1; n2\njay,NA,nan,NA,NA\nheron,,,<NA>,None\n"
    (tmp_path / "own.csv").write_text("folder,family,order,supercategory,represented_by\n" + rows)
    table = load_class_table(str(tmp_path / "own.csv"))
    assert table["family"].tolist() == ["Owls", NOT_STATED, NOT_STATED]
    assert table["order"].tolist() == [NOT_STATED] * 3
    assert table["animal"].tolist() == [True] * 3
    assert table["represented_by"].tolist() == ["n1;n2", NOT_STATED, ""]  # None is `none`: no source class names it


NAMES = {
    "Parus major Linnaeus, 1758": "Parus major",
    "Parus major (Linnaeus, 1758)": "Parus major",
    "Parus major newtoni Pražák, 1894": "Parus major newtoni",
    "Natrix natrix de Haan": "Natrix natrix",
    "Parus  major": "Parus major",
    "Great Tit": "Great Tit",
}


@pytest.mark.parametrize(("given", "wanted"), NAMES.items())
def test_authors_are_cut_off_scientific_names(given, wanted):
    assert without_author(given) == wanted


@pytest.mark.parametrize(
    ("folder", "species", "family", "how"),
    [
        ("Parus_major", "Parus major", "Paridae", "iNaturalist 2021"),
        ("parus major", "Parus major", "Paridae", "iNaturalist 2021"),
        ("Parus_major_newtoni", "Parus major", "Paridae", "iNaturalist 2021"),
        ("03111_Animalia_Chordata_Aves_Passeriformes_Paridae_Parus_major", "Parus major", "Paridae", "iNaturalist 2021"),
        ("012.Brewer's-Blackbird", "Euphagus cyanocephalus", "Icteridae", "is an English name of it"),
        ("Sooty_Albatross", "Phoebetria fusca", "Diomedeidae", "Wikispecies"),
        ("Parus sp.", "Parus sp.", "Paridae", "order and family of the genus Parus"),
        ("ant", "Formicidae", "Formicidae", "stands for a group, family"),
    ],
)
def test_a_species_is_placed_by_the_name_of_its_folder(folder, species, family, how):
    found = place(folder)
    assert (found["scientific_name"], found["family"]) == (species, family)
    assert how in found["note"]


@pytest.mark.parametrize("folder", ["camera 3", "empty", "Faces_easy", "007", "unknown bird", "aves", "_", " "])
def test_an_unknown_name_is_not_guessed(folder):
    assert place(folder) is None


def test_the_packaged_taxa_are_those_of_inaturalist():
    taxa = load_taxa()
    assert taxa.loc[taxa["source"] == "iNaturalist 2021", "supercategory"].value_counts()["Insects"] == 2526
    assert taxa.index.is_unique


def test_a_genus_of_two_families_places_nothing():
    families = load_taxa().groupby(load_taxa().index.str.split().str[0])["family"].nunique()
    ambiguous = families.index[families > 1]
    assert len(ambiguous)
    assert [place(f"{genus} sp.") for genus in ambiguous] == [None] * len(ambiguous)


@pytest.fixture
def own(root, monkeypatch):  # noqa: F811
    """Photographs of three species and of one with too few, and weights; the current folder is theirs."""
    monkeypatch.chdir(root.parent)
    monkeypatch.setattr(models, "_USUAL", tuple(BACKBONES))  # building the others to try the weights on takes long
    (root / "jay").rename(root / "Parus_major")
    photos(root / "rare", 2, 8)
    torch.save(build_model("resnet10_w16", 7, 0).state_dict(), "start.pt")
    return root.parent


def test_a_study_and_a_table_are_written(own, capsys):
    assert new_study.main(["my_birds", "photos", "--weights", "start.pt"]) == 0
    said = capsys.readouterr().out
    assert "36 photographs of 3 classes, 12 to 12 each" in said
    assert "left out, with fewer than 10 photographs: rare (2)" in said
    assert "not found: heron, owl" in said
    study = load_study("my_birds.yml")
    assert (study.backbone, study.downstreams[0].images.n_classes) == ("resnet10_w16", 3)
    table = pd.read_csv("my_birds_species.csv", keep_default_na=False, encoding="utf-8-sig")
    assert table["family"].tolist() == ["Paridae", "", ""]
    assert f"{len(Plan.of('my_birds.yml').runs())} runs" in said


def test_without_photographs_the_current_folder_is_not_taken(own):
    with refused("no photographs are named; accepted: a folder of <class>/*.jpg", unchanged=own):
        new_study.write_study("my_birds", "", "start.pt")


def test_a_class_in_one_split_only_is_left_out(own, capsys):
    photos(own / "photos" / "wren", 12, 9)
    in_splits(own / "photos")
    shutil.rmtree(own / "photos" / "val" / "owl")
    photos(own / "photos" / "train" / "owl" / "more", 4, 10)
    assert new_study.main(["my_birds", "photos", "--weights", "start.pt"]) == 0
    assert "left out, in one split only: owl (12)" in capsys.readouterr().out
    assert load_class_table(str(own / "my_birds_species.csv"))["key"].tolist() == ["Parus_major", "heron", "wren"]


def test_its_counts_do_not_cut_a_split_of_whole_groups(own):
    manifest(own / "photos", group=lambda file: f"{Path(file).parent.name} {int(Path(file).stem) // 5}")
    assert new_study.main(["my_birds", "manifest.csv", "--weights", "start.pt"]) == 0
    path = str(own / "my_birds.yml")
    assert (len(loaded(path, "train")), len(loaded(path, "eval"))) == (21, 15)


def test_its_reader_accepts_what_it_writes_of_any_folder(own):
    """Letters beyond U+FFFF and those that cannot be shown, what YAML reads as more than text, and names that read alike."""
    for old, new in (("owl", "1.Crow"), ("heron", "2.Crow"), ("Parus_major", "_")):
        (own / "photos" / old).rename(own / "photos" / new)
    place = own / "🦉 \x7f #1: '$mine'"
    (own / "photos").rename(place)
    assert new_study.main(["my_birds", str(place), "--weights", "start.pt"]) == 0
    images = load_study("my_birds.yml").downstreams[0].images
    assert images.options["path"] == str(place)
    assert load_class_table(images.class_table)["name"].tolist() == ["1.Crow", "2.Crow", "_"]


def test_what_cannot_be_planned_leaves_no_files(own, capsys):
    """Spreadsheets drop spaces around a name, so a folder that begins with one is not found by its table."""
    (own / "photos" / "owl").rename(own / "photos" / " owl")
    assert new_study.main(["my_birds", "photos", "--weights", "start.pt"]) == 1
    assert_one_line(capsys.readouterr().err, "has 1 of 3 folders without photographs", "owl")
    assert not list(own.glob("my_birds*"))


def test_it_replaces_nothing(own, capsys):
    (own / "my_birds_species.csv").write_text("mine")
    assert new_study.main(["my_birds", "photos", "--weights", "start.pt"]) == 1
    assert_one_line(capsys.readouterr().err, "my_birds_species.csv exists; accepted: another name")
    assert not (own / "my_birds.yml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["My Birds", "photos"], "name 'My Birds'; accepted: lower-case letters"),
        (["toy", "photos"], "and none of"),
        (["true", "photos"], "name 'true'; accepted: lower-case letters"),
        (["birds", "photos", "--root", "."], "is a folder; accepted: no --root"),
        (["birds", "nowhere"], "nowhere is missing; accepted: a folder of <class>"),
        (["birds", "photos", "--weights", "photos/owl/00.jpg"], "is neither; accepted"),
    ],
)
def test_bad_arguments_are_named(own, capsys, arguments, said):
    assert new_study.main(arguments) == 1
    assert_one_line(capsys.readouterr().err, said)
    assert not list(own.glob("*.yml"))


def test_a_table_that_states_no_groups_leaves_their_claims_untested(own):
    """The table of `make study` says nothing of representation, where weights are a file, nor of families that it cannot place."""
    new_study.main(["my_birds", "photos", "--weights", "start.pt"])
    path = str(own / "my_birds.yml")
    simulate_results(path)
    results = StudyResults.from_parameters({"study": path})
    assert results.species["family"].tolist() == ["Paridae", NOT_STATED, NOT_STATED]
    assert {claim["id"] for claim in what_if_tables(path)["claims"]} == {"C1"}
    assert len(single_changes(path))
    said = answer(results, taxa_numbers(results))["answer_who"]
    assert "the species table does not state which are. Whether families differ cannot be tested" in said


def test_a_study_whose_runs_all_agree_has_a_ledger(own):
    """So do runs of few epochs that always name the same species: nothing varies from image to image."""
    new_study.main(["my_birds", "photos", "--weights", "start.pt"])
    path = str(own / "my_birds.yml")
    simulate_results(path, gain=0.0, scratch=1.0)
    ledger = Ledger.of(View(study=path))
    ledger.write()
    assert read_ledger("my_birds").paired_factors == ledger.paired_factors == {}
    assert explorer_tables(View(study=path))["targets"]
    results = StudyResults.from_parameters({"study": path})
    assert answer(results, taxa_numbers(results))["answer_gain"].startswith("We cannot tell whether pretraining with weights start")
