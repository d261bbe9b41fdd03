"""Read and check a study: source, downstreams, recipes, pools, ks and seeds in a YAML file."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, Field, model_validator

from pretraining_gain.datasets import options_of
from pretraining_gain.errors import Given, InputError, one_line
from pretraining_gain.paths import is_study_file, project_root, results_root, study_path
from pretraining_gain.plan.parts import (
    Arms,
    BackboneName,
    Design,
    Downstream,
    Images,
    Seeds,
    Slug,
    Text,
    Throughput,
    Weights,
    named_once,
)
from pretraining_gain.plan.pools import POOLS, SCRATCH, Pool, Subsets, starts
from pretraining_gain.plan.recipes import RecipeChoice
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.taxonomy import REQUIRED_COLUMNS, load_class_table
from pretraining_gain.plan.weights import NormalisationName, is_published
from pretraining_gain.plan.yamlfile import read_yaml


class Study(Given):
    """One study. See `notebooks/studies/` for those that come with the project."""

    name: Slug
    title: Text
    backbone: BackboneName
    seeds: Seeds = Field(min_length=1)
    source: Images | None = Field(default=None, description="what the pools are of; with `arms` and `pretrain`, or none of them")
    arms: Arms = Field(default={}, description="pool -> how many classes; for `all` the number of all classes")
    pretrain: RecipeChoice | None = None
    weights: Weights = Field(default={}, description="further starts: name -> file, or name of timm or torchvision")
    normalisation: dict[Slug, NormalisationName] = Field(
        default={}, description="of starts that are files: how their network's images were normalised, if not imagenet"
    )
    downstreams: Annotated[list[Downstream], AfterValidator(named_once)] = Field(
        min_length=1, description="the first of each domain is the paper's"
    )
    designs: Annotated[list[Design], AfterValidator(named_once)] = Field(default=[])
    throughput: Throughput
    margin: float = Field(default=0.03, gt=0, lt=1, description="differences in top-1 below it count as none [assumed]")
    margin_share: float | None = Field(
        default=None, gt=0, lt=1, description="the margin as a share of a target's gain from all classes, where it has one"
    )
    balanced_draws: bool = Field(default=False, description="ten seeds together draw all classes of a pool about equally often")
    keep_networks: bool = Field(default=False, description="keep the weights of each finetuning, and a card of the best start's")
    representation: Literal["named", "annotated"] = Field(
        default="named",
        description="named: a source class names the species; annotated: how many of its images are correct (Figure 1)",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        pretraining = {"source": self.source, "arms": self.arms, "pretrain": self.pretrain}
        missing = [name for name, value in pretraining.items() if not value]
        if len(missing) in (1, 2):
            raise ValueError(f"field {missing[0]!r} is missing; accepted: {', '.join(pretraining)}, or none of them and `weights`")
        if missing and not self.weights:
            raise ValueError("nothing to start from; accepted: source, arms and pretrain, or weights, or both")
        if self.pretrain and self.pretrain.from_scratch:
            raise ValueError("pretrain.from_scratch: a pretraining has one recipe; accepted: in the recipe of a downstream")
        if self.source and self.source.class_table is None:
            raise ValueError("source.class_table is missing; subsets are drawn from it")
        if "out_of_domain" not in self.domains:
            raise ValueError("downstreams: none is out_of_domain; accepted: at least one that is")
        self._check_arms("arms", self.arms)
        if not self.weights and "all" not in self.arms:
            raise ValueError(f"arms: 'all' is missing, whose gain figures show; accepted: with all: [{len(self.source_classes)}]")
        files = [name for name, weights in self.weights.items() if not is_published(weights)]
        unknown = [name for name in self.normalisation if name not in files]
        if unknown:
            accepted = ", ".join(files) or "none here"
            raise ValueError(f"normalisation: {unknown[0]!r} is no file of weights; accepted: {accepted}")
        for target in self.downstreams:
            is_first = target == self.downstream_in(target.domain)
            needed = [SCRATCH, *(name for name in (*self.arms, *self.weights) if is_first and name == self.main_start)]
            target.check_pools(self.starts, needed)
            of_it = [design for design in self.designs if not design.downstreams or target.name in design.downstreams]
            target.check_seeds(self.seeds, [seed for design in of_it for seed in design.seeds])
        for design in self.designs:
            self._check_design(design, f"designs.{design.name}")
        return self

    def _check_design(self, design: Design, where: str) -> None:
        source = self.pretraining[0]
        self._check_arms(f"{where}.arms", design.arms)
        try:
            options_of(source.dataset, source.options | design.source_options)
        except InputError as error:
            raise ValueError(f"{where}.source_options: {error}") from None
        known = [target.name for target in self.downstreams]
        unknown = [name for name in design.downstreams if name not in known]
        if unknown:
            raise ValueError(f"{where}.downstreams: {unknown[0]!r} is unknown; accepted: {', '.join(known)}")
        ks = [k for ks in design.arms.values() for k in ks]
        least, most = max(ks), min(ks) * source.train_images_per_class
        if design.total_images is not None and not least <= design.total_images <= most:
            raise ValueError(
                f"{where}.total_images is {design.total_images}; accepted: {least} to {most}, "
                f"as {min(ks)} classes have only {most} images, and {least} need one each"
            )

    def _check_arms(self, where: str, arms: dict[str, list[int]]) -> None:
        table = self.source_classes
        for pool, ks in arms.items():
            fewest, most = POOLS[pool].sizes(table)
            wrong = [k for k in ks if not fewest <= k <= most]
            if wrong:
                accepted = f"{most}" if fewest == most else f"{fewest} to {most}"
                raise ValueError(f"{where}.{pool}: k={wrong[0]} is not possible; accepted: {accepted}")
            if pool != "all" and len(table) in ks:  # an arm has one name
                raise ValueError(f"{where}.{pool}: k={len(table)} is all classes; accepted: fewer, or `all: [{len(table)}]`")

    @property
    def config_hash(self) -> str:
        """Twelve hex digits that hash the content of the study file. Comments, the order of fields, and in which folders its
        files lie do not count."""
        newer = set() if self.balanced_draws else {"balanced_draws"}  # studies from before it keep their hash
        content = json.dumps(self.model_dump(mode="json", exclude=newer), sort_keys=True)
        content = re.sub(r'"/(?:[^"/]*/)*([^"/]*)"', r'"\1"', content)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def pretraining(self) -> tuple[Images, RecipeChoice]:
        """Source and recipe of the study's pretrainings. Raises `InputError` where it has none."""
        if self.source is None or self.pretrain is None:
            raise InputError(f"study {self.name!r} pretrains nothing; accepted: one with source, arms and pretrain")
        return self.source, self.pretrain

    @property
    def source_classes(self) -> pd.DataFrame:
        """The class table of the source; no rows without a source."""
        return load_class_table(self.source.class_table) if self.source else pd.DataFrame(columns=REQUIRED_COLUMNS)

    @property
    def images(self) -> list[Images]:
        """All images that the study reads: the source's, if it has one, then the targets'."""
        return [*([self.source] if self.source else []), *(target.images for target in self.downstreams)]

    @property
    def datasets(self) -> list[str]:
        """The names of the datasets that the study reads, without repeats, the source's first."""
        return list(dict.fromkeys(images.dataset for images in self.images))

    @property
    def starts(self) -> dict[str, Pool]:
        """Everything that a finetuning can start from: the pools where the study has a source, its weights, scratch."""
        return {name: start for name, start in starts(self.weights).items() if self.source or name not in POOLS}

    @property
    def main_start(self) -> str:
        """Name of the start whose gain Figures 1 and 2 and the claims on species are about: `all`, else the first weights."""
        return "all" if "all" in self.arms or not self.weights else next(iter(self.weights))

    @property
    def all_classes(self) -> str:
        """Name of the arm that pretrains on all source classes."""
        return f"all-k{len(self.source_classes)}"

    @property
    def everything(self) -> str:
        """Name of the arm of `main_start`."""
        return self.all_classes if self.main_start == "all" else self.main_start

    def arms_on(self, target: Downstream) -> set[str]:
        """Return the names of the arms of the paper's design that are finetuned on a target, scratch included."""
        arms = {pool: [f"{pool}-k{k}" for k in ks] for pool, ks in self.arms.items()}
        arms |= {name: [name] for name in (*self.weights, SCRATCH)}
        return {name for pool, names in arms.items() if target.takes(pool) for name in names}

    @property
    def animal_share(self) -> float:
        """Return the expected share of animals in a random subset of the source (the paper's 0.398, Appendix B)."""
        return float(self.source_classes["animal"].mean())

    @property
    def animals_and_others(self) -> tuple[str, str]:
        """The arms of animal and of non-animal classes at the largest k that both pools have; k is 0 where they share none."""
        k = max(set(self.arms.get("animal", [])) & set(self.arms.get("non_animal", [])), default=0)
        return f"animal-k{k}", f"non_animal-k{k}"

    @property
    def domains(self) -> list[str]:
        return list(dict.fromkeys(target.domain for target in self.downstreams))

    def subsets_of(self, design: str) -> Subsets:
        """Return how a design draws the subsets of its pools; an empty name means the paper's own."""
        own: Subsets = "balanced" if self.balanced_draws else "nested"
        return "independent" if design and self.design(design).subsets == "independent" else own

    def design(self, name: str) -> Design:
        for design in self.designs:
            if design.name == name:
                return design
        accepted = ", ".join(["'' (the paper's own)", *(design.name for design in self.designs)])
        raise InputError(f"design {name!r} is not in study {self.name!r}; accepted: {accepted}")

    def downstream_in(self, domain: str, across: str = "") -> Downstream:
        """Return the first downstream of a domain, which stands for the paper's. Raises `InputError` if there is none.

        `across`: the first with the main start whose species fall into several groups of this column of the class table,
        if there is one.
        """
        found = [downstream for downstream in self.downstreams if downstream.domain == domain]
        if not found:
            raise InputError(f"study {self.name!r} has no {domain} downstream")
        several = (one for one in found if across and one.images.classes.get(across, pd.Series()).nunique() > 1)
        return next((one for one in several if one.takes(self.main_start)), found[0])

    def finetuned_the_other_way(self, target: Downstream) -> Downstream | None:
        """Return the downstream that differs from `target` only in whether the backbone is frozen (and in the number of
        views per image when it is); None if there is none."""
        recipe = target.recipe.resolve()
        wanted: dict[str, bool | int] = {"freeze_backbone": not recipe.freeze_backbone}
        for other in self.downstreams:
            wanted["frozen_views"] = other.recipe.resolve().frozen_views
            if other.images == target.images and other.recipe.resolve() == recipe.model_copy(update=wanted):
                return other
        return None

    def downstream(self, name: str) -> Downstream:
        for downstream in self.downstreams:
            if downstream.name == name:
                return downstream
        accepted = ", ".join(d.name for d in self.downstreams)
        raise InputError(f"downstream {name!r} is not in study {self.name!r}; accepted: {accepted}")


