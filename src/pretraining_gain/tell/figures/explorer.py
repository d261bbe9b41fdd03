"""The gain explorer: the gain of every species on each target after each pretraining, as the book publishes it.

Columns are arrays, so thousands of species stay small. A gain is published as `net`, without rounding where both starts have
equally many seeds: over seeds and images, how often only the pretrained network was right, minus how often only the one from
scratch was. Dividing by seeds × images gives the gain. Sums over species give group means as `group_means` computes them: each
species counts by its images. Ends of intervals are whole numbers of `unit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import (
    NONE,
    REPRESENTED,
    SOME,
    best_represented,
    correct_images,
    is_named,
    load_annotations,
)
from pretraining_gain.plan.runs import finetuning_runs
from pretraining_gain.plan.species import NOT_STATED, TAXON_COLUMNS
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.figures.audit import VOTE_CUTS
from pretraining_gain.tell.figures.declare import Html, Runs, figure, in_browser
from pretraining_gain.tell.figures.taxa import REPRESENTATION_STYLES
from pretraining_gain.tell.results.evaluation import Evaluation, View, in_ranges, load_evaluation

UNIT = 0.0001
#: How the source represents a species, as the page calls it.
_GRADES = ("best", "some", "none", "unknown")


@figure("", "Gain explorer", "23_explorer", Runs())
def explorer(tables: dict[str, Any]) -> Html:
    """Embed the tables from `explorer_tables`; the book's `explorer.js` shows them."""
    return in_browser("gain-explorer", "explorer", tables, plain_table(tables), describe(tables))


def explorer_tables(view: View) -> dict[str, Any]:
    """Return all that the explorer shows of a study: what holds for every target, and its `targets` (see `target_table`).
    Targets that are trained from scratch only have no gain, so they are left out.

    `graded` says how species are coloured: `named` (a source class names the species) or `annotated` (live, by the number
    of correct source images). Raises `InputError` when results are missing.
    """
    study = load_study(view.study)
    tables = [target_table(load_evaluation(view.study, one.name), view) for one in study.downstreams]
    return {
        "study": study.name,
        "title": study.title,
        "unit": UNIT,
        "graded": study.representation,
        "well": view.well_represented,
        "cut": min(VOTE_CUTS, key=lambda label: abs(VOTE_CUTS[label] - view.vote_cut)),  # the nearest on offer
        "cuts": list(VOTE_CUTS),
        "words": dict(zip(_GRADES, (REPRESENTED, SOME, NONE, NOT_STATED), strict=True)),
        "styles": dict(zip(_GRADES, REPRESENTATION_STYLES.values(), strict=True)),
        "targets": [table for table in tables if table["arms"]],
    }


def target_table(evaluation: Evaluation, view: View) -> dict[str, Any]:
    """Return the species of a target, their groups, how the source represents them, and their gain after each of `arms`.

    `levels`: the taxonomic levels that the class table states, coarse to fine, as `names` and each species' index into
    them (`of`), or else one group of all. `named`: 1 for a species that a source class names, 0 for others, None where the
    table does not say. `correct`, in annotated studies: per vote cut, the correct images of the best source class that names
    a species, 0 where none does. Arms follow the study, that of all source classes first.
    """
    study, classes = evaluation.study, evaluation.classes
    named, stated = is_named(classes), evaluation.species["representation"] != NOT_STATED
    planned = dict.fromkeys(run.arm for run in finetuning_runs(view.study))
    arms = [arm for arm in planned if arm in evaluation.correct and arm != SCRATCH]
    arms.sort(key=lambda arm: arm != study.everything)
    levels = {}
    for level in (name for name in TAXON_COLUMNS if name in classes):
        codes, names = pd.factorize(classes[level], sort=True)
        levels[level] = {"names": names.tolist(), "of": codes.tolist()}
    if not levels:
        levels["group"] = {"names": ["all species"], "of": [0] * len(classes)}
    table = {
        "name": evaluation.downstream.name,
        "title": evaluation.downstream.title,
        "domain": evaluation.downstream.domain.replace("_", " "),
        "class_id": classes.index.tolist(),
        "species": classes["name"].tolist(),
        "taxon": classes["taxon"].tolist() if "taxon" in classes else [],
        "images": np.unique(evaluation.labels, return_counts=True)[1].tolist(),
        "named": [int(one) if known else None for one, known in zip(named, stated, strict=True)],
        "levels": levels,
        "arms": [_arm(evaluation, arm) for arm in arms],
    }
    if study.representation == "annotated":
        annotations = load_annotations()
        counts = [best_represented(classes, correct_images(annotations, cut)) for cut in VOTE_CUTS.values()]
        table["correct"] = [count.astype(int).tolist() for count in counts]
    return table


