"""Study files: how one is written does not matter, what it says does. What is wrong with one: `test_bad_studies.py`."""

from __future__ import annotations

import os
import re

import pytest
import yaml
from conftest import ROOT

from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import load_study

TOY = (ROOT / "notebooks" / "studies" / "toy.yml").read_text()


@pytest.mark.parametrize(
    "rewrite",
    [str, lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"), lambda text: "%YAML 1.1\n---\n" + text],
    ids=["as it is", "a byte order mark", "Windows line ends", "a YAML header"],
)
def test_how_a_study_was_saved_does_not_matter(tmp_path, rewrite):
    (tmp_path / "own.yml").write_bytes(rewrite(TOY).encode())
    assert load_study(str(tmp_path / "own.yml")) == load_study("toy")


def test_anchors_and_merged_fields_are_no_repetition(tmp_path):
    images = re.search(r"images:\n((?: {6}.*\n)+)", TOY)[1]
    short = TOY.replace(f"images:\n{images}", f"images: &images\n{images}", 1)
    short = short.replace(f"images:\n{images}", "images:\n      <<: *images\n      options: {gap: 1.0}\n")
    assert short.count("*images") == 1
    (tmp_path / "own.yml").write_text(short)
    assert load_study(str(tmp_path / "own.yml")) == load_study("toy")


def test_links_to_a_study_are_followed(tmp_path):
    os.symlink(ROOT / "notebooks" / "studies" / "toy.yml", tmp_path / "own.yml")
    assert load_study(str(tmp_path / "own.yml")) == load_study("toy")


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


def test_finetuned_the_other_way_differs_in_freezing_and_nothing_else():
    """How many views a frozen backbone has of an image belongs to freezing."""
    found = {}
    for name in ("toy", "mini", "paper"):
        study = load_study(name)
        others = {target.name: study.finetuned_the_other_way(target) for target in study.downstreams}
        found |= {target: other.name if other else None for target, other in others.items()}
    assert found["field"] == "field_frozen"
    assert found["clean"] is None
    pairs = {"caltech101_animals": "caltech101_animals_frozen", "cifar10_animals": "cifar10_animals_full"}
    pairs |= {"inat_mini_animals": "inat_mini_animals_frozen", "imagenet_animals": "imagenet_animals_full"}
    assert pairs.items() <= found.items()
    assert {other: one for one, other in pairs.items()}.items() <= found.items()
    target = load_study("mini").downstreams[0]
    changes = target.recipe.changes | {"epochs": 61}
    longer = target.model_copy(update={"recipe": target.recipe.model_copy(update={"changes": changes})})
    assert load_study("mini").finetuned_the_other_way(longer) is None
