"""The possible choices of the playground, and the runs that they mean. No widgets, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from pretraining_gain.datasets import find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, make_writable, prepared_root, public, results_root, write_atomically
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.parts import Downstream
from pretraining_gain.plan.pools import SCRATCH, Seed
from pretraining_gain.plan.run import WHOLE_POOL, Run
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.plan.weights import is_published, weights_file

#: The most finetuning epochs, in multiples of the recipe's.
MOST_EPOCHS = 2
#: Names of targets have at most 40 characters, and what is added to them may be added twice.
_LONGEST_TARGET = 26
#: A browser counts exactly up to here.
LARGEST_SEED = 2**53 - 1


class Choice(Parameters):
    """The reader's choice. Empty texts and 0 mean what the study says, as in the other notebooks.

    Empty `freeze_backbone`: as in the target's own recipe. `species`: whose gain is shown; empty: that of all. Raise
    `InputError` for an impossible choice.
    """

    study: str
    downstream: str = ""
    pool: str = ""
    k: int = Field(default=WHOLE_POOL, ge=0)
    seed: Seed = Field(default=0, le=LARGEST_SEED)
    backbone: str = ""
    epochs: int = Field(default=0, ge=0)
    freeze_backbone: Literal["", "yes", "no"] = ""
    species: str = ""

    def run(self) -> Run:
        """Return the finetuning that the choice means; a study file of the playground adds targets that the study lacks."""
        study = load_study(self.study)
        target = study.downstream(self.downstream) if self.downstream else study.downstreams[0]
        if self.species and self.species not in (known := species_of(target)):
            raise InputError(f"species {self.species!r} is not in {target.name!r}; accepted: {', '.join(known[:20])}")
        frozen = self.freeze_backbone or ("yes" if target.recipe.resolve().freeze_backbone else "no")
        name, target = _finetuned(self.study, target, frozen == "yes")
        recipe = target.recipe.resolve(scratch=self.pool == SCRATCH)
        if self.epochs > (most := MOST_EPOCHS * recipe.epochs):
            raise InputError(f"epochs={self.epochs}; accepted: 1 to {most} (0: the recipe's {recipe.epochs})")
        epochs = 0 if self.epochs == recipe.epochs else self.epochs
        chosen = self.model_dump(include={"pool", "k", "seed", "backbone"})
        return Run(study=name, downstream=target.name, epochs=epochs, **chosen)


def playground_root() -> Path:
    """Return the folder of the playground's own runs, apart from those of the studies."""
    return results_root() / "playground"


def targets(study: Study) -> list[Downstream]:
    """Return the study's downstreams, one of each pair that differs in freezing only."""
    found: list[Downstream] = []
    for target in study.downstreams:
        if study.finetuned_the_other_way(target) not in found:
            found.append(target)
    return found


def species_of(target: Downstream) -> list[str]:
    """Return the names of a target's classes; none before a preparation made their table."""
    return target.images.classes["name"].tolist()


def scratch_partner(run: Run) -> Run | None:
    """Return the run from scratch that the gain is measured against (same data, backbone, recipe, seed); None for scratch."""
    if run.pool == SCRATCH:
        return None
    return Run(**run.parameters() | {"pool": SCRATCH, "k": WHOLE_POOL})


def missing_data(study: Study) -> str:
    """Say in one line why the study cannot be trained here; return an empty text when its data are there."""
    for name in study.datasets:
        dataset = find_dataset(name)
        folder = data_root() / dataset.folder
        if not dataset.folder or folder.is_dir() or (prepared_root() / name).is_dir():
            continue
        fetch = f"fetch it with `make data STUDY={study.name}`"
        if not dataset.download:
            what = dataset.on_request or "it has no download"
            fetch = f"{what}; put it in {public(str(folder))}, then `make prepare STUDY={study.name}`"
        return f"Study {study.name} cannot be trained here, as dataset {name} is missing: {fetch}."
    for name, weights in study.weights.items():
        if not weights_file(weights).exists():
            fetch = f"fetch them with `make data STUDY={study.name}`" if is_published(weights) else "put the file there"
            return f"Study {study.name} cannot be trained here, as weights {name} ({weights}) are missing: {fetch}."
    return ""


def _finetuned(name: str, target: Downstream, frozen: bool) -> tuple[str, Downstream]:
    """Return the study (a name or a path) that has the target with its backbone frozen or not, and that target.

    A target that the study lacks is written into a copy under the study's own name, so that equal runs stay equal.
    """
    study = load_study(name)
    if target.recipe.resolve().freeze_backbone == frozen:
        return name, target
    if other := study.finetuned_the_other_way(target):
        return name, other
    changes = target.recipe.changes | {"freeze_backbone": frozen, "frozen_views": 0}
    recipe = target.recipe.model_copy(update={"changes": changes})
    suffix, words = ("_frozen", ", backbone frozen") if frozen else ("_full", ", everything trained")
    named = {"name": target.name[:_LONGEST_TARGET] + suffix, "title": target.title + words}
    while any(one.name == named["name"] or one.title == named["title"] for one in study.downstreams):  # another recipe's
        named = {"name": named["name"] + suffix, "title": named["title"] + words}
    made = target.model_copy(update=named | {"recipe": recipe})
    extended = study.model_copy(update={"downstreams": [*study.downstreams, made]}).model_dump(mode="json", exclude_defaults=True)
    content = yaml.safe_dump(extended, sort_keys=False).encode()
    path = make_writable(playground_root() / "studies") / f"{study.name}-{made.name}.yml"
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
    return str(path), made
