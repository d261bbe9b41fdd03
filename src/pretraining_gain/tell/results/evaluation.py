"""Results of a study as figures and claims read them: the runs that `runs.csv` lists (see `tables`), image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.parameters import Parameters, plain_parameters
from pretraining_gain.plan.parts import Downstream
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.relatives import nearest_rank
from pretraining_gain.plan.representation import correct_images, keep_keys_of, load_annotations, representation
from pretraining_gain.plan.runs import finetuning_runs
from pretraining_gain.plan.species import NOT_STATED, TAXON_COLUMNS
from pretraining_gain.plan.studies import Study, check_name, load_study
from pretraining_gain.plan.tables import read_table
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.results.correctness import CorrectnessReader
from pretraining_gain.tell.results.stored import unlike_its_checksum

if TYPE_CHECKING:
    from pretraining_gain.tell.statistics import Answers

#: Per table: its columns of texts, those of numbers, and the texts that may be empty.
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

    `correct[arm]` is (S, N) bool: per seed and image, whether the top-1 prediction was right. All arms have the same N
    images in the same order, so any two can be compared in pairs. `seeds_of[arm]` are an arm's S seeds, `labels` (N,)
    int class ids, `image_ids` (N,) texts, `runs` the rows of `runs.csv`. `relabelled`: a table in the place of `species`.
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
    relabelled: pd.DataFrame | None = None

    @property
    def seeds(self) -> list[int]:
        """The study's seeds: those of scratch and of every arm of the paper's design."""
        return self.seeds_of[SCRATCH]

    @cached_property
    def answers(self) -> Answers:
        """All runs, as the statistics take them."""
        return _answers(self.correct, self.labels)

    def gain(self, arm: str, other: str = SCRATCH) -> dict[str, float]:
        """Return the weights of `arm` minus `other` (scratch: the gain). Raises `InputError` when one is missing."""
        for name in (arm, other):
            if name not in self.correct:
                there = ", ".join(self.correct)
                raise InputError(f"no results of {name!r} for {self.downstream.name!r}; there are: {there}")
        return {arm: 1.0, other: -1.0} if arm != other else {arm: 0.0}

    def minus(self, other: Evaluation) -> Answers:
        """Return the answers of the runs on this target minus those on `other`, which share pretraining, seed and images.

        Holds the arms and seeds that both have. Raises `InputError` when the targets have other images.
        """
        if not np.array_equal(self.image_ids, other.image_ids):
            names = f"{self.downstream.name!r} and {other.downstream.name!r}"
            raise InputError(f"targets {names} cannot be compared image by image; accepted: targets of the same images")
        differences = {}
        for arm in (name for name in self.correct if name in other.correct):
            mine, theirs = self.seeds_of[arm], other.seeds_of[arm]
            if seeds := [seed for seed in mine if seed in theirs]:
                first, second = ([given.index(seed) for seed in seeds] for given in (mine, theirs))
                differences[arm] = self.correct[arm][first].astype(float) - other.correct[arm][second]
        return _answers(differences, self.labels)

    @cached_property
    def classes(self) -> pd.DataFrame:
        """The class table indexed by class_id, only classes that have evaluation images; `represented_by` names source classes."""
        table = load_class_table(self.downstream.images.class_table)
        if self.study.main_start == "all":  # weights were trained on classes that the study does not list
            table = keep_keys_of(self.study.source_classes, table)
        return table.set_index("class_id").loc[np.unique(self.labels)]

    @cached_property
    def nearest_ranks(self) -> pd.Series:
        """The lowest rank that each of `classes` shares with a class of the source; NaN where the tables do not tell."""
        return nearest_rank(self.classes, self.study.source_classes)

    @cached_property
    def species(self) -> pd.DataFrame:
        """`classes` as name, taxa, and `representation` in the source.

        Raises `InputError` when the study grades by the annotations and their file is missing.
        """
        if self.relabelled is not None:
            return self.relabelled
        annotated = self.study.representation == "annotated"
        correct = correct_images(load_annotations(), self.vote_cut) if annotated else None
        graded = representation(self.classes, correct, self.well_represented)
        columns = ["name", "representation", *TAXON_COLUMNS]
        return self.classes.assign(representation=graded).reindex(columns=columns, fill_value=NOT_STATED)


def _answers(correct: dict[str, np.ndarray], labels: np.ndarray) -> Answers:
    # Not at the top: scipy and statsmodels take a second to import.
    from pretraining_gain.tell.statistics import Answers

    return Answers(correct, labels)


class View(Parameters):
    """Parameters of a figure notebook. Empty `downstream` and `arm`: the out-of-domain target, all source classes.

    `vote_cut` and `well_represented` matter to a study that grades species by the bird annotations (Figure 1).
    """

    study: str
    downstream: str = ""
    arm: str = ""
    vote_cut: float = Field(default=0.0, ge=-1, le=1)
    well_represented: int = Field(default=40, ge=0, le=50)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> View:
        """Build from a notebook's `globals()`. Raises `InputError` for unknown names, studies, downstreams and arms."""
        names = [name for name in cls.model_fields if name in parameters]
        view = cls(**plain_parameters(parameters, names))
        study = check_name(view.study)
        view = view.model_copy(update={"arm": view.arm or study.everything})
        arms = list(dict.fromkeys(run.arm for run in finetuning_runs(view.study) if run.pool != SCRATCH))
        if view.arm not in arms:
            raise InputError(f"arm {view.arm!r} is not in study {study.name!r}; accepted: {', '.join(arms)}")
        return view

    def evaluation(self) -> Evaluation:
        """Load the results on `downstream`, or, when that is empty, on the out-of-domain target."""
        return self.load(self.target("out_of_domain"))

    def target(self, domain: str, across: str = "") -> str:
        """Return `downstream`, or, when that is empty, the target of `Study.downstream_in` this domain."""
        return self.downstream or load_study(self.study).downstream_in(domain, across).name

    def load(self, target: str) -> Evaluation:
        """Load the results on a target, with species graded as the view says."""
        return replace(load_evaluation(self.study, target), vote_cut=self.vote_cut, well_represented=self.well_represented)

    def describe(self) -> pd.DataFrame:
        """Return the finished runs behind the notebook: seeds and mean top-1 per downstream and arm."""
        runs = load_table(self.study, "runs").groupby(["downstream", "arm"], sort=False)
        return runs.agg(seeds=("seed", "size"), top1=("top1", "mean")).round(3)


