"""Bad class tables, annotations, lists of images and weights: a row each, what is named, and what is accepted."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from official import make_annotations, make_inat
from refusal import Damage, cut, folder, in_json, link_to, missing, recoded, refused, text, whole

from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.models import build_model, load_backbone
from pretraining_gain.compute.weights import read_weights, write_weights
from pretraining_gain.datasets.inat2021.official import class_table, read_listing
from pretraining_gain.plan.representation import annotations_path, load_annotations
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table, made_table_path


def added(line: str) -> Damage:
    return lambda path: path.write_text(path.read_text() + line + "\n")


TABLE = """class_id,key,name,animal,supercategory,order,family,taxon,represented_by,category_id
0,00000_Lumbricus,Common Earthworm,true,Animalia,Haplotaxida,Lumbricidae,Lumbricus terrestris,,0
1,00001_Eristalis,"Hoverfly, géant",true,Insects,Diptera,Syrphidae,Eristalis tenax,,1
2,00002_Milvus,Black Kite,true,Birds,Accipitriformes,Accipitridae,Milvus migrans,n01608432,2
"""
CSV_FORM = "accepted: CSV saved as UTF-8"
BAD_TABLES: dict[str, tuple[Damage, str]] = {
    "a column is missing": (text("class_id,key", "class_id,kee"), "column(s) missing: key; accepted: a CSV file with class_id"),
    "semicolons": (whole(TABLE.replace(",", ";").encode()), "column(s) missing: class_id, key"),
    "a column twice": (text("order,family", "family,family"), "column 'family' appears twice; accepted: each column once"),
    "empty": (whole(b""), "column(s) missing: class_id"),
    "only a header": (whole(TABLE.split("\n")[0].encode()), "has no rows; accepted: one row or more"),
    "an id twice": (text("\n2,", "\n1,"), "class_id 1 instead of 2; accepted: 0, 1, 2"),
    "a hole in the ids": (text("\n2,", "\n7,"), "class_id 7 instead of 2; accepted: 0, 1, 2"),
    "ids from one": (text("\n0,", "\n1,"), "class_id 1 instead of 0"),
    "an id that is no number": (text("\n2,", "\ntwo,"), "column 'class_id' has 'two'; accepted: whole numbers"),
    "an id with a fraction": (text("\n2,", "\n2.0,"), "column 'class_id' has '2.0'; accepted: whole numbers"),
    "a negative id": (text("\n0,", "\n-1,"), "column 'class_id' has '-1'; accepted: whole numbers"),
    "a key twice": (text("00002_Milvus", "00001_Eristalis"), "key '00001_Eristalis' appears twice; accepted: each key once"),
    "no key": (text("00002_Milvus", ""), "line 4: column 'key' has no value"),
    "a key that is missing by name": (text("00002_Milvus", "NA"), "line 4: column 'key' has no value"),
    "a key leads elsewhere": (text("00002_Milvus", "../../etc"), "'../../etc' is not the name of one folder; accepted"),
    "a key that is the folder": (text("00002_Milvus", ".."), "key '..' is not the name of one folder"),
    "neither true nor false": (text("Kite,true", "Kite,yes"), "column 'animal' has 'yes'; accepted: true, false"),
    "animal is missing": (text("Kite,true", "Kite,"), "line 4: column 'animal' has no value"),
    "too few fields": (text(",n01608432,2", ",2"), "line 4: 9 fields; accepted: 10, as in the header"),
    "too many fields": (text("Black Kite", "Black, Kite"), "line 4: 11 fields; accepted: 10, as in the header"),
    "too many fields everywhere": (whole(TABLE.replace("true", "true,1").encode()), "line 2: 11 fields"),
    "an open quote": (text("Black Kite", '"Black Kite'), "cannot be read as a table"),
    "Latin-1": (recoded("latin-1"), f"is not UTF-8 (invalid continuation byte at byte 212); {CSV_FORM}"),
    "UTF-16": (recoded("utf-16"), f"is not UTF-8 (invalid start byte at byte 0); {CSV_FORM}"),
    "zero bytes in it": (text("Black Kite", "Black\0Kite"), f"is not UTF-8 (it has zero bytes); {CSV_FORM}"),
    "binary": (whole(pickle.dumps(list(range(400)))), CSV_FORM),
    "a folder": (folder, "cannot be read as a table"),
    "missing": (missing, "is missing; make it with `python -m pretraining_gain.prepare STUDY`"),
    "a broken link": (link_to("/nowhere.csv"), "is missing; make it with"),
}  # fmt: skip


@pytest.fixture
def table(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PRETRAINING_GAIN_PREPARED", str(tmp_path))
    path = made_table_path("inat2021_animals")
    path.parent.mkdir()
    path.write_text(TABLE, encoding="utf-8")
    return path


@pytest.mark.parametrize(("damage", "said"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_bad_class_table_is_named(table, tmp_path, damage, said):
    damage(table)
    with refused(str(table), said, unchanged=tmp_path):
        load_class_table("inat2021_animals")


SAVED = {
    "Windows line ends": TABLE.replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + TABLE,
    "no last line end": TABLE.rstrip("\n"),
    "empty lines": TABLE.replace("\n", "\n\n"),
}


@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED)
def test_how_a_table_was_saved_changes_neither_it_nor_a_fingerprint(table, tmp_path, saved):
    own = tmp_path / "own.yml"
    own.write_text((ROOT / "notebooks" / "studies" / "paper.yml").read_text().replace("n_classes: 5388", "n_classes: 3"))

    def state() -> tuple[list[dict], str]:
        run = Run(study=str(own), pool="scratch", downstream=load_study(str(own)).downstreams[0].name)
        return load_class_table("inat2021_animals").to_dict("records"), run.fingerprint

    plain = state()
    table.write_bytes(saved.encode())
    assert state() == plain
    assert len(plain[0]) == 3


def test_a_dataset_needs_its_own_columns(tmp_path):
    images = load_study("toy").source
    with refused("class table 'toy_source' lacks column 'draw_body'; dataset toy takes one with", unchanged=tmp_path):
        load_images(images, load_class_table("cifar10"), "train", 32)


BAD_ANNOTATIONS: dict[str, tuple[Damage, str]] = {
    "missing": (missing, "is missing; fetch it with `python -m pretraining_gain.data annotations`"),
    "empty": (whole(b""), "column(s) missing: Image Number"),
    "the other file of theirs": (whole(b"Species,Category\nemu,Bird\n"), "column(s) missing: Image Number, Label, Correct ID"),
    "a column is missing": (text("Correct ID", "Correct"), "column(s) missing: Correct ID; accepted: a CSV file with Image Number"),
    "UTF-16": (recoded("utf-16"), "is not UTF-8"),
    "a vote out of range": (text(",1.0,", ",1.5,"), "column 'Correct ID' has '1.5'; accepted: numbers from -1 to 1"),
    "a vote that is a word": (text(",1.0,", ",yes,"), "column 'Correct ID' has 'yes'; accepted: numbers from -1 to 1"),
    "a vote that is no number": (text(",1.0,", ",nan,"), "column 'Correct ID' has no value"),
    "an infinite vote": (text(",1.0,", ",inf,"), "column 'Correct ID' has 'inf'; accepted: numbers from -1 to 1"),
    "an image that is not there": (added("50001,Bird,x,1,1,1,1,1,1"), "50001 is not in ImageNet's validation set (1 to 50000)"),
    "a number with a fraction": (added("1.5,Bird,x,1,1,1,1,1,1"), "column 'Image Number' has '1.5'; accepted: whole numbers"),
    "an image twice": (lambda path: added(path.read_text().split("\n")[1])(path), "appears twice; accepted: each image once"),
    "a line cut off": (cut(12), "7 fields; accepted: 9, as in the header"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), BAD_ANNOTATIONS.values(), ids=BAD_ANNOTATIONS)
def test_bad_annotations_are_named(tmp_path, monkeypatch, damage, said):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    make_annotations(annotations_path().parent, {})
    damage(annotations_path())
    with refused(str(annotations_path()), said, unchanged=tmp_path):
        load_annotations()


NOT_OURS = "is not an iNaturalist 2021 file"
ODD_NAME = "accepted: train_mini/<folder>/<file>"
BAD_LISTINGS: dict[str, tuple[Damage, str]] = {
    "missing": (missing, "is missing; it is published with iNaturalist 2021"),
    "a folder": (folder, "cannot be read: Is a directory"),
    "cut off": (cut(30), f"{NOT_OURS}: Invalid JSON"),
    "UTF-16": (recoded("utf-16"), f"{NOT_OURS}: Invalid JSON"),
    "a list": (whole(b"[1, 2]"), NOT_OURS),
    "a list of images in place of them": (in_json(lambda c: c.update(images=[[1]])), NOT_OURS),
    "no family": (in_json(lambda c: c["categories"][0].pop("family")), f"{NOT_OURS}: field 'categories.0.family' is missing"),
    "no kingdom": (in_json(lambda c: c["categories"][0].pop("kingdom")), f"{NOT_OURS}: field 'categories.0.kingdom' is missing"),
    "no annotations": (in_json(lambda c: c.pop("annotations")), f"{NOT_OURS}: field 'annotations' is missing"),
    "no file name": (in_json(lambda c: c["images"][0].pop("file_name")), f"{NOT_OURS}: field 'images.0.file_name' is missing"),
    "an unknown image": (in_json(lambda c: c["annotations"][0].update(image_id=-5)), f"{NOT_OURS}: it has no image -5"),
    "plants only": (in_json(lambda c: c.update(categories=c["categories"][-1:])), f"{NOT_OURS}: it has no categories of kingdom"),
    "an image twice": (in_json(lambda c: c["images"].append(c["images"][0])), "id 0 appears twice in 'images'; accepted: each"),
    "a file twice": (in_json(lambda c: c["images"][0].update(c["images"][1] | {"id": 0})), "appears twice in"),
    "an image of two classes": (in_json(lambda c: c["annotations"].append({"image_id": 0, "category_id": 1})), "image_id 0"),
    "a category twice": (in_json(lambda c: c["categories"].append(c["categories"][0])), "id 0 appears twice in 'categories'"),
    "a file elsewhere": (in_json(lambda c: c["images"][0].update(file_name="train_mini/../../x.jpg")), ODD_NAME),
    "an absolute file": (in_json(lambda c: c["images"][0].update(file_name="/etc/a/x.jpg")), ODD_NAME),
    "a file of another split": (in_json(lambda c: c["images"][0].update(file_name="val/a/x.jpg")), ODD_NAME),
    "a name that is a number": (in_json(lambda c: c["images"][0].update(file_name=7)), "images.0.file_name: Input should be a"),
    "a name that is a list": (in_json(lambda c: c["images"][0].update(file_name=["a"])), "images.0.file_name: Input should be a"),
    "a licence without id": (in_json(lambda c: c["licenses"][0].pop("id")), "field 'licenses.0.id' is missing"),
    "a licence of another type": (in_json(lambda c: c["images"][0].update(license="1")), "images.0.license: Input should be a"),
    "ids of mixed types": (in_json(lambda c: c["images"][1].update(id="1")), "images.1.id: Input should be a valid integer"),
    "category ids as text": (in_json(lambda c: c["annotations"][0].update(category_id="0")), "annotations.0.category_id: Input"),
}  # fmt: skip


@pytest.fixture(scope="module")
def inat(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("inat")
    make_inat(root)
    return root


@pytest.mark.parametrize(("damage", "said"), BAD_LISTINGS.values(), ids=BAD_LISTINGS)
def test_a_bad_official_json_is_named(inat, tmp_path, damage, said):
    path = tmp_path / "train_mini.json"
    shutil.copy(inat / "train_mini.json", path)
    damage(path)
    with refused(str(path), said, unchanged=tmp_path):
        read_listing(path)


def test_a_listing_without_licences_and_a_species_without_a_common_name_are_read(inat, tmp_path):
    path = tmp_path / "train_mini.json"
    content = json.loads((inat / "train_mini.json").read_text()) | {"licenses": None}
    for row, name in zip(content["categories"], ["NA", None, " "], strict=False):
        row["common_name"] = name
    path.write_text(json.dumps(content))
    table = class_table(read_listing(path), len(content["categories"]) - 1)
    assert table["name"].tolist()[:3] == table["taxon"].tolist()[:3]


def written(model: torch.nn.Module) -> Damage:
    """Weights of another model under the run's name, with the checksum that a run would give them."""
    return lambda _: write_weights(Run(study="toy"), model)


UNREADABLE: dict[str, Damage] = {
    "missing": missing,
    "zero bytes": whole(b""),
    "text": whole(b"these are no weights" * 20),
    "cut off": cut(100),
    "a folder": folder,
}
BAD_WEIGHTS: dict[str, tuple[Damage, str]] = {
    **{wrong: (damage, "run 01_pretrain again") for wrong, damage in UNREADABLE.items()},
    "a pickle": (lambda path: torch.save({"conv1.weight": torch.ones(1)}, path), "not of this run; accepted: delete them"),
    "of another backbone": (written(build_model("resnet10_w32", 24, 0)), "first mismatch: conv1.weight is 32×3×3×3 in the file"),
    "not of a network": (written(torch.nn.ParameterDict({"x": torch.ones(1)})), "weights are of another backbone"),
}


@pytest.mark.parametrize(("damage", "said"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights_are_named(results, tmp_path, damage, said):
    run = Run(study="toy")
    run.folder.mkdir(parents=True)
    write_weights(run, build_model(run.backbone, 24, 0))
    damage(run.weights_path)
    with refused(str(run.weights_path), said, unchanged=tmp_path):
        load_backbone(build_model(run.backbone, 10, 0), read_weights(run), str(run.weights_path))
