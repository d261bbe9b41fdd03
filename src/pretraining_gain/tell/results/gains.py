"""Pretraining gains and accuracies by species, by group and by number of pretraining classes (paper, 2 and 3)."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from typing import TYPE_CHECKING

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.pools import POOLS, SCRATCH
from pretraining_gain.plan.representation import (
    NONE,
    REPRESENTED,
    best_represented,
    correct_images,
    load_annotations,
    well_represented,
)
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.statistics import bootstrap_means, estimate_correlation

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults


def species_gains(evaluation: Evaluation, arm: str, draws: int) -> pd.DataFrame:
    """Gain of each downstream class: `mean`, `low`, `high` (seeds and images resampled), n_images, name, taxa, representation."""
    classes = evaluation.classes
    each_its_own = pd.Series(classes.index, index=classes.index)
    table = bootstrap_means(
        evaluation.difference(arm), evaluation.labels, each_its_own, resample_classes=False, draws=draws
    )
    return table.join(evaluation.species, on="group").rename(columns={"group": "class_id"})


def figure1_species(species: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    """The species that Figure 1 shows: all, or, where birds are graded by the annotations, the birds of families of
    which the source names at least one species."""
    if evaluation.study.representation == "named":
        return species
    birds = species[species["supercategory"] == "Birds"]
    named = birds.loc[birds["representation"] != NONE, "family"]
    return birds[birds["family"].isin(named)]


def group_accuracy(evaluation: Evaluation, arm: str, column: str, draws: int) -> pd.DataFrame:
    """Top-1 from `arm`, top-1 from scratch, and the paired gain, for each value of a class-table column.

    Rows: group × `quantity` in (pretrained, scratch, gain), with interval; species of a group are resampled.
    """
    quantities = {
        "pretrained": evaluation.correct[arm],
        SCRATCH: evaluation.correct[SCRATCH],
        "gain": evaluation.difference(arm),
    }
    groups = evaluation.species[column]
    parts = [
        bootstrap_means(values, evaluation.labels, groups, resample_classes=True, draws=draws).assign(quantity=name)
        for name, values in quantities.items()
    ]
    return pd.concat(parts, ignore_index=True)


def arm_accuracy(evaluation: Evaluation, draws: int, arms: Collection[str] = ()) -> pd.DataFrame:
    """Top-1 over all images, and the gain, for each arm: one row an arm and quantity (`top1`, `gain`), with interval.

    `arms`: only these. Seeds and images are resampled; the species are the ones meant. Columns also: arm, pool, k, design,
    `expected_animals` (0 from scratch), what the source was made of (means over seeds; by seed in lists, `…_by_seed`), and
    `by_seed` (list).
    """
    everything = pd.Series("all", index=evaluation.classes.index)
    runs = evaluation.runs[evaluation.runs["arm"].isin(arms)] if arms else evaluation.runs
    by_arm = runs.groupby("arm", sort=False)
    made_of = by_arm[["animal_classes", "pretrain_images", "pretrain_steps"]]
    facts = by_arm[["pool", "k", "design"]].first().join(made_of.mean()).join(made_of.agg(list).add_suffix("_by_seed"))
    source = load_class_table(evaluation.study.source.class_table)
    facts["expected_animals"] = [
        POOLS[pool].expected_animals(source, k) if pool in POOLS else 0.0 for pool, k in zip(facts["pool"], facts["k"], strict=True)
    ]
    rows = []
    for arm, fact in facts.iterrows():
        for quantity, values in {"top1": evaluation.correct[arm], "gain": evaluation.difference(arm)}.items():
            interval = bootstrap_means(values, evaluation.labels, everything, resample_classes=False, draws=draws)
            rows.append(
                {
                    "arm": arm,
                    **fact,
                    "quantity": quantity,
                    "by_seed": values.mean(axis=1).tolist(),
                    **interval.iloc[0].drop("group"),
                }
            )
    return pd.DataFrame(rows)


def pool_contrasts(evaluation: Evaluation, draws: int) -> pd.DataFrame:
    """Top-1 of one pool minus another's with equally many classes, paired by image and seed, with interval.

    One row a pair and k that both have: first, second, k, mean, low, high. Seeds and images are resampled.
    """
    everything = pd.Series("all", index=evaluation.classes.index)
    rows = []
    for first, second in combinations(("animal", "random", "non_animal"), 2):
        for k in evaluation.study.arms.get(first, []):
            arms = f"{first}-k{k}", f"{second}-k{k}"
            if all(arm in evaluation.correct for arm in arms):
                values = evaluation.difference(*arms)
                interval = bootstrap_means(values, evaluation.labels, everything, resample_classes=False, draws=draws)
                rows.append({"first": first, "second": second, "k": k, **interval.iloc[0].drop("group")})
    return pd.DataFrame(rows)


def animal_share(evaluation: Evaluation) -> float:
    """Expected share of animals in a random subset of the source (the paper's 0.398, Appendix F)."""
    return evaluation.study.animal_share


def taxa_numbers(results: StudyResults) -> dict[str, float | int | str]:
    """Return what the chapter on individual taxa states: fractions, counts and names."""
    species, groups, evaluation = results.species, results.supercategories, results.out_of_domain
    arm, draws = results.view.arm, results.view.draws
    overall = arm_accuracy(evaluation, draws, {arm, SCRATCH}).set_index(["arm", "quantity"])
    gains = groups[groups["quantity"] == "gain"].sort_values("mean")
    by_representation = group_accuracy(evaluation, arm, "representation", draws)
    by_representation = by_representation[by_representation["quantity"] == "gain"].set_index("group")
    numbers: dict[str, float | int | str] = {
        "study": evaluation.study.name,
        "draws": draws,
        "n_seeds": len(evaluation.seeds),
        "n_species": len(species),
        "n_images": len(evaluation.labels),
        "n_families": species["family"].nunique(),
        "n_helped": int((species["mean"] > 0).sum()),
        "share_helped": float((species["mean"] > 0).mean()),
        "n_clearly_helped": int((species["low"] > 0).sum()),
        "n_clearly_hurt": int((species["high"] < 0).sum()),
        "top1_pretrained": overall.at[(arm, "top1"), "mean"],
        "top1_scratch": overall.at[(SCRATCH, "top1"), "mean"],
        "gain": overall.at[(arm, "gain"), "mean"],
        "gain_low": overall.at[(arm, "gain"), "low"],
        "gain_high": overall.at[(arm, "gain"), "high"],
        "most_supercategory": gains.iloc[-1]["group"],
        "most_gain": gains.iloc[-1]["mean"],
        "least_supercategory": gains.iloc[0]["group"],
        "least_gain": gains.iloc[0]["mean"],
    }
    annotated = evaluation.study.representation == "annotated"
    numbers |= _with_correct_images(evaluation, arm, figure1_species(species, evaluation)) if annotated else {}
    best = well_represented(evaluation.well_represented) if annotated else REPRESENTED
    for label, group in {"represented": best, "unrepresented": NONE}.items():
        known = group in by_representation.index
        numbers[f"n_{label}"] = int(by_representation.at[group, "n_classes"]) if known else 0
        for part, column in {"": "mean", "_low": "low", "_high": "high"}.items():
            numbers[f"gain_{label}{part}"] = by_representation.at[group, column] if known else float("nan")
    return numbers


def _with_correct_images(evaluation: Evaluation, arm: str, species: pd.DataFrame) -> dict[str, float]:
    """Correlation of the gain with the number of correct source images, over the species shown (Spearman, with interval).

    Only where the study grades by the annotations; not a number where it cannot be computed.
    """
    correct = correct_images(load_annotations(), evaluation.vote_cut)
    counts = best_represented(evaluation.classes.loc[species["class_id"]], correct)
    try:
        found = estimate_correlation(evaluation.difference(arm), evaluation.labels, counts, rank=True)
    except InputError:  # fewer than four species, or all alike
        return dict.fromkeys(("count_correlation", "count_correlation_low", "count_correlation_high"), float("nan"))
    low, high = found.interval()
    return {"count_correlation": found.mean, "count_correlation_low": low, "count_correlation_high": high}


def subset_numbers(results: StudyResults) -> dict[str, float | int | str]:
    """Return what the chapter on specialised pretraining data states.

    For each domain (`out`, `in`): by arm, e.g. `out_top1_animal_k4`, `out_gain_animal_k4`, and by pair of pools, e.g.
    `out_animal_minus_random_k4`; each with `_low` and `_high`.
    """
    numbers: dict[str, float | int | str] = {
        "study": results.study.name,
        "n_seeds": len(results.out_of_domain.seeds),
        "animal_share": results.animal_share,
    }
    for prefix, evaluation in (("out", results.out_of_domain), ("in", results.in_domain)):
        numbers[f"{prefix}_n_images"] = len(evaluation.labels)
        numbers[f"{prefix}_n_species"] = len(evaluation.classes)
        for row in results.arms(f"{prefix}_{'of_' * (prefix == 'out')}domain").to_dict("records"):
            key = f"{prefix}_{row['quantity']}_{row['arm'].replace('-', '_')}"
            numbers |= {key: row["mean"], f"{key}_low": row["low"], f"{key}_high": row["high"]}
        for row in pool_contrasts(evaluation, results.view.draws).to_dict("records"):
            key = f"{prefix}_{row['first']}_minus_{row['second']}_k{row['k']}"
            numbers |= {key: row["mean"], f"{key}_low": row["low"], f"{key}_high": row["high"]}
    return numbers
