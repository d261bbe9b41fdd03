"""Results of a study as figures read them: what `runs.csv` lists (see `tables`), image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.parameters import Parameters, plain_parameters
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import correct_images, load_annotations, representation
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import Downstream, Study, check_name, load_study
from pretraining_gain.plan.taxonomy import TAXON_COLUMNS, load_class_table
from pretraining_gain.tell.results.correctness import HitsReader
from pretraining_gain.tell.results.stored import read_results

#: What is read from a table: columns of texts, of numbers, and the texts that may be empty.
_COLUMNS = {
    "runs": (
        ("downstream", "arm", "pool", "design", "predictions", "predictions_sha256"),
        ("k", "seed", "top1", "animal_classes", "pretrain_images", "pretrain_steps"),
        ("design",),
    ),
    "costs": (
        ("run_id", "fingerprint", "stage", "downstream", "arm", "design", "pretraining", "from_cache", "commit", "changed",
         "config_hash", "device", "machine"),
        ("seed", "train_images_seen", "eval_images_seen", "train_wall_time_s", "eval_wall_time_s", "device_time_s", "starts"),
        ("downstream", "design", "pretraining", "from_cache"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """All finetunings of one downstream, image by image.

    `correct[arm]` is (S, N) bool: seed by image, whether the top-1 prediction was right. All arms have the same N
    images in the same order, and those of the paper's design the study's S seeds, so any two can be compared pairwise.
    `seeds_of[arm]` are an arm's seeds, `labels` (N,) int class ids, `image_ids` (N,) texts.
    """

    study: Study
    downstream: Downstream
    seeds_of: dict[str, list[int]]
    labels: np.ndarray
    image_ids: np.ndarray
    correct: dict[str, np.ndarray]
    runs: pd.DataFrame
    vote_cut: float = 0.0
    well_represented: int = 40

    @property
    def seeds(self) -> list[int]:
        """The study's seeds: those of scratch and of every arm of the paper's design."""
        return self.seeds_of[SCRATCH]

    def contrast(self, weights: Mapping[str, float]) -> np.ndarray:
        """(S, N) weighted sum of arms, same image and same seed; S are the seeds that all of them have.

        Raises `InputError` when an arm is missing.
        """
        missing = [arm for arm in weights if arm not in self.correct]
        if missing:
            there = ", ".join(self.correct)
            raise InputError(f"no results of {missing[0]!r} for {self.downstream.name!r}; there are: {there}")
        seeds = sorted(set.intersection(*(set(self.seeds_of[arm]) for arm in weights)))
        rows = {arm: [self.seeds_of[arm].index(seed) for seed in seeds] for arm in weights}
        return np.sum([weight * self.correct[arm][rows[arm]].astype(float) for arm, weight in weights.items()], axis=0)

    def difference(self, arm: str, other: str = SCRATCH) -> np.ndarray:
        """(S, N) in {-1, 0, 1}: `arm` minus `other` (scratch: the gain), same image, same seed. Raises when one is missing."""
        if arm == other:
            return np.zeros(self.correct[arm].shape)
        return self.contrast({arm: 1, other: -1})

    @cached_property
    def classes(self) -> pd.DataFrame:
        """The class table indexed by class_id, only classes that have evaluation images."""
        table = load_class_table(self.downstream.images.class_table).set_index("class_id")
        return table.loc[np.unique(self.labels)]

    @cached_property
    def species(self) -> pd.DataFrame:
        """`classes` with `representation` in the source: name, taxa, representation.

        Raises `InputError` when the study grades by the annotations and their file is not there.
        """
        annotated = self.study.representation == "annotated"
        correct = correct_images(load_annotations(), self.vote_cut) if annotated else None
        graded = representation(self.classes, correct, self.well_represented)
        columns = ["name", "representation", *TAXON_COLUMNS]
        return self.classes.assign(representation=graded).reindex(columns=columns, fill_value="not stated")


class View(Parameters):
    """What a figure notebook shows. Empty `downstream` and `arm`: the out-of-domain target, and all source classes.

    `vote_cut` and `well_represented` matter to a study that grades species by the bird annotations (Figure 1).
    """

    study: str
    downstream: str = ""
    arm: str = ""
    draws: int = Field(gt=0, le=100_000)
    vote_cut: float = Field(default=0.0, ge=-1, le=1)
    well_represented: int = Field(default=40, ge=0, le=50)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> View:
        """From a notebook's `globals()`; raises `InputError` for unknown names, studies, downstreams and arms."""
        names = [name for name in cls.model_fields if name in parameters]
        view = cls(**plain_parameters(parameters, names))
        study = check_name(view.study)
        view = view.model_copy(update={"arm": view.arm or study.everything})
        accepted = [run.arm for run in pretraining_runs(study, view.study)]
        if view.arm not in accepted:
            raise InputError(
                f"arm {view.arm!r} is not in study {study.name!r}; accepted: {', '.join(dict.fromkeys(accepted))}"
            )
        return view

    def evaluation(self, domain: str = "out_of_domain") -> Evaluation:
        """Results of `downstream`, or, when that is empty, of the paper's downstream of that `domain`."""
        study = load_study(self.study)
        evaluation = load_evaluation(self.study, self.downstream or study.downstream_in(domain).name)
        return replace(evaluation, vote_cut=self.vote_cut, well_represented=self.well_represented)

    def describe(self) -> pd.DataFrame:
        """The finished runs behind this notebook: downstream by arm, how many seeds, mean top-1."""
        runs = load_runs(load_study(self.study)).groupby(["downstream", "arm"], sort=False)
        return runs.agg(seeds=("seed", "size"), top1=("top1", "mean")).round(3)


