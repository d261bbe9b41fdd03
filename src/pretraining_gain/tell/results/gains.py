"""Pretraining gains and accuracies by species, by group and by number of pretraining classes (paper, 2 and 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from pretraining_gain.plan.pools import POOLS, SCRATCH, shown_in
from pretraining_gain.plan.representation import NONE, REPRESENTED, is_named, well_represented
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.statistics import Estimate, estimate_mean, group_means

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

Numbers = dict[str, float | int | str]


def species_gains(evaluation: Evaluation, arm: str) -> pd.DataFrame:
    """Estimate the gain of each downstream class: `mean`, `low`, `high` (over runs and images), n_images, name, taxa,
    representation."""
    each = pd.Series(evaluation.classes.index, index=evaluation.classes.index)
    table = group_means(evaluation.answers, evaluation.gain(arm), each, random_classes=False)
    return table.join(evaluation.species, on="group").rename(columns={"group": "class_id"})


def figure1_species(species: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    """Select the species of Figure 1: all, or, where annotations grade birds, the birds of families that the source names."""
    if evaluation.study.representation == "named":
        return species
    birds = species[species["supercategory"] == "Birds"]
    classes = evaluation.classes.reindex(columns=["represented_by", "supercategory", "family"], fill_value=NOT_STATED)
    named = is_named(classes) & (classes["supercategory"] == "Birds")
    return birds[birds["family"].isin(classes.loc[named, "family"])]


def group_accuracy(evaluation: Evaluation, arm: str, column: str) -> pd.DataFrame:
    """Estimate top-1 from `arm`, top-1 from scratch, and the paired gain, for each value of a class-table column.

    One row per group and `quantity` (pretrained, scratch, gain), with an interval for species like those of the group.
    """
    quantities = {"pretrained": {arm: 1.0}, SCRATCH: {SCRATCH: 1.0}, "gain": evaluation.gain(arm)}
    parts = [
        group_means(evaluation.answers, weights, evaluation.species[column], random_classes=True).assign(quantity=name)
        for name, weights in quantities.items()
    ]
    return pd.concat(parts, ignore_index=True)


def arm_accuracy(evaluation: Evaluation) -> pd.DataFrame:
    """Estimate top-1 over all images, and the gain, of each arm.

    One row per arm and `quantity` (top1, gain). Columns: arm, pool, k, design, `expected_animals` (0 from scratch), what
    the source was made of (means over seeds; lists by seed in `…_by_seed`), `by_seed` (list), and the estimate.
    """
    by_arm = evaluation.runs.groupby("arm", sort=False)
    made_of = by_arm[["animal_classes", "pretrain_images", "pretrain_steps"]]
    facts = by_arm[["pool", "k", "design"]].first().join(made_of.mean()).join(made_of.agg(list).add_suffix("_by_seed"))
    source = evaluation.study.source_classes
    pools = zip(facts["pool"], facts["k"], strict=True)
    facts["expected_animals"] = [POOLS[pool].expected_animals(source, k) if pool in POOLS else 0.0 for pool, k in pools]
    rows = []
    for arm, fact in facts.iterrows():
        for quantity, weights in {"top1": {arm: 1.0}, "gain": evaluation.gain(arm)}.items():
            found, by_seed = estimate_mean(evaluation.answers, weights), evaluation.correct[arm].mean(axis=1)
            seeds = {"quantity": quantity, "by_seed": (by_seed - by_seed.mean() + found.mean).tolist()}
            rows.append({"arm": arm, **fact, **seeds, **row_of(found)})
    return pd.DataFrame(rows)


def pool_contrasts(evaluation: Evaluation) -> pd.DataFrame:
    """Estimate top-1 of one pool minus another's with equally many classes, paired by image and seed.

    One row per pair of the pools of Figure 3 and k that both have: first, second, k, mean, low, high.
    """
    arms, rows = evaluation.study.arms, []
    for first, second in combinations([pool for pool in shown_in("3") if pool in arms], 2):
        for k in sorted(set(arms[first]) & set(arms[second])):
            pair = f"{first}-k{k}", f"{second}-k{k}"
            if set(pair) <= set(evaluation.correct):
                found = estimate_mean(evaluation.answers, evaluation.gain(*pair))
                rows.append({"first": first, "second": second, "k": k, **row_of(found)})
    return pd.DataFrame(rows)


def row_of(found: Estimate) -> dict[str, float]:
    """Return the columns of an estimate in a table: mean, low, high, n_seeds, n_classes, n_images."""
    low, high = found.interval()
    sizes = {"n_seeds": found.n_seeds, "n_classes": found.n_classes, "n_images": found.n_images}
    return {"mean": found.mean, "low": low, "high": high, **sizes}


def with_interval(key: str, found: Estimate | Mapping[Any, Any] | pd.Series) -> Numbers:
    """Return an estimate, or a row with `mean`, `low` and `high`, as three numbers: `key`, `key_low`, `key_high`."""
    row = row_of(found) if isinstance(found, Estimate) else found
    return {key: row["mean"], f"{key}_low": row["low"], f"{key}_high": row["high"]}


def taxa_numbers(results: StudyResults) -> Numbers:
    """Return what the chapter on individual taxa states: fractions, counts and names."""
    species, groups, evaluation = results.species, results.supercategories, results.out_of_domain
    arm = results.view.arm
    gains = groups[groups["quantity"] == "gain"].sort_values("mean")
    numbers: Numbers = {
        "n_seeds": len(evaluation.seeds),
        "n_species": len(species),
        "n_images": len(evaluation.labels),
        "n_families": species.loc[species["family"] != NOT_STATED, "family"].nunique(),
        "n_helped": int((species["mean"] > 1e-12).sum()),
        "n_clearly_helped": int((species["low"] > 0).sum()),
        "n_clearly_hurt": int((species["high"] < 0).sum()),
        "top1_pretrained": float(evaluation.correct[arm].mean()),
        "top1_scratch": float(evaluation.correct[SCRATCH].mean()),
        **with_interval("gain", estimate_mean(evaluation.answers, evaluation.gain(arm))),
    }
    of_groups = results.across_groups
    numbers |= {"groups_n_species": len(of_groups.classes), "groups_n_images": len(of_groups.labels)}
    numbers |= with_interval("groups_gain", estimate_mean(of_groups.answers, of_groups.gain(arm)))
    for end, row in {"most": gains.iloc[-1], "least": gains.iloc[0]}.items():
        numbers |= {f"{end}_supercategory": row["group"], f"{end}_gain": row["mean"]}
    annotated = evaluation.study.representation == "annotated"
    graded = group_accuracy(evaluation, arm, "representation")
    graded = graded[graded["quantity"] == "gain"].set_index("group")
    best = well_represented(evaluation.well_represented) if annotated else REPRESENTED
    for label, group in {"represented": best, "unrepresented": NONE}.items():
        found = graded.loc[group] if group in graded.index else dict.fromkeys(("mean", "low", "high"), math.nan)
        numbers |= {f"n_{label}": int(found.get("n_classes", 0))} | with_interval(f"gain_{label}", found)
    return numbers


def subset_numbers(results: StudyResults) -> Numbers:
    """Return what the chapter on specialised pretraining data states.

    For each domain (`out`, `in`), and each further target by its name: by arm, e.g. `out_top1_animal_k4`,
    `out_gain_animal_k4`, and by pair of pools, e.g. `out_animal_minus_random_k4`; each with `_low` and `_high`.
    """
    numbers: Numbers = {
        "n_seeds": len(results.out_of_domain.seeds),
        "animal_share": results.study.animal_share,
    }
    for prefix, (evaluation, arms) in results.by_prefix.items():
        numbers[f"{prefix}_n_images"] = len(evaluation.labels)
        for row in arms.to_dict("records"):
            numbers |= with_interval(f"{prefix}_{row['quantity']}_{row['arm'].replace('-', '_')}", row)
        for row in pool_contrasts(evaluation).to_dict("records"):
            numbers |= with_interval(f"{prefix}_{row['first']}_minus_{row['second']}_k{row['k']}", row)
    return numbers
