"""(7) Analysis: intervals, claims, figures, tables, the book after a change of prose, and a build with nothing to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pretraining_gain.bench.given import Given
from pretraining_gain.bench.measure import Contestant, Effort, compare
from pretraining_gain.bench.records import Comparison, Goal, Part
from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root, results_of, results_root
from pretraining_gain.tell.claims.ledger import Ledger
from pretraining_gain.tell.figures.subsets import subset_curves
from pretraining_gain.tell.figures.taxa import figure1_gain_by_taxon, figure2_supercategories
from pretraining_gain.tell.results.evaluation import Evaluation, View
from pretraining_gain.tell.results.gains import (
    arm_accuracy,
    figure1_species,
    group_accuracy,
    species_gains,
)
from pretraining_gain.tell.results.tables import write_tables
from pretraining_gain.tell.statistics.bootstrap import bootstrap_means

STUDY, OURS, PLAIN = "mini", "ours", "plain pandas loop"


def analysis(given: Given) -> Part:
    view = View.from_parameters({"study": STUDY, "draws": given.scale.draws})
    evaluation = view.evaluation()
    found = [_intervals(evaluation, view, given)]
    found += [_alone(what, work, given) for what, work in _steps(evaluation, view).items()]
    absent = {}
    try:
        write_own_tables()
        found.append(_alone("reading records and predictions, writing the tables", write_own_tables, given))
    except InputError as error:  # records of other code than the present
        absent["tables"] = str(error)
    if given.scale.slow_analysis:
        index = project_root() / "_build" / "html" / "index.html"
        if index.exists():
            found.append(_alone("the book, after a change of prose", _build_after_change_of_prose, given, rounds=2))
        else:
            absent["the book, after a change of prose"] = "no book was built in this checkout; make reproduce builds it"
        found.append(_alone("nothing to do: the workflow looks at everything", _no_op, given, rounds=3))
    return Part(comparisons=found, notes=[f"{what}: {why}" for what, why in absent.items()])


def _intervals(evaluation: Evaluation, view: View, given: Given) -> Comparison:
    """Intervals of the gain by supercategory; draws a second. The plain loop gets fewer draws, as it would take minutes."""
    gains, groups = evaluation.difference(view.arm), evaluation.species["supercategory"]
    few = max(2, view.draws // 100)

    def plain() -> None:
        plain_bootstrap(gains, evaluation.labels, groups, few)

    def ours() -> None:
        bootstrap_means(gains, evaluation.labels, groups, resample_classes=True, draws=view.draws)

    return compare(
        "analysis",
        [
            Contestant(PLAIN, plain, few),
            Contestant(OURS, ours, view.draws),
        ],
        given.effort(given.scale.analysis_s),
        setting=f"bootstrap of the gain by supercategory, study {STUDY}, classes resampled",
        unit="draws",
        reference=PLAIN,
        goals=[Goal(contestant=OURS, reference=PLAIN, at_least=1.0)],
        notes=[f"{view.draws} draws, of the plain loop {few}; ours also estimates variances in closed form"],
    )


def plain_bootstrap(
    gains: np.ndarray, labels: np.ndarray, groups: pd.Series, draws: int, seed: int = 0
) -> pd.DataFrame:
    """Percentile intervals as one would write them: draw classes of each group, gather their images, take the mean."""
    rng = np.random.default_rng(seed)
    images = pd.DataFrame({"class_id": labels, "gain": gains.mean(axis=0)})
    by_class = {class_id: part["gain"] for class_id, part in images.groupby("class_id")}
    rows = []
    for group, classes in groups.groupby(groups):
        means = []
        for _ in range(draws):
            drawn = rng.choice(classes.index, size=len(classes))
            means.append(pd.concat([by_class[class_id] for class_id in drawn]).mean())
        low, high = np.percentile(means, [2.5, 97.5])
        rows.append({"group": group, "low": low, "high": high})
    return pd.DataFrame(rows)


def _steps(evaluation: Evaluation, view: View) -> dict[str, Callable[[], object]]:
    def figures() -> None:
        species = species_gains(evaluation, view.arm, view.draws)
        figure1_gain_by_taxon(figure1_species(species, evaluation)).to_json()
        figure2_supercategories(group_accuracy(evaluation, view.arm, "supercategory", view.draws)).to_json()
        subset_curves(arm_accuracy(evaluation, view.draws)).to_json()

    return {
        "figures 1, 2 and 3 with their intervals": figures,
        "the claims ledger": lambda: Ledger.of(view),
    }


def write_own_tables() -> None:
    """The tables of a copy of the study's records. Raises `InputError` where these are not of the present code."""
    own = results_root() / STUDY
    if not own.exists():
        shutil.copytree(results_of(STUDY), own)
    write_tables(STUDY)


def _alone(what: str, work: Callable[[], object], given: Given, rounds: int = 0) -> Comparison:
    """Seconds of what has no peer."""
    effort = Effort(given.scale.analysis_s, rounds or given.scale.rounds, warm_up=not rounds)
    return compare("analysis", [Contestant(OURS, work, 1)], effort, setting=what, unit="times", reference=OURS)


def _build_after_change_of_prose() -> None:
    os.utime(project_root() / "book" / "introduction.md")
    _run("-m", "pretraining_gain.tell.book.build")


def _no_op() -> None:
    _run("-m", "snakemake", "--cores", "1", "--nolock", "--dry-run", "--quiet")


def _run(*arguments: str) -> None:
    """As in the checkout itself, whatever the benchmark set. Raises `InputError` when it fails."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PRETRAINING_GAIN_")}
    done = subprocess.run([sys.executable, *arguments], cwd=project_root(), env=own, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{Path(arguments[1]).name} failed: {' '.join((done.stdout + done.stderr).split())[-300:]}")