def load_evaluation(study_name: str, downstream_name: str) -> Evaluation:
    """Read the predictions of all finetunings of a downstream.

    Raises `InputError` when the study has no tables yet, when the table of runs is of another version of the study, or
    when two runs were not evaluated on the same images.
    """
    study = load_study(study_name)
    downstream, again, runs = study.downstream(downstream_name), how_to_make(study_name), load_table(study_name, "runs")
    planned: dict[tuple[str, str], list[int]] = {}
    for run in finetuning_runs(study_name):
        planned.setdefault((run.downstream, run.arm), []).append(run.seed)
    for name, arm in zip(runs["downstream"], runs["arm"], strict=True):
        if (name, arm) not in planned:
            path = results_of(study.name) / "runs.csv"
            raise InputError(f"{path} has a run of arm {arm!r} on {name!r}; accepted: runs of study {study.name!r}; {again}")
    runs = runs[runs["downstream"] == downstream.name].sort_values(["arm", "seed"])
    if runs.empty:
        raise InputError(f"study {study.name!r} has no results for {downstream.name!r}; {again}")
    folder, reader = results_of(study.name) / "finetune", CorrectnessReader(again)
    per_arm, seeds_of = {}, {}
    for arm in sorted(arm for name, arm in planned if name == downstream.name):
        group = runs[runs["arm"] == arm]
        where, seeds = f"arm {arm!r} of {study.name}/{downstream.name}", group["seed"].tolist()
        seeds_of[arm] = sorted(planned[downstream.name, arm])
        if seeds != seeds_of[arm]:
            found = f"{results_of(study.name) / 'runs.csv'}: {where} has seeds {seeds or 'none'}"
            raise InputError(f"{found}; accepted: {seeds_of[arm]}; {again}")
        files = zip(group["predictions"], group["predictions_sha256"], strict=True)
        per_arm[arm] = [reader.read(folder / name, downstream.images.n_classes, sha256) for name, sha256 in files]
        first = next(iter(per_arm.values()))[0]
        if any(one.images != first.images for one in per_arm[arm]):
            raise InputError(f"{where} was evaluated on other images than the rest; {again}")
    correct = {arm: np.stack([one.right for one in found]) for arm, found in per_arm.items()}
    return Evaluation(study, downstream, seeds_of, first.labels, first.image_ids, correct, runs)


def load_table(study_name: str, name: Literal["runs", "costs"]) -> pd.DataFrame:
    """Read `runs.csv` of a study (name or path), one row per finetuning, or `costs.csv`, one row per run.

    Columns without a declaration are numbers where all values are. Raises `InputError` when the file is missing or damaged,
    holds anything else, or does not match `SHA256SUMS` beside it.
    """
    study, again, (texts, numbers, may_be_empty) = load_study(study_name), how_to_make(study_name), _COLUMNS[name]
    path = results_of(study.name) / f"{name}.csv"
    if not path.exists():
        raise InputError(f"no results of study {study.name!r} ({path} is missing); {again}")
    try:
        table = read_table(path, [column for column in (*texts, *numbers) if column not in may_be_empty])
    except InputError as error:
        raise InputError(f"table {error}; {again}") from None
    for column in table.columns.difference(texts):
        values = pd.to_numeric(table[column], errors="coerce")
        if values.notna().all():
            table[column] = values
        elif column in numbers:
            wrong = table.loc[values.isna(), column].iloc[0]
            raise InputError(f"table {path}: column {column!r} has {wrong!r}; accepted: numbers; {again}")
    if problem := unlike_its_checksum(path):
        raise InputError(f"{problem}; {again}")
    return table


def in_ranges(numbers: list[int]) -> str:
    """Write ascending numbers, five or more in a row as a range: `0, 1, 2, 100–109`."""
    rows = [[number for _, number in row] for _, row in groupby(enumerate(numbers), key=lambda one: one[1] - one[0])]
    return ", ".join(f"{row[0]}–{row[-1]}" if len(row) >= 5 else ", ".join(map(str, row)) for row in rows)


def how_to_make(study_name: str) -> str:
    """Say how to make the results of a study, at the end of an error message."""
    return f"make them with `make reproduce STUDY={study_name}`"