def record_table(record: dict[str, Any]) -> pd.DataFrame:
    """A run's record without its history, one row a value, for the end of its notebook."""
    shown = {name: value for name, value in record.items() if name not in ("history", "recipe", "parameters")}
    flat = pd.json_normalize(shown, sep=".").iloc[0]
    return flat.map(lambda value: value if value is not None else "").to_frame("value")


def load_evaluation(study_name: str, downstream_name: str) -> Evaluation:
    """Read the predictions of all finished finetunings of a downstream.

    Raises `InputError` when the study has no tables yet, or when two runs were not evaluated on the same images.
    """
    study = load_study(study_name)
    downstream = study.downstream(downstream_name)
    runs, planned = load_runs(study), _planned_seeds(study, study_name)
    _check_planned(runs, planned, study)
    runs = runs[runs["downstream"] == downstream.name].sort_values(["arm", "seed"])
    folder = results_of(study.name) / "finetune"
    reader, correct, images = HitsReader(how_to_make(study_name)), {}, None
    for arm, group in runs.groupby("arm", sort=False):
        where, wanted = f"arm {arm!r} of {study.name}/{downstream.name}", planned[downstream.name, arm]
        if list(group["seed"]) != wanted:
            raise InputError(f"{where} lacks seeds; wanted: {wanted}, there: {list(group['seed'])}; {how_to_make(study_name)}")
        hits = [
            reader.read(folder / name, downstream.images.n_classes, sha256)
            for name, sha256 in zip(group["predictions"], group["predictions_sha256"], strict=True)
        ]
        images = images or hits[0]
        if any(one.images != images.images for one in hits):
            raise InputError(f"{where} was evaluated on other images than the rest; {how_to_make(study_name)}")
        correct[arm] = np.stack([one.right for one in hits])
    if images is None:
        raise InputError(f"study {study.name!r} has no results for {downstream.name!r}; {how_to_make(study.name)}")
    seeds_of = {arm: planned[downstream.name, arm] for arm in correct}
    return Evaluation(study, downstream, seeds_of, images.labels, images.image_ids, correct, runs)


def _planned_seeds(study: Study, study_name: str) -> dict[tuple[str, str], list[int]]:
    """(downstream, arm) -> its seeds, sorted."""
    planned: dict[tuple[str, str], list[int]] = {}
    for run in finetuning_runs(study, study_name):
        planned.setdefault((run.downstream, run.arm), []).append(run.seed)
    return {name: sorted(seeds) for name, seeds in planned.items()}


def _check_planned(runs: pd.DataFrame, planned: Mapping[tuple[str, str], list[int]], study: Study) -> None:
    """Raise `InputError` for a table of runs that has one which is not the study's: of an older or another study file."""
    for downstream, arm in zip(runs["downstream"], runs["arm"], strict=True):
        if (downstream, arm) not in planned:
            raise InputError(
                f"{results_of(study.name) / 'runs.csv'} has a run of arm {arm!r} on {downstream!r}; accepted: runs of study "
                f"{study.name!r}; {how_to_make(study.name)}"
            )


def load_runs(study: Study) -> pd.DataFrame:
    return _load_table(study, "runs")


def load_costs(study: Study) -> pd.DataFrame:
    return _load_table(study, "costs")


def _load_table(study: Study, name: str) -> pd.DataFrame:
    path = results_of(study.name) / f"{name}.csv"
    if not path.exists():
        raise InputError(f"no results of study {study.name!r} ({path} is missing); {how_to_make(study.name)}")
    return read_results(path, *_COLUMNS[name], again=how_to_make(study.name))


def how_to_make(study_name: str) -> str:
    return f"make them with `make reproduce STUDY={study_name}`"
