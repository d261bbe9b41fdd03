"""What came out: the gain of a run trained here, with its interval, and the study's stored runs to see it beside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.pools import POOLS, starts
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.playground.choices import scratch_partner
from pretraining_gain.playground.work import predictions_of, record
from pretraining_gain.tell.results.correctness import Correctness, CorrectnessReader
from pretraining_gain.tell.results.evaluation import load_evaluation
from pretraining_gain.tell.results.gains import arm_accuracy
from pretraining_gain.tell.statistics import bootstrap_means

_DRAWS = 2000


@dataclass(frozen=True)
class Outcome:
    """A run done in the playground. `gain`, `low`, `high`: top-1 minus that from scratch, and the 95 % interval over images
    of this one seed; None for a run from scratch."""

    run: Run
    top1: float
    scratch_top1: float
    gain: float | None
    low: float | None
    high: float | None
    n_images: int

    @classmethod
    def of(cls, run: Run) -> Outcome:
        """Of a finished run, and its partner from scratch, image by image. Raises `InputError` when one is damaged."""
        partner = scratch_partner(run)
        own = _hits(run)
        if partner is None:
            return cls(run, own.right.mean(), own.right.mean(), None, None, None, len(own.labels))
        other = _hits(partner)
        if own.images != other.images:
            raise InputError(f"{run.run_id} and {partner.run_id} were evaluated on different images; train both again")
        differences = own.right[None].astype(float) - other.right[None]
        everything = pd.Series("all", index=np.unique(own.labels))
        found = bootstrap_means(differences, own.labels, everything, resample_classes=False, draws=_DRAWS).iloc[0]
        return cls(run, own.right.mean(), other.right.mean(), found["mean"], found["low"], found["high"], len(own.labels))

    @property
    def target(self) -> tuple[str, str]:
        """Study and downstream: outcomes that share them are shown together."""
        return self.run.plan.name, self.run.downstream

    def sentence(self) -> str:
        where = f"study {self.run.plan.name}, {self.run.target.title}, seed {self.run.seed}, {self.run.backbone}"
        counted = f"{self.n_images:,} evaluation images"
        if self.gain is None:
            return f"Top-1 from scratch is {self.top1:.1%} on {counted} ({where}). It is what gains are measured against."
        return (
            f"Gain {self.gain:+.1%}, 95 % interval {self.low:+.1%} to {self.high:+.1%}: top-1 {self.top1:.1%} after "
            f"pretraining on {starts()[self.run.pool].title(self.run.k)}, {self.scratch_top1:.1%} from scratch, on {counted} "
            f"({where}). One seed: the interval is over images, and says nothing of other seeds."
        )

    def row(self) -> dict[str, object]:
        """Of the table of all that was trained."""
        run = self.run
        values: dict[str, float | None] = {"top1": self.top1, "from_scratch": self.scratch_top1}
        values |= {"gain": self.gain, "low": self.low, "high": self.high}
        facts = {"study": run.plan.name, "target": run.downstream, "pretrained on": run.arm, "seed": run.seed}
        facts |= {"backbone": run.backbone, "epochs": run.recipe.epochs}
        return facts | {name: "" if value is None else f"{value:.3f}" for name, value in values.items()}


def stored_gains(study_name: str, downstream: str) -> pd.DataFrame:
    """Gains of the study's stored runs on a target, the paper's design, by pool and k: columns as of `arm_accuracy`.

    Raises `InputError` when there are none.
    """
    return _stored_gains(study_name, downstream)


@cache
def _stored_gains(study_name: str, downstream: str) -> pd.DataFrame:
    evaluation = load_evaluation(study_name, load_study(study_name).downstream(downstream).name)
    arms = arm_accuracy(evaluation, _DRAWS)
    order = {pool: place for place, pool in enumerate(POOLS)}
    gains = arms[(arms["quantity"] == "gain") & (arms["design"] == "") & arms["pool"].isin([*order])]
    return gains.assign(place=gains["pool"].map(order)).sort_values(["place", "k"], ignore_index=True)


def _hits(run: Run) -> Correctness:
    reader = CorrectnessReader("press Train again")
    return reader.read(predictions_of(run), run.images.n_classes, record(run)["sha256"]["predictions"])
