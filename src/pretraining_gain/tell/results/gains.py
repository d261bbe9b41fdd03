"""Pretraining gains and accuracies by species, by group and by number of pretraining classes (paper, 2 and 3)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.pools import POOLS, SCRATCH, shown_in
from pretraining_gain.plan.representation import (
    NONE,
    REPRESENTED,
    best_represented,
    correct_images,
    load_annotations,
    well_represented,
)
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.statistics import Estimate, bootstrap_means, estimate_correlation

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

Numbers = dict[str, float | int | str]


def species_gains(evaluation: Evaluation, arm: str, draws: int) -> pd.DataFrame:
    """Estimate the gain of each downstream class: `mean`, `low`, `high` (seeds and images resampled), n_images, name, taxa,
    representation."""
    each = pd.Series(evaluation.classes.index, index=evaluation.classes.index)
    table = bootstrap_means(evaluation.difference(arm), evaluation.labels, each, resample_classes=False, draws=draws)
    return table.join(evaluation.species, on="group").rename(columns={"group": "class_id"})


def figure1_species(species: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    """Select the species of Figure 1: all, or, where annotations grade birds, the birds of families that the source names."""
    if evaluation.study.representation == "named":
        return species
    birds = species[species["supercategory"] == "Birds"]
    named = birds.loc[birds["representation"] != NONE, "family"]
    return birds[birds["family"].isin(named)]


def group_accuracy(evaluation: Evaluation, arm: str, column: str, draws: int) -> pd.DataFrame:
    """Estimate top-1 from `arm`, top-1 from scratch, and the paired gain, for each value of a class-table column.

    One row per group and `quantity` (pretrained, scratch, gain), with interval; species of a group are resampled.
    """
    quantities = {"pretrained": evaluation.correct[arm], SCRATCH: evaluation.correct[SCRATCH], "gain": evaluation.difference(arm)}
    labels, groups = evaluation.labels, evaluation.species[column]
    parts = [
        bootstrap_means(values, labels, groups, resample_classes=True, draws=draws).assign(quantity=name)
        for name, values in quantities.items()
    ]
    return pd.concat(parts, ignore_index=True)


def overall(evaluation: Evaluation, values: np.ndarray, draws: int) -> pd.Series:
    """Estimate the mean of (S, N) `values` over all images, with interval; seeds and images are resampled."""
    together = pd.Series("all", index=evaluation.classes.index)
    found = bootstrap_means(values, evaluation.labels, together, resample_classes=False, draws=draws)
    return found.iloc[0].drop("group")


def arm_accuracy(evaluation: Evaluation, draws: int, arms: Collection[str] = ()) -> pd.DataFrame:
    """Estimate top-1 over all images, and the gain, of each arm (or only of `arms`).

    One row per arm and `quantity` (top1, gain). Columns: arm, pool, k, design, `expected_animals` (0 from scratch), what
    the source was made of (means over seeds; lists by seed in `…_by_seed`), `by_seed` (list), and the estimate.
    """
    runs = evaluation.runs[evaluation.runs["arm"].isin(arms)] if arms else evaluation.runs
    by_arm = runs.groupby("arm", sort=False)
    made_of = by_arm[["animal_classes", "pretrain_images", "pretrain_steps"]]
    facts = by_arm[["pool", "k", "design"]].first().join(made_of.mean()).join(made_of.agg(list).add_suffix("_by_seed"))
    source = evaluation.study.source_classes
    pools = zip(facts["pool"], facts["k"], strict=True)
    facts["expected_animals"] = [POOLS[pool].expected_animals(source, k) if pool in POOLS else 0.0 for pool, k in pools]
    rows = []
    for arm, fact in facts.iterrows():
        for quantity, values in {"top1": evaluation.correct[arm], "gain": evaluation.difference(arm)}.items():
            seeds = {"quantity": quantity, "by_seed": values.mean(axis=1).tolist()}
            rows.append({"arm": arm, **fact, **seeds, **overall(evaluation, values, draws)})
    return pd.DataFrame(rows)


def pool_contrasts(evaluation: Evaluation, draws: int) -> pd.DataFrame:
    """Estimate top-1 of one pool minus another's with equally many classes, paired by image and seed.

    One row per ordered pair of the pools of Figure 3 and k that both have: first, second, k, mean, low, high.
    """
    arms, rows = evaluation.study.arms, []
    for first, second in combinations([pool for pool in shown_in("3") if pool in arms], 2):
        for k in sorted(set(arms[first]) & set(arms[second])):
            pair = f"{first}-k{k}", f"{second}-k{k}"
            if set(pair) <= set(evaluation.correct):
                found = overall(evaluation, evaluation.difference(*pair), draws)
                mirrored = {"mean": -found["mean"], "low": -found["high"], "high": -found["low"]}
                rows.append({"first": first, "second": second, "k": k, **found})
                rows.append({"first": second, "second": first, "k": k, **found, **mirrored})
    return pd.DataFrame(rows)


def with_interval(key: str, found: Estimate | Mapping[Any, Any] | pd.Series) -> Numbers:
    """Return an estimate, or a row with `mean`, `low` and `high`, as three numbers: `key`, `key_low`, `key_high`."""
    if isinstance(found, Estimate):
        found = dict(zip(("mean", "low", "high"), (found.mean, *found.interval()), strict=True))
    return {key: found["mean"], f"{key}_low": found["low"], f"{key}_high": found["high"]}


def taxa_numbers(results: StudyResults) -> Numbers:
    """Return what the chapter on individual taxa states: fractions, counts and names."""
    species, groups, evaluation = results.species, results.supercategories, results.out_of_domain
    arm, draws = results.view.arm, results.view.draws
    arms = arm_accuracy(evaluation, draws, {arm, SCRATCH}).set_index(["arm", "quantity"])
    gains = groups[groups["quantity"] == "gain"].sort_values("mean")
    numbers: Numbers = {
        "study": evaluation.study.name,
        "draws": draws,
        "n_seeds": len(evaluation.seeds),
        "n_species": len(species),
        "n_images": len(evaluation.labels),
        "n_families": species.loc[species["family"] != NOT_STATED, "family"].nunique(),
        "n_helped": int((species["mean"] > 0).sum()),
        "share_helped": float((species["mean"] > 0).mean()),
        "n_clearly_helped": int((species["low"] > 0).sum()),
        "n_clearly_hurt": int((species["high"] < 0).sum()),
        "top1_pretrained": arms.at[(arm, "top1"), "mean"],
        "top1_scratch": arms.at[(SCRATCH, "top1"), "mean"],
        **with_interval("gain", arms.loc[(arm, "gain")]),
    }
    for end, row in {"most": gains.iloc[-1], "least": gains.iloc[0]}.items():
        numbers |= {f"{end}_supercategory": row["group"], f"{end}_gain": row["mean"]}
    annotated = evaluation.study.representation == "annotated"
    numbers |= _count_correlation(results) if annotated else {}
    graded = group_accuracy(evaluation, arm, "representation", draws)
    graded = graded[graded["quantity"] == "gain"].set_index("group")
    best = well_represented(evaluation.well_represented) if annotated else REPRESENTED
    for label, group in {"represented": best, "unrepresented": NONE}.items():
        found = graded.loc[group] if group in graded.index else dict.fromkeys(("mean", "low", "high"), math.nan)
        numbers |= {f"n_{label}": int(found.get("n_classes", 0))} | with_interval(f"gain_{label}", found)
    return numbers


def _count_correlation(results: StudyResults) -> Numbers:
    """Correlate the gain with the number of correct source images, over the species shown (Spearman); NaN where impossible."""
    evaluation = results.out_of_domain
    shown = evaluation.classes.loc[results.figure1_species["class_id"]]
    counts = best_represented(shown, correct_images(load_annotations(), evaluation.vote_cut))
    try:
        found = estimate_correlation(evaluation.difference(results.view.arm), evaluation.labels, counts, rank=True)
    except InputError:  # fewer than four species, or all alike
        return with_interval("count_correlation", dict.fromkeys(("mean", "low", "high"), math.nan))
    return with_interval("count_correlation", found)


def subset_numbers(results: StudyResults) -> Numbers:
    """Return what the chapter on specialised pretraining data states.

    For each domain (`out`, `in`): by arm, e.g. `out_top1_animal_k4`, `out_gain_animal_k4`, and by pair of pools, e.g.
    `out_animal_minus_random_k4`; each with `_low` and `_high`.
    """
    numbers: Numbers = {
        "study": results.study.name,
        "n_seeds": len(results.out_of_domain.seeds),
        "animal_share": results.study.animal_share,
    }
    for domain in results.study.domains:
        prefix = domain.split("_")[0]
        evaluation = results.evaluation(domain)
        numbers[f"{prefix}_n_images"] = len(evaluation.labels)
        numbers[f"{prefix}_n_species"] = len(evaluation.classes)
        for row in results.arms(domain).to_dict("records"):
            numbers |= with_interval(f"{prefix}_{row['quantity']}_{row['arm'].replace('-', '_')}", row)
        for row in pool_contrasts(evaluation, results.view.draws).to_dict("records"):
            numbers |= with_interval(f"{prefix}_{row['first']}_minus_{row['second']}_k{row['k']}", row)
    return numbers
