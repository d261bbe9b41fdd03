"""Name a run (one pretraining, or one finetuning with its evaluation) and hash all that decides its outcome."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, model_validator

from pretraining_gain.datasets import find_dataset, options_of
from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_root
from pretraining_gain.plan.backbones import builder_of, own_modules
from pretraining_gain.plan.code import code_hash
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.parts import BackboneName, Downstream, Images
from pretraining_gain.plan.pools import POOLS, SCRATCH, ClassSubset, Seed, sample_classes
from pretraining_gain.plan.recipes import SIZES_PX, Recipe
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.plan.taxonomy import has_class_table, rows_deciding_images
from pretraining_gain.plan.weights import (
    NORMALISATIONS,
    Normalisation,
    is_published,
    normalisation_of,
    sha256_of,
    weights_file,
)
from pretraining_gain.plan.yamlfile import in_yaml

WHOLE_POOL = 0
#: Ending of a file of predictions, which lies beside the run's record.
PREDICTIONS = ".csv.gz"
#: The notebook that does a run of each stage.
NOTEBOOKS = {"pretrain": "01_pretrain", "finetune": "02_finetune"}


class Run(Parameters):
    """A pretraining if `downstream` is empty, else a finetuning of that pretraining: the parameters that vary between runs.

    `pool` is one of the pools; for a finetuning also the name of weights in the study, or `scratch`, which have no
    pretraining here. Empty: `Study.main_start`. `k` 0 means the whole pool (and is the only k without a pool). `design`
    is one of the study's, for its pretraining; empty: the paper's. `backbone` empty, `epochs` 0 and `image_size_px` 0
    mean what the study says; a finetuning passes backbone and image size, but not epochs, on to its pretraining.
    """

    study: str
    pool: str = ""
    k: int = Field(default=WHOLE_POOL, ge=0)
    seed: Seed = 0
    downstream: str = ""
    design: str = ""
    backbone: BackboneName = ""
    epochs: int = Field(default=0, ge=0)
    image_size_px: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _canonical(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Check against the study and write equal runs equally: `random` with all classes is `all`, k=0 is spelt out."""
        defaults = {name: field.default for name, field in cls.model_fields.items()} | {"study": ""}
        given, values = values, defaults | values
        of_its_type = all(type(values[name]) is type(default) for name, default in defaults.items() if name != "k")
        if "study" not in given or not of_its_type or values["seed"] < 0:
            return {name: value for name, value in given.items() if value != ""}  # the fields say what they take
        study = load_study(values["study"])
        if values["downstream"]:
            study.downstream(values["downstream"])
        values["backbone"] = values["backbone"] or study.backbone
        values["pool"], values["k"] = _canonical_arm(study, values["pool"], values["k"], bool(values["downstream"]))
        if values["design"] and not _design_matters(study, values):
            values["design"] = ""
        return values

    @model_validator(mode="after")
    def _size_fits(self) -> Run:
        """Check the image size, also for the pretraining: images are decoded in proportion to it, and decoding has limits."""
        if self.image_size_px:
            choices = [self.target.recipe] if self.downstream else []
            choices += [self.plan.pretraining[1]] if self.pool in POOLS else []
            usual = [choice.resolve() for choice in choices]
            least, most = SIZES_PX[0], min(SIZES_PX[1] * recipe.image_size_px // recipe.resize_px for recipe in usual)
            if not least <= self.image_size_px <= most:
                raise ValueError(f"image_size_px={self.image_size_px}; accepted: {least} to {most} (0: the recipe's)")
        return self

    @classmethod
    def finetuning(cls, parameters: Mapping[str, Any]) -> Run:
        """Build a finetuning from a notebook's `globals()`; an empty `downstream` means the study's first."""
        given = dict(parameters)
        if not given.get("downstream") and isinstance(given.get("study"), str):
            given["downstream"] = load_study(given["study"]).downstreams[0].name
        return cls.from_parameters(given)

    @property
    def plan(self) -> Study:
        return load_study(self.study)

    @property
    def stage(self) -> str:
        return "finetune" if self.downstream else "pretrain"

    @property
    def target(self) -> Downstream:
        return self.plan.downstream(self.downstream)

    @property
    def images(self) -> Images:
        """The images that this run trains on."""
        if self.downstream:
            return self.target.images
        source = self.plan.pretraining[0]
        return self.plan.design(self.design).source(source, self.k) if self.design else source

    @property
    def subset(self) -> ClassSubset:
        """The source classes of the pretraining; none from scratch and from published weights."""
        if self.pool not in POOLS:
            return ClassSubset(self.pool, self.seed, ())
        return sample_classes(self.plan.source_classes, self.pool, self.k, self.seed, self.plan.subsets_of(self.design))

    @property
    def weights(self) -> str:
        """The published weights that a finetuning starts from: a file or a name (see `plan.weights`); empty if there are none."""
        return self.plan.weights.get(self.pool, "")

    @property
    def normalisation(self) -> Normalisation:
        """Return how images are normalised: as the weights that it starts from expect it, ImageNet's for all other starts."""
        if self.weights and is_published(self.weights):
            return normalisation_of(self.weights)
        return NORMALISATIONS[self.plan.normalisation.get(self.pool, "imagenet")]

    @property
    def keeps_network(self) -> bool:
        """Say whether a finetuning keeps its weights, beside its predictions."""
        return bool(self.downstream) and self.plan.keep_networks

    @property
    def start_facts(self) -> dict[str, str] | None:
        """File name and SHA-256 of the published weights that a finetuning starts from; None without such weights."""
        return {"file": weights_file(self.weights).name, "sha256": sha256_of(self.weights)} if self.weights else None

    @property
    def pretraining(self) -> Run | None:
        """The pretraining whose weights a finetuning starts from; None for other starts and for a pretraining."""
        if not self.downstream or self.pool not in POOLS:
            return None
        return self.model_copy(update={"downstream": "", "epochs": 0})

    @property
    def recipe(self) -> Recipe:
        choice = self.target.recipe if self.downstream else self.plan.pretraining[1]
        recipe = choice.resolve(scratch=self.pool == SCRATCH)
        if self.design and not self.downstream:
            recipe = self.plan.design(self.design).recipe(recipe, self.k)
        changes: dict[str, Any] = {"epochs": self.epochs} if self.epochs else {}
        if self.image_size_px:
            scale = self.image_size_px / recipe.image_size_px
            changes |= {"image_size_px": self.image_size_px, "resize_px": round(recipe.resize_px * scale)}
        return Recipe(**recipe.model_dump() | changes)

    @property
    def arm(self) -> str:
        """Readable name of the start, e.g. `animal-k4`, `animal-k4-matched_images`, the name of weights, `scratch`."""
        return self.pool if self.pool not in POOLS else "-".join(filter(None, [self.pool, f"k{self.k}", self.design]))

    @property
    def title(self) -> str:
        """The start in words, e.g. `4 animal classes`."""
        return self.plan.starts[self.pool].title(self.k)

    @property
    def run_id(self) -> str:
        """Readable and unique within a study, e.g. `field--animal-k4-s0-resnet10_w16`."""
        parts = [self.arm, f"s{self.seed}", self.backbone]
        parts += [f"e{self.epochs}"] if self.epochs else []
        parts += [f"px{self.image_size_px}"] if self.image_size_px else []
        return "--".join(filter(None, [self.downstream, "-".join(parts)]))

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that hash all that decides the outcome: recipe, classes, images, seed, code, pretraining.

        Comments and docstrings do not count, nor do device and library versions (the record holds those).
        """
        start, images, dataset = self.pretraining, self.images, find_dataset(self.images.dataset)
        rows = None  # of the class table, those that decide which images are read, one per label
        if images.class_table is not None and has_class_table(images.class_table):
            rows = rows_deciding_images(images.class_table, dataset.columns)
            rows = rows if self.downstream else [rows[class_id] for class_id in self.subset.class_ids]
        content = {
            "recipe": self.recipe.model_dump(),
            "backbone": [self.backbone, builder_of(self.backbone)],
            "seed": self.seed,
            "images": images.model_dump(exclude={"n_classes", "options", "class_table"}),
            "options": options_of(images.dataset, images.options).model_dump(),
            "files": dataset.checksum(images) if dataset.checksum else None,
            "classes": rows,
            "code": code_hash(f"compute.{self.stage}", f"datasets.{images.dataset}", *own_modules(self.backbone)),
            "pretraining": start.fingerprint if start else None,
            "weights": sha256_of(self.weights) if self.weights else None,
            "normalisation": self.normalisation,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def folder(self) -> Path:
        return results_root() / self.plan.name / self.stage

    @property
    def record_path(self) -> Path:
        """The run's record; its name holds the fingerprint, so a record that exists is up to date."""
        return self.folder / f"{self.run_id}.{self.fingerprint}.json"

    @property
    def predictions_path(self) -> Path:
        return self.record_path.with_suffix(PREDICTIONS)

    @property
    def weights_path(self) -> Path:
        return self.record_path.with_suffix(".safetensors")

    @property
    def outcomes(self) -> list[str]:
        """Endings of the files that a finished run keeps beside its record: of its predictions, of its weights."""
        kept = {PREDICTIONS: bool(self.downstream), ".safetensors": not self.downstream or self.keeps_network}
        return [ending for ending, is_kept in kept.items() if is_kept]

    @property
    def checkpoint_path(self) -> Path:
        return self.record_path.with_suffix(".checkpoint.pt")

    def describe(self) -> pd.DataFrame:
        """Describe this run at the top of its notebook, one row per property."""
        classes = self.plan.source_classes.loc[list(self.subset.class_ids), "name"]
        facts = {
            "run": self.run_id,
            "study": self.plan.title,
            "backbone": self.backbone,
            "design": self.plan.design(self.design).title if self.design else "",
            "pretraining classes": ", ".join(classes) if len(classes) <= 24 else f"{len(classes)} classes",
            "weights": ", SHA-256 ".join(self.start_facts.values()) if self.start_facts else "",
            "downstream": self.target.title if self.downstream else "",
            "recipe": ", ".join(f"{name} {value}" for name, value in self.recipe.model_dump().items()),
            "fingerprint": self.fingerprint,
        }
        return pd.DataFrame({"value": {name: value for name, value in facts.items() if value}})

    def parameters(self) -> dict[str, Any]:
        """Return the papermill parameters that select this run."""
        always = ("study", "pool", "k", "seed", "backbone")
        return {name: value for name, value in self.model_dump().items() if value or name in always}

    def arguments(self) -> list[str]:
        """Return the papermill parameters for a command line."""
        return [text for name, value in self.parameters().items() for text in ("-p", name, in_yaml(value))]


def _canonical_arm(study: Study, pool: str, k: Any, finetuning: bool) -> tuple[str, int]:
    pool = pool or (study.main_start if finetuning else "all")
    accepted = study.starts if finetuning else POOLS
    if pool not in accepted:
        raise InputError(f"pool {pool!r} is unknown; accepted: {', '.join(accepted)}")
    if pool not in POOLS:
        if k != WHOLE_POOL:
            raise InputError(f"k={k!r} with pool {pool!r}, which has no pretraining; accepted: 0")
        return pool, k
    _, table = study.pretraining, study.source_classes  # raises for a study without a source
    fewest, size = POOLS[pool].sizes(table)
    k = size if type(k) is int and k == WHOLE_POOL else k
    if type(k) is not int or not fewest <= k <= size:
        accepted_k = f"0 or {size}" if fewest == size else f"1 to {size} (0: all of them)"
        raise InputError(f"k={k!r} is not possible for pool {pool!r} of study {study.name!r}; accepted: {accepted_k}")
    return ("all", k) if k == len(table) else (pool, k)


def _design_matters(study: Study, values: dict[str, Any]) -> bool:
    """Say whether the design changes this run's training. Raises `InputError` for an unknown design."""
    design, pool, k = study.design(values["design"]), values["pool"], values["k"]
    if pool not in POOLS:
        return False
    source, recipe = study.pretraining[0], study.pretraining[1].resolve()
    subsets = [sample_classes(study.source_classes, pool, k, values["seed"], study.subsets_of(name)) for name in ("", design.name)]
    same = design.source(source, k) == source and design.recipe(recipe, k) == recipe
    return not same or subsets[0] != subsets[1]
