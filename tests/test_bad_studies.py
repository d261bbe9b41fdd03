"""Bad study files: every field missing, misspelt and of a wrong type, each out of its range."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from conftest import ROOT
from pydantic import BaseModel
from refusal import refuse_text, refused

from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.studies import Study, load_study, study_from

#: A whole study: the toy's, and what its file leaves to defaults.
WHOLE: dict[str, Any] = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text())
WHOLE |= {"margin": 0.03, "representation": "named"}
WHOLE["designs"] = [
    {"name": "matched", "title": "fewer images", "arms": {"animal": [4], "all": [24]}, "total_images": 120,
     "steps_of_k": 4, "subsets": "independent", "source_options": {"gap": 0.5}, "seeds": [0, 1, 7], "downstreams": ["field"]},
]  # fmt: skip
WHOLE["source"] |= (defaults := {"split_seed": 0, "broken_images": "stop", "train_images": 0, "eval_images": 0})
WHOLE["downstreams"][0]["images"] |= defaults
WHOLE["pretrain"]["from_scratch"] = {}
WHOLE["downstreams"][0]["recipe"]["from_scratch"] = {"lr": 0.05}
WHOLE["downstreams"][0] |= {"pools": ["all", "scratch"], "seeds": [0, 1]}
WHOLE |= {"weights": {"published": "ResNet50_Weights.IMAGENET1K_V1"}, "keep_networks": False, "normalisation": {}}
WHOLE |= {"balanced_draws": False}


def place_of(study: Any, path: str) -> Any:
    """Return what is at a path such as `downstreams.0.images`."""
    for step in path.split(".") if path else ():
        study = study[int(step) if step.isdecimal() else step]
    return study


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the whole study with another value at `path`."""
    study = copy.deepcopy(WHOLE)
    where, _, name = path.rpartition(".")
    place_of(study, where)[name] = value
    return study


def without(path: str) -> dict[str, Any]:
    study = copy.deepcopy(WHOLE)
    where, _, name = path.rpartition(".")
    del place_of(study, where)[name]
    return study


def refuse(tmp_path: Path, content: Any, *said: str) -> None:
    """Have a study file refused by its name: one of this text, or one that holds this content."""
    path = tmp_path / "own.yml"
    if isinstance(content, str):
        refuse_text(path, content, load_study, *said)
    else:
        with refused(str(path), *said, unchanged=tmp_path):
            study_from(content, path)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        yield from [annotation] if issubclass(annotation, BaseModel) else []
    for inner in get_args(annotation):
        yield from models_in(inner)


def fields(model: type[BaseModel], way: str = "") -> Iterator[tuple[str, bool]]:
    """Path of every field below `model`, of lists that of the first member; and whether it is required."""
    for name, field in model.model_fields.items():
        path = f"{way}{name}"
        yield path, field.is_required()
        for inner in models_in(field.annotation):
            yield from fields(inner, f"{path}.0." if isinstance(place_of(WHOLE, path), list) else f"{path}.")


FIELDS = dict(fields(Study))


def test_the_whole_study_is_accepted_and_has_every_field(tmp_path):
    (tmp_path / "own.yml").write_text(json.dumps(WHOLE))
    assert load_study(str(tmp_path / "own.yml")).title == WHOLE["title"]
    assert {"source.split_seed", "designs.0.subsets", "downstreams.0.recipe.based_on"} < FIELDS.keys()


@pytest.mark.parametrize("path", [path for path, is_required in FIELDS.items() if is_required])
def test_a_missing_field_is_named(tmp_path, path):
    refuse(tmp_path, without(path), f"field {path!r} is missing")


@pytest.mark.parametrize("path", FIELDS)
def test_a_misspelt_field_is_named_and_what_is_accepted(tmp_path, path):
    where, _, name = path.rpartition(".")
    study = changed(f"{where}.{name}x" if where else f"{name}x", place_of(WHOLE, path))
    refuse(tmp_path, study, f"{where}: " if where else "", f"unknown field '{name}x'; accepted: ", name)


#: Values, and the fields that they fit.
OTHERS: list[tuple[Any, tuple[str, ...]]] = [
    (None, tuple(path for path, required in FIELDS.items() if not required)),
    (["a", ["list"]], ()),
    ({"a": {"deep": "mapping"}}, ()),
    ("a text of no use", ("title", "device", "throughput.source")),
    (1.5, ("per_s",)),
    (True, ("keep_networks", "balanced_draws")),
]


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path in FIELDS for value, fits in OTHERS if not path.endswith(("-", *fits))]
)
def test_a_value_of_another_type_is_named(tmp_path, path, value):
    refuse(tmp_path, changed(path, value), path.split(".")[0])


