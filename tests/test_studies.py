"""Study files: what is wrong is named, with file and field."""

from __future__ import annotations

import re

import pytest
import yaml
from conftest import ROOT

from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import load_study

TOY = (ROOT / "notebooks" / "studies" / "toy.yml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds: [0, 1, 2]", "sedes: [0, 1, 2]", "seeds"),
        ("seeds: [0, 1, 2]", "seeds: []", "seeds"),
        ("seeds: [0, 1, 2]", "seeds: [0, 0]", "stands twice"),
        ("seeds: [0, 1, 2]", 'seeds: ["0"]', "seeds"),
        ("backbone: resnet10_w16", "backbone: vgg16", "accepted: resnet50"),
        ("  animal: [4, 12]", "  animal: [4, 13]", "accepted: 1 to 12"),
        ("  all: [24]", "  all: [10]", "accepted: 24"),
        ("  random: [12]", "  randomly: [12]", "randomly"),
        (
            "dataset: toy\n  class_table: toy_source",
            "dataset: toy\n  class_table: toys",
            "accepted: caltech101_animals",
        ),
        ("n_classes: 24\n  train", "n_classes: 25\n  train", "n_classes"),
        ("epochs: 12,", "epochs: 0,", "epochs"),
        ("epochs: 12,", "epoch: 12,", "epoch"),
        ("epochs: 12,", "epochs: 1.5,", "epochs"),
        ("based_on: pretrain\n", "based_on: pretraining\n", "based_on"),
        ("domain: in_domain", "domain: inside", "domain"),
        ("name: clean", "name: field", "stands twice"),
        ("train_images_per_s: 2000", "train_images_per_s: fast", "train_images_per_s"),
        ("name: toy\n", "name: Toy World\n", "name"),
        ("name: toy\n", "name: toy\n\tx: 1\n", "cannot be read"),
    ],
)
def test_a_wrong_study_file_is_one_line_that_names_file_and_field(tmp_path, old, new, said):
    assert old in TOY
    path = tmp_path / "own.yml"
    path.write_text(TOY.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_study(str(path))
    message = str(caught.value)
    assert "own.yml" in message and said in message and "\n" not in message


MINI = (ROOT / "notebooks" / "studies" / "mini.yml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("total_images: 5000", "total_images: 50000", "designs.matched_images.total_images: 4 classes have only 10000"),
        ("total_images: 5000", "total_image: 5000", "unknown field 'designs.0.total_image'"),
        ("name: matched_steps", "name: matched_images", "designs: a value stands twice"),
        ("half_animal: [7]", "half_animal: [6]", "designs.assigned.arms.half_animal: k=6 is not possible; accepted: 7"),
        ("seeds: [0, 1, 2, 3]", "seeds: [0, 1, 2, 2]", "designs.assigned.seeds"),
        ("downstreams: [caltech101_animals]", "downstreams: [caltech]", "'caltech' is unknown; accepted: caltech101_animals"),
    ],
)
def test_a_wrong_design_is_one_line_too(tmp_path, old, new, said):
    assert old in MINI
    path = tmp_path / "own.yml"
    path.write_text(MINI.replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(said)):
        load_study(str(path))


@pytest.mark.parametrize("content", ["", "[1, 2]", "just text"])
def test_a_file_that_is_no_study(tmp_path, content):
    path = tmp_path / "own.yml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"own\.yml"):
        load_study(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.yml.*cannot be read"):
        load_study(str(tmp_path / "none.yml"))


def test_the_configuration_is_what_the_file_says_not_how(tmp_path):
    """Order, comments and a default spelt out do not change the hash; a value does."""
    content = yaml.safe_load(TOY)
    again = tmp_path / "toy.yml"
    again.write_text("# another hand\n" + yaml.safe_dump(dict(reversed(content.items())) | {"margin": 0.03}, sort_keys=False))
    assert load_study(str(again)).config_hash == load_study("toy").config_hash
    again.write_text(TOY.replace("seeds: [0, 1, 2]", "seeds: [0, 1, 3]"))
    assert load_study(str(again)).config_hash != load_study("toy").config_hash
    assert re.fullmatch(r"[0-9a-f]{12}", load_study("paper").config_hash)
