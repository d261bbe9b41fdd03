"""A study is data: source, downstreams, recipes, pools, ks and seeds, read from a YAML file and checked."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from pretraining_gain.datasets import check_columns, options_of
from pretraining_gain.errors import Given, InputError, one_line
from pretraining_gain.paths import project_root, results_root, whole_path
from pretraining_gain.plan.backbones import known_backbone
from pretraining_gain.plan.pools import POOLS, PoolName, Seed, StartName
from pretraining_gain.plan.recipes import Recipe, RecipeChoice
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.taxonomy import has_class_table, load_class_table, made_tables
from pretraining_gain.plan.yamlfile import read_yaml


def _each_once(values: list[Any]) -> list[Any]:
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{value!r} appears twice; accepted: each value once")
    return values


BackboneName = Annotated[str, AfterValidator(known_backbone)]
#: Names become parts of file names, so they are short, and the same on every system.
#: The first: another kind of images than the source; the second: the source's own.
DOMAINS = ("out_of_domain", "in_domain")
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Text = Annotated[str, Field(min_length=1)]
Seeds = Annotated[list[Seed], AfterValidator(_each_once)]
Ks = Annotated[list[int], Field(min_length=1), AfterValidator(_each_once)]
Arms = Annotated[dict[PoolName, Ks], Field(min_length=1)]


def _named_once(things: list[Any]) -> list[Any]:
    _each_once([thing.name for thing in things])
    return things


class Images(Given):
    """Which images of which classes: `dataset` is a module of `datasets/`, `options` are its own."""

    dataset: Slug
    class_table: str | None = None
    n_classes: int = Field(gt=1)
    train_images_per_class: int = Field(gt=0)
    eval_images_per_class: int = Field(ge=0, description="at most so many; 0: not evaluated on")
    split_seed: Seed = 0
    broken_images: Literal["stop", "skip"] = "stop"
    options: dict[str, Any] = Field(default={})

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


class Downstream(Given):
    """A target of finetuning and the recipe for it."""

    name: Slug
    title: Text
    domain: Literal["out_of_domain", "in_domain"]
    images: Images
    recipe: RecipeChoice
    pools: Annotated[list[StartName], AfterValidator(_each_once)] = Field(
        default=[], description="what is finetuned on it; empty: every pretraining"
    )

    @field_validator("images")
    @classmethod
    def _is_evaluated_on(cls, images: Images) -> Images:
        if not images.eval_images_per_class:
            raise ValueError("eval_images_per_class is 0; accepted: 1 or more, as a target is evaluated on")
        return images

    def takes(self, pool: str) -> bool:
        return not self.pools or pool in self.pools


class Design(Given):
    """Another way to choose and train pretrainings, beside the paper's own; what is not named stays as in the study.

    `total_images`: every pretraining sees so many images, shared evenly among its k classes (matched images).
    `steps_of_k`: its epochs and schedule are scaled so that it takes the gradient steps of k classes (matched steps).
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
    downstreams: Annotated[list[Slug], AfterValidator(_each_once)] = Field(default=[], description="empty: all")

    def source(self, images: Images, k: int) -> Images:
        """The study's source as this design uses it with k classes."""
        per_class = self.total_images // k if self.total_images else images.train_images_per_class
        changes = {"train_images_per_class": per_class, "options": images.options | self.source_options}
        return images.model_copy(update=changes)

    def recipe(self, recipe: Recipe, k: int) -> Recipe:
        """The study's pretraining recipe as this design uses it with k classes."""
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


