"""Compute the gain of a run trained in the playground, and read the study's stored gains to compare it with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.parts import Downstream
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.run import PREDICTIONS, Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.playground.choices import scratch_partner
from pretraining_gain.playground.work import record_of
from pretraining_gain.tell.results.correctness import Correctness, CorrectnessReader
from pretraining_gain.tell.results.evaluation import load_evaluation
from pretraining_gain.tell.results.gains import arm_accuracy
from pretraining_gain.tell.statistics import Answers, estimate_mean


@dataclass(frozen=True)
class Outcome:
    """A finished run: top-1, and the gain over scratch with its 95 % interval over images of this one seed.

    `gain`, `low` and `high` are None for a run from scratch. `species`: of whose images; empty: of all.
    """

    run: Run
    top1: float
    scratch_top1: float
    n_images: int
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    species: str = ""

    @classmethod
    def of(cls, run: Run, species: str = "") -> Outcome:
        """Compare a finished run with its partner from scratch, image by image. Raise `InputError` when one is damaged."""
        own, partner = _correctness(run), scratch_partner(run)
        shown = _images_of(species, run.target, own.labels)
        labels, top1, n_images = own.labels[shown], own.right[shown].mean(), int(shown.sum())
        if partner is None:
            return cls(run, top1, top1, n_images, species=species)
        other = _correctness(partner)
        if own.images != other.images:
            raise InputError(f"{run.run_id} and {partner.run_id} were evaluated on different images; train both again")
        answers = Answers({"own": own.right[None, shown], "other": other.right[None, shown]}, labels)
        found = estimate_mean(answers, {"own": 1.0, "other": -1.0})
        return cls(run, top1, other.right[shown].mean(), n_images, found.mean, *found.interval(), species)

    @property
    def target(self) -> tuple[str, str, str]:
        """Study, downstream and species; outcomes that share them are drawn together."""
        return self.run.plan.name, self.run.downstream, self.species

    def sentence(self) -> str:
        """State the outcome in words, with its uncertainty."""
        where = f"study {self.run.plan.name}, {self.run.target.title}, seed {self.run.seed}, {self.run.backbone}"
        counted = f"{self.n_images:,} evaluation images{f' of {self.species}' if self.species else ''}"
        if self.gain is None or self.low is None or self.high is None:
            return f"Top-1 from scratch is {self.top1:.1%} on {counted} ({where}). Gains are measured against it."
        gain, low, high = (100 * value for value in (self.gain, self.low, self.high))
        return (
            f"Gain {gain:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}: top-1 {self.top1:.1%} starting from "
            f"{self.run.title}, {self.scratch_top1:.1%} from scratch, on {counted} ({where}). "
            "One seed: the interval is over images and does not cover other seeds."
        )

    def row(self) -> dict[str, object]:
        """Return the outcome's row in the table of all that was trained."""
        run = self.run
        values: dict[str, float | None] = {"top1": self.top1, "from_scratch": self.scratch_top1}
        values |= {"gain": self.gain, "low": self.low, "high": self.high}
        facts = {"study": run.plan.name, "target": run.downstream, "pretrained on": run.arm, "seed": run.seed}
        facts |= {"backbone": run.backbone, "epochs": run.recipe.epochs, "species": self.species or "all"}
        return facts | {name: "" if value is None else f"{value:.3f}" for name, value in values.items()}


def _correctness(run: Run) -> Correctness:
    path = record_of(run)
    sha256 = read_record(path)["sha256"]["predictions"]
    return CorrectnessReader("press Train again").read(path.with_suffix(PREDICTIONS), run.images.n_classes, sha256)


def _images_of(species: str, target: Downstream, labels: np.ndarray) -> np.ndarray:
    """Return which images (N,) bool are of a species; all for an empty name."""
    names = target.images.classes["name"].to_numpy()
    return names[labels] == species if species else np.ones(len(labels), bool)


def stored_gains(study_name: str, downstream: str, species: str = "") -> pd.DataFrame:
    """Return gains of the study's stored runs of the paper's design on a target, by start and k (columns of `arm_accuracy`).

    Raise `InputError` when there are none.
    """
    study = load_study(study_name)
    evaluation = load_evaluation(study_name, study.downstream(downstream).name)
    shown = _images_of(species, evaluation.downstream, evaluation.labels)
    correct = {arm: right[:, shown] for arm, right in evaluation.correct.items()}
    evaluation = replace(evaluation, labels=evaluation.labels[shown], image_ids=evaluation.image_ids[shown], correct=correct)
    arms = arm_accuracy(evaluation)
    order = {start: place for place, start in enumerate(study.starts) if start != SCRATCH}
    gains = arms[(arms["quantity"] == "gain") & (arms["design"] == "") & arms["pool"].isin([*order])]
    if gains.empty:
        raise InputError(f"study {study.name!r} has only runs from scratch on {downstream!r}")
    return gains.assign(place=gains["pool"].map(order)).sort_values(["place", "k"], ignore_index=True)
