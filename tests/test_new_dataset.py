"""A new dataset is one module and its class table: everything else follows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import ROOT, change_study

from pretraining_gain import data, datasets
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.samples import SampleView
from pretraining_gain.errors import InputError
from pretraining_gain.plan import taxonomy
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.playground.choices import missing_data

MODULE = '''
"""Squares: one colour per class."""
from typing import Literal
import numpy as np
from pydantic import Field
from pretraining_gain.datasets import Dataset, Options, Preparation

class Brightness(Options):
    bright: Literal["yes", "no"] = Field(default="yes", description="yes, no")

def load_class(images, row, split, size_px):
    n = images.train_images_per_class if split == "train" else images.eval_images_per_class
    pixels = np.full((n, size_px, size_px, 3), int(row["grey"]), dtype=np.uint8)
    return pixels, [f"{row['key']}/{split}/{i}" for i in range(n)], [], None

DATASET = Dataset(
    credit="Squares, CC0",
    folder="squares",
    load_class=load_class,
    options=Brightness,
    columns=("grey",),
    on_request="Squares are at squares.example",
    preparation=Preparation(lambda images, rows, split: []),
)
'''
TABLE = "class_id,key,name,animal,represented_by,grey\n0,emu,emu,true,bird_anat_c,40\n1,newt,newt,true,,90\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write the module and the table into a new folder, and a study that finetunes on them."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "squares.py").write_text(MODULE)
    (folder / "squares.csv").write_text(TABLE)
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(folder)])
    monkeypatch.setattr(taxonomy, "TABLE_FOLDERS", [*taxonomy.TABLE_FOLDERS, folder])
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    content = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text())
    content["name"], content["designs"], content["downstreams"] = "square", [], content["downstreams"][:2]
    for target in content["downstreams"]:
        target["images"] |= {"dataset": "squares", "class_table": "squares", "n_classes": 2, "options": {"bright": "no"}}
    path = tmp_path / "square.yml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("bright: 'no'", "bright: maybe", "squares option bright='maybe'; accepted: yes, no"),
        ("class_table: squares", "class_table: cifar10_animals", "class table 'cifar10_animals' lacks column 'grey'"),
    ],
    ids=["a wrong option", "a table that lacks its columns"],
)
def test_a_study_names_what_the_dataset_cannot_take(study, old, new, said):
    change_study(study, {old: new})
    with pytest.raises(InputError, match=said):
        load_study(study)


def test_images_are_loaded(study):
    loaded = load_images(load_study(study).downstreams[0].images, taxonomy.load_class_table("squares"), "eval", 8)
    assert [loaded.images[0].unique().item(), loaded.images[-1].unique().item()] == [40, 90]


def test_the_download_says_where_to_ask(study, tmp_path):
    with pytest.raises(InputError, match=f"Squares are at squares.example; put it in {tmp_path}/data/squares"):
        data.main(study)


def test_the_playground_says_what_is_missing(study):
    assert "dataset squares is missing: Squares are at squares.example" in missing_data(load_study(study))


def test_the_price_includes_its_prepared_form(study):
    assert "prepared squares, train" in Plan.of(study).disk_table().index


def test_its_columns_are_part_of_a_fingerprint(study, tmp_path):
    run = Run(study=study, pool="scratch", downstream="field")
    before = run.fingerprint
    (tmp_path / "more" / "squares.csv").write_text(TABLE.replace(",90", ",91"))
    taxonomy._read_table.cache_clear()
    taxonomy._rows_deciding_images.cache_clear()
    assert run.fingerprint != before


def test_samples_credit_it(study):
    samples = SampleView(study=study, n_species=1, n_images=1).samples()
    assert [sample.credit for sample in samples] == ["drawn by this project", "Squares, CC0"]
