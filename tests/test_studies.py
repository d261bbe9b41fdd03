"""Study files: how one is written does not matter, what it says does. Fields that are wrong: `test_bad_studies.py`."""

from __future__ import annotations

import os
import re

import pytest
import yaml
from conftest import ROOT
from refusal import Damage, folder, link_to, missing, recoded, refuse_text, refused, whole

from pretraining_gain.plan.runs import finetuning_runs
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


def test_the_configuration_is_what_the_file_says_not_how(tmp_path):
    """Order, comments and a default spelt out do not change the hash; a value does."""
    content = yaml.safe_load(TOY)
    again = tmp_path / "toy.yml"
    again.write_text("# another hand\n" + yaml.safe_dump(dict(reversed(content.items())) | {"margin": 0.03}, sort_keys=False))
    assert load_study(str(again)).config_hash == load_study("toy").config_hash
    again.write_text(TOY.replace("seeds: [0, 1, 2]", "seeds: [0, 1, 3]"))
    assert load_study(str(again)).config_hash != load_study("toy").config_hash
    assert re.fullmatch(r"[0-9a-f]{12}", load_study("paper").config_hash)


def test_training_from_scratch_may_have_its_own_schedule(tmp_path):
    own = tmp_path / "own.yml"
    choice = "based_on: finetune_inat\n      from_scratch: {lr: 0.03, epochs: 7}"
    own.write_text(TOY.replace("name: toy", "name: own", 1).replace("based_on: finetune_inat", choice))
    runs = {run.arm: run for run in finetuning_runs(str(own))}
    found = {arm: (runs[arm].recipe.lr, runs[arm].recipe.epochs) for arm in ("scratch", "all-k24")}
    toy = load_study("toy").downstreams[0].recipe.resolve()
    assert found == {"scratch": (0.03, 7), "all-k24": (toy.lr, toy.epochs)}
    own.write_text(own.read_text().replace("{lr: 0.03, epochs: 7}", "{flip: false}"))
    with refused("'flip' must be that of a pretrained start", "epochs, lr, lr_step_epochs, weight_decay", unchanged=tmp_path):
        load_study(str(own))


def test_finetuned_the_other_way_differs_in_freezing_and_nothing_else():
    """How many views a frozen backbone has of an image belongs to freezing."""
    found = {}
    for name in ("toy", "mini", "paper"):
        study = load_study(name)
        others = {target.name: study.finetuned_the_other_way(target) for target in study.downstreams}
        found |= {target: other.name if other else None for target, other in others.items()}
    assert found["field"] == "field_frozen"
    assert found["clean"] is None
    frozen = {f"{name}_frozen": name for name in ("caltech101_animals", "inat_mini_animals")}
    full = {f"{name}_full": name for name in ("cifar10_animals", "imagenet_animals")}
    assert (frozen | full).items() <= found.items()
    assert {one: other for other, one in (frozen | full).items()}.items() <= found.items()
    target = load_study("mini").downstreams[0]
    changes = target.recipe.changes | {"epochs": 61}
    longer = target.model_copy(update={"recipe": target.recipe.model_copy(update={"changes": changes})})
    assert load_study("mini").finetuned_the_other_way(longer) is None


def edited(old: str, new: str) -> str:
    assert old in TOY, old
    return TOY.replace(old, new, 1)


