"""Parts of a study: images, downstream targets, designs of pretrainings, and speed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pretraining_gain.datasets import check_columns, dataset_names, find_dataset, options_of
from pretraining_gain.errors import Given
from pretraining_gain.paths import path_beside
from pretraining_gain.plan.backbones import known_backbone
from pretraining_gain.plan.pools import POOLS, SCRATCH, PoolName, Seed
from pretraining_gain.plan.recipes import Recipe, RecipeChoice
from pretraining_gain.plan.taxonomy import (
    REQUIRED_COLUMNS,
    has_class_table,
    is_own_table,
    load_class_table,
    made_tables,
)
from pretraining_gain.plan.weights import check_weights, study_file_of


def each_once(values: list[Any]) -> list[Any]:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{value!r} appears twice; accepted: each value once")
    return values


BackboneName = Annotated[str, AfterValidator(known_backbone)]
#: Names become parts of file names, so they are short, and valid on every system.
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Text = Annotated[str, Field(min_length=1)]
Seeds = Annotated[list[Seed], AfterValidator(each_once)]
Ks = Annotated[list[int], Field(min_length=1), AfterValidator(each_once)]
Arms = Annotated[dict[PoolName, Ks], Field(min_length=1)]


def _no_pool(name: str) -> str:
    if name in POOLS or name == SCRATCH:
        raise ValueError(f"{name!r} is the name of a pool; accepted: another name")
    return name


#: Name of a start -> its weights: a file, or a name of timm or torchvision.
Weights = dict[Annotated[Slug, AfterValidator(_no_pool)], Annotated[str, AfterValidator(check_weights)]]


def named_once(things: list[Any]) -> list[Any]:
    for field in ("name", "title"):
        each_once([getattr(thing, field) for thing in things])
    return things


class Images(Given):
    """Images of some classes: `dataset` is a module of `datasets/`, and `options` are its options."""

    dataset: Slug
    class_table: str | None = None
    n_classes: int = Field(gt=1)
    train_images_per_class: int = Field(gt=0)
    eval_images_per_class: int = Field(ge=0, description="at most so many; 0: not evaluated on")
    train_images: int = Field(default=0, ge=0, exclude=True, description="in all; 0: each class has as many as wanted")
    eval_images: int = Field(default=0, ge=0, exclude=True, description="in all; 0: each class has as many as wanted")
    split_seed: Seed = 0
    broken_images: Literal["stop", "skip"] = "stop"
    options: dict[str, Any] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any, info: ValidationInfo) -> Any:
        """Resolve the path of a class table, and let the dataset fill in what it can count."""
        if not (isinstance(given, dict) and isinstance(given.get("options", {}), dict)):
            return given
        study_file, table = study_file_of(info), given.get("class_table")
        if isinstance(table, str) and is_own_table(table):
            given = given | {"class_table": str(path_beside(study_file, table))}
        name = given.get("dataset")
        complete = find_dataset(name).complete if name in dataset_names() else None
        return complete(given, study_file) if complete else given

    @model_validator(mode="after")
    def _dataset_and_table_agree(self) -> Images:
        options_of(self.dataset, self.options)
        name = self.class_table
        if not name or (name in made_tables() and not has_class_table(name)):
            return self  # listed and priced without the data; a run asks for the table
        table = load_class_table(name)
        check_columns(self.dataset, name, table.columns)
        if len(table) != self.n_classes:
            raise ValueError(f"n_classes is {self.n_classes} but class table {name!r} has {len(table)}")
        return self

    @property
    def classes(self) -> pd.DataFrame:
        """The class table; one without rows where the images have none, or none yet."""
        name = self.class_table
        return load_class_table(name) if name and has_class_table(name) else pd.DataFrame(columns=REQUIRED_COLUMNS)

    def per_class(self, split: str) -> int:
        """Return how many images of each class a split, `train` or `eval`, has at most."""
        return self.train_images_per_class if split == "train" else self.eval_images_per_class

    def planned(self, split: Literal["train", "eval"]) -> int:
        """Return the number of images of a split, over all classes."""
        return (self.train_images if split == "train" else self.eval_images) or self.n_classes * self.per_class(split)


class Downstream(Given):
    """A target of finetuning and the recipe for it."""

    name: Slug
    title: Text
    domain: Literal["out_of_domain", "in_domain"] = "out_of_domain"
    images: Images
    recipe: RecipeChoice
    pools: Annotated[list[Slug], AfterValidator(each_once)] = Field(
        default=[], description="what is finetuned on it, `scratch` among it; empty: every start"
    )
    seeds: Seeds = Field(default=[], description="of the study's or a design's, those finetuned on it; empty: all")

    @field_validator("images")
    @classmethod
    def _is_evaluated_on(cls, images: Images) -> Images:
        if not images.eval_images_per_class:
            raise ValueError("eval_images_per_class is 0; accepted: 1 or more, as a target is evaluated on")
        return images

    def takes(self, pool: str, seed: int | None = None) -> bool:
        """Return whether a start is finetuned on it; without `seed`, whether any of its seeds is."""
        return (not self.pools or pool in self.pools) and (not self.seeds or seed is None or seed in self.seeds)

    def check_pools(self, starts: Collection[str], needed: Collection[str]) -> None:
        """Raise `ValueError` where `pools` has another than the study's `starts`, or lacks one that is `needed`."""
        where, accepted = f"downstreams.{self.name}.pools", ", ".join(starts)
        if unknown := [pool for pool in self.pools if pool not in starts]:
            raise ValueError(f"{where}: {unknown[0]!r} is unknown; accepted: {accepted}")
        if missing := [pool for pool in needed if not self.takes(pool)]:
            raise ValueError(f"{where} is {self.pools}; accepted: {missing[0]!r} among them, as gains need it")

    def check_seeds(self, of_study: list[int], of_designs: list[int]) -> None:
        """Raise `ValueError` where `seeds` has one without a run, or none of the study's, which alone train from scratch."""
        where, known = f"downstreams.{self.name}.seeds", list(dict.fromkeys([*of_study, *of_designs]))
        if unknown := [seed for seed in self.seeds if seed not in known]:
            raise ValueError(f"{where}: {unknown[0]} is no seed of the study, nor of a design for it; accepted: {known}")
        if self.seeds and not set(self.seeds) & set(of_study):
            raise ValueError(f"{where} is {self.seeds}; accepted: at least one of {of_study}, which train from scratch")