NAN, INF = float("nan"), float("inf")
LONG = 2**63
ONCE = "appears twice; accepted: each value once"
#: Path, value, what is said beside the path.
OUT_OF_RANGE: list[tuple[str, Any, str]] = [
    ("name", "Toy World", "should match pattern '^[a-z][a-z0-9_]*$'"),
    ("name", "toy\n", "should match pattern"),
    ("name", "a" * 300, "at most 40 characters"),
    ("title", "", "at least 1 character"),
    ("backbone", "vgg", "backbone 'vgg' is unknown; accepted: resnet50"),
    ("seeds", [], "at least 1 item"),
    ("seeds", [0, 0], f"0 {ONCE}"),
    ("seeds", [-1], "greater than or equal to 0 (got -1)"),
    ("seeds", [LONG], f"less than or equal to {LONG - 1}"),
    ("margin", 0, "greater than 0"),
    ("margin", 1, "less than 1"),
    ("margin", NAN, "finite number (got nan)"),
    ("representation", "guessed", "'named' or 'annotated'"),
    ("source.dataset", "imagenet", "dataset 'imagenet' is unknown; accepted: caltech101, cifar10"),
    ("source.class_table", "toys", "class table 'toys' is unknown; accepted: caltech101_animals"),
    ("source.class_table", "cifar10", "class table 'cifar10' lacks column 'draw_body'"),
    ("source.class_table", None, "class_table is missing; subsets are drawn from it"),
    ("source.n_classes", 25, "n_classes is 25 but class table 'toy_source' has 24"),
    ("source.n_classes", 1, "greater than 1"),
    ("source.train_images_per_class", 0, "greater than 0"),
    ("source.eval_images_per_class", -1, "greater than or equal to 0"),
    ("source.split_seed", -1, "greater than or equal to 0"),
    ("source.broken_images", "ignore", "'stop' or 'skip'"),
    ("source.options", {"gap": 2}, "toy option gap=2; accepted: a number from 0"),
    ("source.options", {"gap": True}, "toy option gap=True; accepted: a number from 0 (close-up) to 1 (field)"),
    ("source.options", {"strength": -0.1}, "toy option strength=-0.1; accepted: a number from 0 to 1"),
    ("source.options", {"gap": NAN}, "toy option gap=nan; accepted"),
    ("source.options", {"gab": 0}, "toy option 'gab' is unknown; accepted: gap"),
    ("arms", {}, "at least 1 item"),
    ("arms", {"randomly": [4]}, "pool 'randomly' is unknown; accepted: animal, non_animal, random"),
    ("arms.animal", [4, 4], f"4 {ONCE}"),
    ("arms.animal", [13], "k=13 is not possible; accepted: 1 to 12"),
    ("arms.animal", [4.0], "valid integer (got 4.0)"),
    ("arms.random", [12, 24], "arms.random: k=24 is all classes; accepted: fewer, or `all: [24]`"),
    ("designs.0.arms", {"random": [24]}, "designs.matched.arms.random: k=24 is all classes; accepted: fewer, or `all: [24]`"),
    ("arms.all", [10], "k=10 is not possible; accepted: 24"),
    ("pretrain.based_on", "pretraining", "'pretrain', 'finetune_inat' or 'finetune_imagenet'"),
    ("downstreams", [], "at least 1 item"),
    ("downstreams.1.name", "field", "downstreams: 'field' appears twice"),
    ("downstreams.1.title", WHOLE["downstreams"][0]["title"], f"downstreams: {WHOLE['downstreams'][0]['title']!r} appears twice"),
    ("downstreams.0.domain", "inside", "'out_of_domain' or 'in_domain'"),
    ("downstreams.0.images.eval_images_per_class", 0, "eval_images_per_class is 0; accepted: 1 or more"),
    ("downstreams.0.pools", ["none"], "'none' is unknown; accepted: animal, non_animal, random, all, half_animal, published"),
    ("downstreams.0.pools", ["animal", "scratch"], "downstreams.field.pools is ['animal', 'scratch']; accepted: 'all' among them"),
    ("downstreams.0.pools", ["all"], "downstreams.field.pools is ['all']; accepted: 'scratch' among them"),
    ("downstreams.2.pools", ["all"], "downstreams.field_frozen.pools is ['all']; accepted: 'scratch' among them, as gains need it"),
    ("downstreams.0.seeds", [1, 77], "downstreams.field.seeds: 77 is no seed of the study, nor of a design for it; accepted: [0, "),
    ("downstreams.0.seeds", [7], "downstreams.field.seeds is [7]; accepted: at least one of [0, 1, 2], which train from scratch"),
    ("downstreams.1.seeds", [7], "downstreams.clean.seeds: 7 is no seed of the study"),
    ("downstreams", WHOLE["downstreams"][1:2], "downstreams: none is out_of_domain; accepted: at least one that is"),
    ("source", None, "field 'source' is missing; accepted: source, arms, pretrain, or none of them and `weights`"),
    ("weights", {"all": "resnet50"}, "'all' is the name of a pool; accepted: another name"),
    ("weights", {"mine": "model.ckpt"}, "'model.ckpt' is neither; accepted: a file that ends in .safetensors, .pth, .pt"),
    ("weights", {"mine": "$NOWHERE_SET/model.pt"}, "'$NOWHERE_SET/model.pt' uses $NOWHERE_SET, which is not set"),
    ("designs", [WHOLE["designs"][0]] * 2, "'matched' appears twice"),
    ("designs.0.arms.half_animal", [6], "designs.matched.arms.half_animal: k=6 is not possible; accepted: 18"),
    ("designs.0.total_images", 0, "greater than 0"),
    ("designs.0.total_images", 23, "designs.matched.total_images is 23; accepted: 24 to 200"),
    ("designs.0.total_images", 5000, "total_images is 5000; accepted: 24 to 200, as 4 classes have only 200 images"),
    ("designs.0.steps_of_k", 0, "greater than 0"),
    ("designs.0.subsets", "other", "'nested' or 'independent'"),
    ("designs.0.source_options", {"shares": "genus"}, "toy option shares='genus'; accepted: generic, family, species"),
    ("designs.0.downstreams", ["caltech"], "designs.matched.downstreams: 'caltech' is unknown; accepted: field, clean"),
    ("throughput.train_images_per_s", 0, "greater than 0"),
    ("throughput.train_images_per_s", INF, "finite number (got inf)"),
    ("throughput.source", "", "at least 1 character"),
]  # fmt: skip
BAD_RECIPES: list[tuple[dict[str, Any], str]] = [
    ({"epoch": 12}, "unknown field 'epoch'; accepted: epochs, batch_size"),
    ({"epochs": 0}, "epochs: Input should be greater than 0 (got 0)"),
    ({"batch_size": 1}, "batch_size: Input should be greater than 1"),
    ({"lr": 0}, "lr: Input should be greater than 0"),
    ({"lr": INF}, "lr: Input should be a finite number (got inf)"),
    ({"lr_step_epochs": 0}, "lr_step_epochs: Input should be greater than 0"),
    ({"momentum": 1}, "momentum: Input should be less than 1"),
    ({"weight_decay": -1}, "weight_decay: Input should be greater than or equal to 0"),
    ({"weight_decay": "1e-4"}, "weight_decay: Input should be a valid number (got '1e-4')"),
    ({"freeze_backbone": 1}, "freeze_backbone: Input should be a valid boolean"),
    ({"frozen_batchnorm": "frozen"}, "frozen_batchnorm: Input should be 'eval' or 'train'"),
    ({"frozen_views": -1}, "frozen_views: Input should be greater than or equal to 0"),
    ({"frozen_views": 2, "freeze_backbone": False}, "frozen_views is 2; accepted: 0, unless freeze_backbone is true"),
    ({"frozen_views": 2, "freeze_backbone": True, "frozen_batchnorm": "train"}, "frozen_views is 2; accepted: 0, unless"),
    ({"image_size_px": 4}, "image_size_px: Input should be greater than or equal to 8"),
    ({"resize_px": 2048}, "resize_px: Input should be less than or equal to 1024"),
    ({"image_size_px": 64, "resize_px": 32}, "resize_px is 32; accepted: 64 (image_size_px) or more"),
    ({"crop_scale_min": 0}, "crop_scale_min: Input should be greater than 0"),
    ({"flip": "yes"}, "flip: Input should be a valid boolean"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "said"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_named_and_what_is_accepted(tmp_path, path, value, said):
    refuse(tmp_path, changed(path, value), path.split(".")[0], said)


@pytest.mark.parametrize(("changes", "said"), BAD_RECIPES)
def test_a_bad_recipe_is_named_with_its_place(tmp_path, changes, said):
    for where in ("pretrain", "downstreams.0.recipe"):
        refuse(tmp_path, changed(f"{where}.changes", changes), f"{where}.changes", said)


def test_every_field_of_a_recipe_is_among_the_bad_ones():
    assert {name for changes, _ in BAD_RECIPES for name in changes} - {"epoch"} == set(Recipe.model_fields)


def test_a_study_without_all_classes_and_without_weights_is_refused(tmp_path):
    study = changed("weights", {}) | {"arms": {"animal": [4]}, "designs": []}
    refuse(tmp_path, study, "arms: 'all' is missing, whose gain figures show; accepted: with all: [24]")


def test_numbers_are_those_of_yaml_1_2(tmp_path):
    """YAML 1.1 reads 010 as eight, 1:30 as ninety, and 1e-3 as a text."""
    text = (ROOT / "notebooks" / "studies" / "toy.yml").read_text()
    path = tmp_path / "own.yml"
    path.write_text(text.replace("seeds: [0, 1, 2]", "seeds: [010]").replace("lr: 0.03", "lr: 3e-2"))
    study = load_study(str(path))
    assert study.seeds == [10]
    assert study.downstreams[0].recipe.resolve().lr == 0.03
    refuse(tmp_path, text.replace("seeds: [0, 1, 2]", "seeds: [1:30]"), "seeds", "valid integer (got '1:30')")