class Study(Given):
    """One study. See `notebooks/studies/` for the three that come with the project."""

    name: Slug
    title: Text
    backbone: BackboneName
    seeds: Seeds = Field(min_length=1)
    source: Images
    arms: Arms = Field(description="pool -> how many classes; for `all` the number of all classes")
    pretrain: RecipeChoice
    downstreams: Annotated[list[Downstream], AfterValidator(_named_once)] = Field(
        min_length=1, description="the first of each domain is the paper's"
    )
    designs: Annotated[list[Design], AfterValidator(_named_once)] = Field(default=[])
    throughput: Throughput
    margin: float = Field(default=0.03, gt=0, lt=1, description="differences in top-1 below it count as none [assumed]")
    representation: Literal["named", "annotated"] = Field(
        default="named",
        description="named: a source class names the species; annotated: how many of its images are correct (Figure 1)",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        if self.source.class_table is None:
            raise ValueError("source.class_table is missing; subsets are drawn from it")
        self._check_arms("arms", self.arms)
        for design in self.designs:
            self._check_design(design, f"designs.{design.name}")
        return self

    def _check_design(self, design: Design, where: str) -> None:
        self._check_arms(f"{where}.arms", design.arms)
        try:
            options_of(self.source.dataset, self.source.options | design.source_options)
        except InputError as error:
            raise ValueError(f"{where}.source_options: {error}") from None
        known = [target.name for target in self.downstreams]
        unknown = [name for name in design.downstreams if name not in known]
        if unknown:
            raise ValueError(f"{where}.downstreams: {unknown[0]!r} is unknown; accepted: {', '.join(known)}")
        ks = [k for ks in design.arms.values() for k in ks]
        least, most = max(ks), min(ks) * self.source.train_images_per_class
        if design.total_images is not None and not least <= design.total_images <= most:
            raise ValueError(
                f"{where}.total_images is {design.total_images}; accepted: {least} to {most}, "
                f"as {min(ks)} classes have only {most} images, and {least} need one each"
            )

    def _check_arms(self, where: str, arms: dict[str, list[int]]) -> None:
        table = load_class_table(self.source.class_table or "")
        for pool, ks in arms.items():
            fewest, most = POOLS[pool].sizes(table)
            wrong = [k for k in ks if not fewest <= k <= most]
            if wrong:
                accepted = f"{most}" if fewest == most else f"{fewest} to {most}"
                raise ValueError(f"{where}.{pool}: k={wrong[0]} is not possible; accepted: {accepted}")

    @property
    def config_hash(self) -> str:
        """Twelve hex digits over all that the study file says; its comments and the order of its fields do not count."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that the study reads, each once, the source's first."""
        return list(dict.fromkeys(images.dataset for images in (self.source, *(d.images for d in self.downstreams))))

    @property
    def everything(self) -> str:
        """Name of the arm that pretrains on all source classes."""
        return f"all-k{self.source.n_classes}"

    @property
    def animal_share(self) -> float:
        """Return the expected share of animals in a random subset of the source (the paper's 0.398, Appendix F)."""
        table = load_class_table(self.source.class_table or "")
        return float(table["animal"].mean())

    def design(self, name: str) -> Design:
        for design in self.designs:
            if design.name == name:
                return design
        accepted = ", ".join(["'' (the paper's own)", *(design.name for design in self.designs)])
        raise InputError(f"design {name!r} is not in study {self.name!r}; accepted: {accepted}")

    def downstream_in(self, domain: str) -> Downstream:
        """The paper's downstream of a domain: the study's first."""
        for downstream in self.downstreams:
            if downstream.domain == domain:
                return downstream
        raise InputError(f"study {self.name!r} has no {domain} downstream")

    def finetuned_the_other_way(self, target: Downstream) -> Downstream | None:
        """The downstream that differs from `target` in one thing only: whether the backbone is frozen (and, being frozen,
        how many views are taken of an image)."""
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
    return sorted(path.stem for path in _studies_folder().glob("*.yml"))


def _studies_folder() -> Path:
    return project_root() / "notebooks" / "studies"


def _study_path(name: str) -> Path:
    path = _studies_folder() / f"{name}.yml"
    if Path(name).name != name or not path.is_file():  # not looked up in a listing: this is asked often
        names = ", ".join(study_names())
        raise InputError(f"study {name!r} is unknown; accepted: {names}, or the path of a .yml file")
    return path


def load_study(name_or_path: str) -> Study:
    """The study of that name in `notebooks/studies/`, or the one in the given `.yml` file.

    Raises `InputError` naming file and field when it is unknown, not YAML, or does not fit the model.
    """
    own = name_or_path.endswith((".yml", ".yaml"))
    path = whole_path(name_or_path) if own else _study_path(name_or_path)
    return _read_study(path, path.stat().st_mtime_ns if path.exists() else 0)


def check_name(name_or_path: str) -> Study:
    """Load a study whose results are about to be written. Raises `InputError` if its name belongs to another study.

    Names of the project's studies are taken, and names under which the results folder has runs of another study file.
    """
    study = load_study(name_or_path)
    if not name_or_path.endswith((".yml", ".yaml")):
        return study
    path, project_s = whole_path(name_or_path), _studies_folder() / f"{study.name}.yml"
    if project_s.is_file() and path != project_s.resolve():
        names = ", ".join(study_names())
        raise InputError(f"study file {path}: name {study.name!r} is a study of the project; accepted: any name but {names}")
    folder = results_root() / study.name
    owner = next((text for record in folder.glob("*/*.json") if (text := _study_in(record))), "")
    other = project_root() / Path(owner).expanduser()
    if owner.endswith((".yml", ".yaml")) and other.resolve() != path and other.is_file():
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
    content = read_yaml(path)
    if not isinstance(content, dict):
        what = "nothing" if content is None else f"a {type(content).__name__}"
        raise InputError(f"study file {path} holds {what}; accepted: fields, namely {', '.join(Study.model_fields)}")
    with one_line(f"study file {path}"):
        return Study.model_validate(content)