class Design(Given):
    """A variation of the paper's design of pretrainings. A field that is not given stays as in the study.

    `total_images`: images of each pretraining, split evenly over its k classes (matched images).
    `steps_of_k`: scale epochs and schedule so that each takes as many gradient steps as k classes do (matched steps).
    `subsets`: whether the subsets of one seed are nested in k. `source_options`: options of the source's dataset.
    """

    name: Slug
    title: Text
    arms: Arms
    total_images: int | None = Field(default=None, gt=0)
    steps_of_k: int | None = Field(default=None, gt=0)
    subsets: Literal["nested", "independent"] = "nested"
    source_options: dict[str, Any] = Field(default={})
    seeds: Seeds = Field(default=[], description="empty: the study's")
    downstreams: Annotated[list[Slug], AfterValidator(each_once)] = Field(default=[], description="empty: all")

    def source(self, images: Images, k: int) -> Images:
        """Return the study's source as this design uses it with k classes."""
        per_class = self.total_images // k if self.total_images else images.train_images_per_class
        changes = {"train_images_per_class": per_class, "options": images.options | self.source_options}
        return images.model_copy(update=changes)

    def recipe(self, recipe: Recipe, k: int) -> Recipe:
        """Return the study's pretraining recipe as this design uses it with k classes."""
        if not self.steps_of_k:
            return recipe
        scale = self.steps_of_k / k
        epochs = {name: max(1, round(getattr(recipe, name) * scale)) for name in ("epochs", "lr_step_epochs")}
        return recipe.model_copy(update=epochs)


class Throughput(Given):
    """Assumed speed for the plan's price: images per second, forward and backward, of one device."""

    device: Text
    train_images_per_s: float = Field(gt=0)
    source: Text