def _arm(evaluation: Evaluation, arm: str) -> dict[str, Any]:
    """Return the gains after one pretraining: per species, per group of each level, and over all images.

    As in the figures, intervals are over runs and images for a species and for all images, over runs and species for a group.
    """
    from pretraining_gain.tell.statistics import group_means

    weights, classes, answers = evaluation.gain(arm), evaluation.classes, evaluation.answers
    run, seeds = evaluation.runs[evaluation.runs["arm"] == arm].iloc[0], evaluation.seeds_of[arm]

    def ends(groups: pd.Series, random_classes: bool) -> dict[str, list[int | None]]:
        """Return the ends of the groups' intervals in units, groups sorted; None without an interval (a single seed)."""
        found = group_means(answers, weights, groups, random_classes=random_classes).sort_values("group")
        return {end: [None if np.isnan(one) else round(one / UNIT) for one in found[end]] for end in ("low", "high")}

    everything = ends(pd.Series("all", index=classes.index), random_classes=False)
    groups = {name: ends(classes[name], random_classes=True) for name in TAXON_COLUMNS if name in classes}
    return {
        "arm": arm,
        "label": evaluation.study.starts[run["pool"]].title(run["k"]),
        "design": evaluation.study.design(run["design"]).title if run["design"] else "",
        "seeds": seeds,
        "net": (answers.class_contrast(weights) * answers.n_images * len(seeds)).round(6).tolist(),
        **ends(pd.Series(classes.index, index=classes.index), random_classes=False),
        "all": everything,
        "groups": groups or {"group": everything},
    }


def plain_table(tables: dict[str, Any]) -> pd.DataFrame:
    """Return what a browser without JavaScript shows: the first target's species after the first pretraining.

    Columns: species, taxa, images, and gain and interval in percentage points; largest gain first.
    """
    target, arm = tables["targets"][0], tables["targets"][0]["arms"][0]
    images = np.array(target["images"])
    columns = {
        "species": target["species"],
        **{name: np.array(level["names"])[level["of"]] for name, level in target["levels"].items()},
        "images": images,
        "gain": 100 * np.array(arm["net"]) / (images * len(arm["seeds"])),
        "from": 100 * (UNIT * np.array(arm["low"], dtype=float)),
        "to": 100 * (UNIT * np.array(arm["high"], dtype=float)),
    }
    return pd.DataFrame(columns).sort_values("gain", ascending=False, kind="stable").reset_index(drop=True)


def describe(tables: dict[str, Any]) -> str:
    """Say in one sentence what the plain table holds."""
    target, arm = tables["targets"][0], tables["targets"][0]["arms"][0]
    return (
        f"Study {tables['study']} ({tables['title']}), {target['title']}, pretrained on {arm['label']}, seeds "
        f"{in_ranges(arm['seeds'])}: gain in top-1 over training from scratch in percentage points, "
        "with 95 percent intervals."
    )


def explorer_numbers(tables: dict[str, Any]) -> dict[str, Any]:
    """Return what the chapter states: how much there is to explore, and the species at both ends of the plain table."""
    plain = plain_table(tables)
    n_gains = sum(len(target["species"]) * len(target["arms"]) for target in tables["targets"])
    numbers: dict[str, Any] = {"n_gains": n_gains, "n_species": len(plain)}
    for end, row in {"most": plain.iloc[0], "least": plain.iloc[-1]}.items():
        numbers |= {f"{end}_species": row["species"], f"{end}_gain": row["gain"] / 100}
        numbers |= {f"{end}_gain_low": row["from"] / 100, f"{end}_gain_high": row["to"] / 100}
    return numbers