def study_names() -> list[str]:
    return sorted(path.stem for path in study_path("*").parent.glob("*.yml"))


def load_study(name_or_path: str) -> Study:
    """Load the study of that name in `notebooks/studies/`, or the one in the given `.yml` file.

    Raises `InputError` naming file and field when it is unknown, not YAML, does not fit the model, or is in that folder under
    another name than its own: its results would be those of another study.
    """
    path = study_path(name_or_path)
    # Without listing the folder: this runs often.
    if not is_study_file(name_or_path) and (Path(name_or_path).name != name_or_path or not path.is_file()):
        names = ", ".join(study_names())
        raise InputError(f"study {name_or_path!r} is unknown; accepted: {names}, or the path of a .yml file")
    study = _read_study(path, path.stat().st_mtime_ns if path.exists() else 0)
    if study.name != path.stem and path.parent.resolve() == study_path(study.name).parent.resolve():
        raise InputError(f"study file {path}: name {study.name!r}; accepted: {path.stem!r}, the name of the file")
    return study


def check_name(name_or_path: str) -> Study:
    """Load a study whose results are about to be written. Raises `InputError` if its name belongs to another study.

    Names of the project's studies are taken, and names under which the results folder has runs of another study file.
    """
    study = load_study(name_or_path)
    if not is_study_file(name_or_path):
        return study
    path, project_s = study_path(name_or_path), study_path(study.name)
    if project_s.is_file() and path != project_s.resolve():
        names = ", ".join(study_names())
        raise InputError(f"study file {path}: name {study.name!r} is a study of the project; accepted: any name but {names}")
    folder = results_root() / study.name
    owner = next((text for record in folder.glob("*/*.json") if (text := _study_in(record))), "")
    other = project_root() / Path(owner).expanduser()
    if is_study_file(owner) and other.resolve() != path and other.is_file():
        raise InputError(
            f"study file {path}: name {study.name!r} is in use, {folder} has runs of {other}; "
            "accepted: another name, or another folder in PRETRAINING_GAIN_RESULTS"
        )
    return study


def _study_in(record: Path) -> str:
    """Return the study, or the path of its file, that a run's record names; empty for a damaged record."""
    try:
        return str(read_record(record)["parameters"]["study"])
    except InputError:
        return ""


@cache
def _read_study(path: Path, _mtime_ns: int) -> Study:
    return study_from(read_yaml(path), path)


def study_from(content: Any, path: Path) -> Study:
    """Check what a study file holds. Raises `InputError` naming `path`, the field and what is accepted."""
    if not isinstance(content, dict):
        what = "nothing" if content is None else f"a {type(content).__name__}"
        raise InputError(f"study file {path} holds {what}; accepted: fields, namely {', '.join(Study.model_fields)}")
    with one_line(f"study file {path}"):
        return Study.model_validate(content, context=path)
