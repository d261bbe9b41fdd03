"""The gain explorer's tables: the gain of every species on each target after each pretraining, as the book publishes it.

Columns are arrays, so that thousands of species stay small. A gain is published as the whole number `net`: over seeds and
images, how often only the pretrained network was right less how often only the one from scratch was. Divided by seeds ×
images it is the gain, without rounding; sums over species are group means as `bootstrap_means` has them (a species counts
by its images). Interval ends are whole numbers of `unit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.pools import POOLS, SCRATCH
from pretraining_gain.plan.representation import (
    NONE,
    REPRESENTED,
    SOME,
    best_represented,
    correct_images,
    load_annotations,
)
from pretraining_gain.plan.runs import finetuning_runs
from pretraining_gain.plan.studies import Downstream, load_study
from pretraining_gain.plan.taxonomy import TAXON_COLUMNS
from pretraining_gain.tell.figures.audit import VOTE_CUTS
from pretraining_gain.tell.figures.taxa import BEST_STYLE, REPRESENTATION_STYLE
from pretraining_gain.tell.results.evaluation import Evaluation, View, load_evaluation

UNIT = 0.0001
FORM = 1


def explorer_tables(view: View) -> dict[str, Any]:
    """All that the explorer shows of a study: what holds for all of it, and its `targets` (see `target_table`).

    `graded` says how species are coloured: `named` (a source class names the species) or `annotated` (live, by the number
    of correct source images). Raises `InputError` when results are missing.
    """
    study = load_study(view.study)
    evaluations = [_evaluation(view, target) for target in study.downstreams]
    styles = {"best": BEST_STYLE, "some": REPRESENTATION_STYLE[SOME], "none": REPRESENTATION_STYLE[NONE]}
    return {
        "form": FORM,
        "study": study.name,
        "title": study.title,
        "unit": UNIT,
        "draws": view.draws,
        "graded": study.representation,
        "well": view.well_represented,
        "cut": _cut_label(view.vote_cut),
        "cuts": list(VOTE_CUTS),
        "words": {"best": REPRESENTED, "some": SOME, "none": NONE},
        "styles": styles,
        "targets": [target_table(evaluation, view.study, view.draws) for evaluation in evaluations],
    }


def _evaluation(view: View, target: Downstream) -> Evaluation:
    return load_evaluation(view.study, target.name)


def _cut_label(vote_cut: float) -> str:
    """The cut on offer that is nearest to the one asked for."""
    return min(VOTE_CUTS, key=lambda label: abs(VOTE_CUTS[label] - vote_cut))


def target_table(evaluation: Evaluation, study_name: str, draws: int) -> dict[str, Any]:
    """Species of a target, the groups they are in, how the source represents them, and their gain in each of `arms`.

    `levels`: those of the tree of life that the class table states, coarse to fine, as `names` and each species' place
    in them (`of`). `correct`, of annotated studies: for each vote cut, the correct images of the best source class that names
    the species, for the species that `named` marks 1, in their order.
    """
    classes = evaluation.classes
    levels = {name: _coded(classes[name]) for name in TAXON_COLUMNS if name in classes}
    named = (classes["represented_by"] != "").astype(int)
    table = {
        "name": evaluation.downstream.name,
        "title": evaluation.downstream.title,
        "domain": evaluation.downstream.domain.replace("_", " "),
        "class_id": classes.index.tolist(),
        "species": classes["name"].tolist(),
        "taxon": classes["taxon"].tolist() if "taxon" in classes else [],
        "images": _images(evaluation).tolist(),
        "named": named.tolist(),
        "levels": levels,
        "arms": [_arm(evaluation, arm, draws) for arm in _arms(evaluation, study_name)],
    }
    if evaluation.study.representation == "annotated":
        table["correct"] = _correct_images(classes[named == 1])
    return table


def _coded(groups: pd.Series) -> dict[str, list[Any]]:
    names = sorted(set(groups))
    return {"names": names, "of": groups.map({name: code for code, name in enumerate(names)}).tolist()}


def _images(evaluation: Evaluation) -> np.ndarray:
    """(C,) evaluation images of each class that has any."""
    return np.unique(evaluation.labels, return_counts=True)[1]


def _correct_images(named: pd.DataFrame) -> list[list[int]]:
    annotations = load_annotations()
    counts = [best_represented(named, correct_images(annotations, cut)) for cut in VOTE_CUTS.values()]
    return [count.astype(int).tolist() for count in counts]


def _arms(evaluation: Evaluation, study_name: str) -> list[str]:
    """Pretrainings of this target in the study's order, that on all source classes first."""
    planned = [run.arm for run in finetuning_runs(evaluation.study, study_name)]
    there = [arm for arm in dict.fromkeys(planned) if arm in evaluation.correct and arm != SCRATCH]
    return sorted(there, key=lambda arm: arm != evaluation.study.everything)