NO_YAML = "accepted: a YAML file saved as UTF-8"
FIELDS_WANTED = "accepted: fields, namely name, title, backbone"
#: What a file holds, and what is said beside its name.
BAD_TEXTS: dict[str, tuple[str, str]] = {
    "empty": ("", f"holds nothing; {FIELDS_WANTED}"),
    "only comments": ("# later\n", f"holds nothing; {FIELDS_WANTED}"),
    "a list": ("[1, 2]", f"holds a list; {FIELDS_WANTED}"),
    "a word": ("just text", f"holds a str; {FIELDS_WANTED}"),
    "a tab": (edited("seeds:", "\tseeds:"), "line 6: found character '\\t' that cannot start any token"),
    "an open bracket": (edited("seeds: [0, 1, 2]", "seeds: [0, 1, 2"), "line 7: expected ',' or ']'"),
    "an open quote": (edited("title: procedural", "title: 'procedural"), "found unexpected end of stream"),
    "wrong indentation": (edited("  class_table: toy_source", "   class_table: toy_source"), "line 9: "),
    "two documents": (edited("seeds:", "---\nseeds:"), "line 6: but found another document"),
    "an object": (edited("title: procedural world", "title: !!python/object/apply:os.getcwd []"), "line 3: could not determine"),
    "a date that is none": (edited("title: procedural world", "title: 2026-13-45"), f"month must be in 1..12; {NO_YAML}"),
    "not a number": (TOY + "margin: .nan\n", "margin: Input should be a finite number (got nan)"),
    "no finite number": (TOY + "margin: .inf\n", "margin: Input should be a finite number (got inf)"),
    "a zero byte": (edited("title: procedural", "title: \0procedural"), "special characters are not allowed"),
    "nested without end": ("name: " + "[" * 1000, f"nested too deeply; {NO_YAML}"),
    "a field twice": (TOY + "seeds: [3]\n", 'found duplicate key "seeds"; accepted: each field once'),
    "a field twice, deeper": (edited("  n_classes: 24", "  n_classes: 24\n  n_classes: 25"), 'line 11: found duplicate key "n_cl'),
    "a field twice on a line": (edited("epochs: 12,", "epochs: 12, epochs: 13,"), 'line 21: found duplicate key "epochs"'),
    "a pool twice": (edited("  random: [12]", "  animal: [12]"), 'line 17: found duplicate key "animal"'),
    "a field that is a number": (TOY + "1: 2\n", "unknown field 1; accepted: name, title"),
    "a field that is a truth": (TOY + "true: 2\n", "unknown field True; accepted: name, title"),
    "a field of two lines": (TOY + '"a\\nb": 2\n', "unknown field 'a\\nb'; accepted: name"),
    "an option that is a number": (edited("options: {gap: 0.0}", "options: {1: 0.0}"), "source.options.1"),
    "an alias to nothing": (edited("seeds: [0, 1, 2]", "seeds: *seeds"), "line 6: found undefined alias 'seeds'"),
    "a value within itself": (edited("seeds: [0, 1, 2]", "seeds: &seeds [*seeds]"), "seeds"),
    "many aliases": ("a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{i}: [*b, *b]\n" for i in range(50)), "unknown field"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_what_is_no_study_is_named_with_its_line(tmp_path, content, said):
    refuse_text(tmp_path / "own.yml", content, load_study, said)


BAD_FILES: dict[str, tuple[Damage, str]] = {
    "missing": (missing, f"cannot be read (No such file or directory); {NO_YAML}"),
    "a folder": (folder, f"cannot be read (Is a directory); {NO_YAML}"),
    "a broken link": (link_to("nowhere.yml"), "cannot be read (No such file"),
    "UTF-16": (recoded("utf-16"), f"is not UTF-8 (invalid start byte at byte 0); {NO_YAML}"),
    "Latin-1": (whole("title: wörld".encode("latin-1")), "is not UTF-8"),
    "binary": (whole(bytes(range(256))), "is not UTF-8"),
}


@pytest.mark.parametrize(("damage", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_read_is_named(tmp_path, damage, said):
    path = tmp_path / "own.yml"
    path.write_text(TOY)
    damage(path)
    with refused(str(tmp_path), said, unchanged=tmp_path):
        load_study(str(path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "study '' is unknown; accepted: anchors, imagenet200, mini, mini_convnext, "
         "mini_resnet, paper, paper_short, paper_weights, toy, or the path of a .yml file"),
        ("minni", "study 'minni' is unknown; accepted: anchors, imagenet200, mini, mini_convnext, mini_resnet, paper, "),
        ("../studies/toy", "is unknown; accepted"),
        ("toy.txt", "is unknown; accepted"),
        ("/", "is unknown; accepted"),
        ("~nobody-of-that-name/own.yml", "is no place"),
        ("own\0.yml", "is no place"),
    ],
)
def test_a_study_of_no_such_name_is_named(tmp_path, name, said):
    with refused(said, unchanged=tmp_path):
        load_study(name)