def _arm(evaluation: Evaluation, arm: str, draws: int) -> dict[str, Any]:
    """Gains after one pretraining: of species and of each level's groups, with intervals, and of all images together.

    As in the figures: seeds and images are resampled for a species and for all, seeds and species for a group.
    """
    values, classes = evaluation.difference(arm), evaluation.classes
    run = evaluation.runs[evaluation.runs["arm"] == arm].iloc[0]
    design = evaluation.study.design(run["design"]).title if run["design"] else ""
    label = POOLS[run["pool"]].title(run["k"])
    place = np.searchsorted(classes.index, evaluation.labels)
    alone, together = pd.Series(classes.index, index=classes.index), pd.Series("all", index=classes.index)
    groups = {name: classes[name] for name in TAXON_COLUMNS if name in classes}
    return {
        "arm": arm,
        "label": label,
        "design": design,
        "seeds": _paired_seeds(evaluation, arm),
        "net": np.rint(np.bincount(place, values.sum(axis=0))).astype(int).tolist(),
        **_ends(evaluation, values, alone, draws, resample_classes=False),
        "all": _ends(evaluation, values, together, draws, resample_classes=False),
        "groups": {name: _ends(evaluation, values, of, draws, resample_classes=True) for name, of in groups.items()},
    }


def _paired_seeds(evaluation: Evaluation, arm: str) -> list[int]:
    return sorted(set(evaluation.seeds_of[arm]) & set(evaluation.seeds_of[SCRATCH]))


def _ends(
    evaluation: Evaluation, values: np.ndarray, group_of_class: pd.Series, draws: int, *, resample_classes: bool
) -> dict[str, list[int | None]]:
    """Ends of the groups' intervals in units, groups sorted; None where there is none, as with a single seed."""
    from pretraining_gain.tell.statistics.bootstrap import bootstrap_means

    found = bootstrap_means(values, evaluation.labels, group_of_class, resample_classes=resample_classes, draws=draws)
    found = found.sort_values("group")
    return {end: [None if np.isnan(value) else round(value / UNIT) for value in found[end]] for end in ("low", "high")}


def plain_table(tables: dict[str, Any]) -> pd.DataFrame:
    """What a page without JavaScript shows: the first target's species after the first pretraining, most gain first.

    Columns: species, taxa, images, and gain and interval in percentage points.
    """
    target = tables["targets"][0]
    arm = target["arms"][0]
    taxa = {name: [level["names"][code] for code in level["of"]] for name, level in target["levels"].items()}
    images = np.array(target["images"])
    gains = 100 * np.array(arm["net"]) / (images * len(arm["seeds"]))
    ends = {end: 100 * UNIT * np.array(arm[end], dtype=float) for end in ("low", "high")}
    columns = {
        "species": target["species"],
        **taxa,
        "images": images,
        "gain": gains,
        "from": ends["low"],
        "to": ends["high"],
    }
    return pd.DataFrame(columns).sort_values("gain", ascending=False, kind="stable").reset_index(drop=True)


def facts(tables: dict[str, Any]) -> str:
    """What the plain table is of, in one sentence."""
    target = tables["targets"][0]
    arm = target["arms"][0]
    seeds = ", ".join(map(str, arm["seeds"]))
    return (
        f"Study {tables['study']} ({tables['title']}), {target['title']}, pretrained on {arm['label']}, seeds {seeds}: gain in "
        f"top-1 over training from scratch in percentage points, with 95 percent intervals from {tables['draws']:,} draws."
    )


def explorer_numbers(tables: dict[str, Any]) -> dict[str, Any]:
    """What the chapter states: how much there is to explore, and the species at both ends of the plain table."""
    plain, targets = plain_table(tables), tables["targets"]
    ends = {"most": plain.iloc[0], "least": plain.iloc[-1]}
    return {
        "study": tables["study"],
        "draws": tables["draws"],
        "n_seeds": len(targets[0]["arms"][0]["seeds"]),
        "n_targets": len(targets),
        "n_gains": sum(len(target["species"]) * len(target["arms"]) for target in targets),
        "n_arms": max(len(target["arms"]) for target in targets),
        "n_species": len(plain),
        **{f"{end}_species": row["species"] for end, row in ends.items()},
        **{
            f"{end}_{name}": row[column] / 100
            for end, row in ends.items()
            for name, column in {"gain": "gain", "low": "from", "high": "to"}.items()
        },
    }
