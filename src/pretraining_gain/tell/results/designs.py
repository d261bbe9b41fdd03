"""Beyond the paper's design: one factor changed at a time, and representation assigned by chance (paper, 2 and 3)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from pretraining_gain.plan.pools import POOLS, SCRATCH, sample_classes
from pretraining_gain.plan.representation import is_named
from pretraining_gain.plan.runs import design_arms
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.results.gains import row_of, with_interval
from pretraining_gain.tell.statistics import Answers, Estimate, combine, estimate_mean, group_means

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

#: A target, its results with everything trained, and those with a frozen backbone.
BothWays = tuple[Evaluation, Evaluation, Evaluation]
#: Reads the results on a target by its name.
Load = Callable[[str], Evaluation]


def design_curves(evaluation: Evaluation, study_name: str, arms: pd.DataFrame) -> pd.DataFrame:
    """Select top-1 of every arm of each design that has two or more, and of the paper's arms beside them.

    Returns rows of `arms` (from `arm_accuracy`) with `panel` (the design's name) and `way` (`as published`, or the design's
    title). A design's arm that equals the paper's is the paper's run.
    """
    top1 = arms[arms["quantity"] == "top1"].set_index("arm", drop=False)
    parts = []
    for design in evaluation.study.designs:
        own = design_arms(study_name, design, evaluation.downstream.name)
        published = [run.arm for run in own.values()]
        for way, names in (("as published", published), (design.title, own)) if len(own) > 1 else ():
            parts.append(top1.loc[[name for name in names if name in top1.index]].assign(panel=design.name, way=way))
    return pd.concat(parts, ignore_index=True) if parts else top1[:0]


def design_contrasts(evaluation: Evaluation, study_name: str) -> dict[str, Estimate]:
    """Estimate how the arms of each design that has two or more differ in top-1, by name.

    `matched_images_all_k200_minus_animal_k59`: both in the design, the one with more classes first, of
    equally many the animals.
    `matched_images_all_k200_change`: in the design minus in the paper's own. None where an arm has no runs on this target.
    """
    found = {}
    for design in evaluation.study.designs:
        arms = design_arms(study_name, design, evaluation.downstream.name)
        names = {arm: run.arm.replace("-", "_") for arm, run in arms.items()}
        ordered = sorted(arms, key=lambda arm: (arms[arm].k, arms[arm].pool == "animal"))
        pairs = {(more, fewer): f"{names[more]}_minus_{names[fewer]}" for fewer, more in combinations(ordered, 2)}
        if pairs:
            pairs |= {(arm, run.arm): f"{names[arm]}_change" for arm, run in arms.items()}
        for (arm, other), name in pairs.items():
            if arm != other and {arm, other} <= set(evaluation.correct):
                found[f"{design.name}_{name}"] = estimate_mean(evaluation.answers, evaluation.gain(arm, other))
    return found


def freezing_by_domain(both_ways: list[BothWays]) -> pd.DataFrame:
    """Estimate, with each target finetuned both ways, the gain of all source classes, and animal minus non-animal classes.

    One row per target, way and quantity: domain, target, way, quantity, and the estimate for these species. Empty when the
    study finetunes each target one way only.
    """
    rows = []
    for evaluation, full, frozen in both_ways:
        target, study = evaluation.downstream, evaluation.study
        start = "all classes" if study.main_start == "all" else "the weights"
        animals, others = study.animals_and_others
        quantities = {
            f"gain of {start}": {study.everything: 1.0, SCRATCH: -1.0},
            "animal − non-animal classes": {animals: 1.0, others: -1.0},
        }
        for way, one in {"everything trained": full, "backbone frozen": frozen}.items():
            facts = {"domain": target.domain.replace("_", " "), "target": target.title, "way": way}
            for quantity, weights in quantities.items():
                if set(weights) <= set(one.correct):
                    rows.append(facts | {"quantity": quantity, **row_of(estimate_mean(one.answers, weights))})
    return pd.DataFrame(rows)


def finetuned_both_ways(evaluations: list[Evaluation], load: Load) -> list[BothWays]:
    """Return each target that is finetuned both ways, and its results with everything trained and with a frozen backbone."""
    found = []
    for evaluation in evaluations:
        if other := evaluation.study.finetuned_the_other_way(evaluation.downstream):
            pair = [evaluation, load(other.name)]
            full, frozen = sorted(pair, key=lambda one: one.downstream.recipe.resolve().freeze_backbone)
            found.append((evaluation, full, frozen))
    return found


def gains_over_scratch_alone(study: Study, load: Load) -> dict[str, Estimate]:
    """Estimate the gain of all source classes over each target that trains from scratch only, by that target's name.

    Such a target has the images of another and its own schedule; the gain is the other's top-1 minus its own.
    """
    found = {}
    for target in study.downstreams:
        others = [one for one in study.downstreams if one.images == target.images and not one.pools]
        if target.pools == [SCRATCH] and others:
            main, alone = load(others[0].name), load(target.name)
            answers = Answers({**main.correct, target.name: alone.correct[SCRATCH]}, main.labels)
            found[target.name] = estimate_mean(answers, {study.everything: 1.0, target.name: -1.0})
    return found


def domain_and_freezing(both_ways: list[BothWays]) -> dict[str, Estimate]:
    """Estimate how animal minus non-animal classes changes with freezing, with the domain, and with both: differences in
    differences, by name (`out_freezing_adds`, `domain_adds_full`, `domain_by_freezing`, …).

    Frozen and full networks share their pretraining and images, so they are subtracted run by run. Runs on targets of two
    domains count as independent. Empty unless targets of both domains are finetuned both ways.
    """
    contrasts: dict[tuple[str, str], Estimate] = {}
    for evaluation, full, frozen in both_ways:
        animals, others = evaluation.study.animals_and_others
        weights = {animals: 1.0, others: -1.0}
        domain, added = evaluation.downstream.domain.split("_")[0], frozen.minus(full)
        for way, answers in {"full": full.answers, "frozen": frozen.answers, "adds": added}.items():
            if set(weights) <= set(answers.correct):
                contrasts[domain, way] = estimate_mean(answers, weights)
    if len(contrasts) < 6:
        return {}
    found = {f"{domain}_freezing_adds": contrasts[domain, "adds"] for domain in ("out", "in")}
    for way, name in {"full": "domain_adds_full", "frozen": "domain_adds_frozen", "adds": "domain_by_freezing"}.items():
        found[name] = combine([contrasts["in", way], contrasts["out", way]], [1.0, -1.0])
    return found


def assigned_effect(evaluation: Evaluation) -> tuple[pd.DataFrame, Estimate] | None:
    """Estimate the effect on a species of its own class being in the source, when chance decides it.

    Seeds 2j and 2j + 1 of a pool that takes half pretrain on opposite halves, so each pair shows every represented
    species once in the source and once not. Estimand: top-1 with its class in the source minus top-1 without, same
    images, mean over species (random) that a source class names. A pair whose halves both show a species, or neither, says
    nothing of it and counts nothing. Returns one row per species (name, mean, low, high, n_images, supercategory) and the
    estimate over all; None where the study has no such runs, no pair of seeds, or no pair that decides of a species.
    """
    halves = [name for name, pool in POOLS.items() if pool.takes == "half"]
    runs = evaluation.runs[evaluation.runs["pool"].isin(halves)]
    if runs.empty:
        return None
    arm, pool, k = runs.iloc[0][["arm", "pool", "k"]]
    seeds = evaluation.seeds_of[arm]
    named = evaluation.classes[is_named(evaluation.classes)].get("represented_by", pd.Series(dtype=str))
    chosen = np.isin(evaluation.labels, named.index)
    labels, correct = evaluation.labels[chosen], evaluation.correct[arm][:, chosen].astype(float)
    if not chosen.all():  # what one half does for all species alike
        others = ~np.isin(evaluation.answers.ids, named.index)
        correct -= evaluation.answers.means[arm][:, others].mean(axis=1, keepdims=True)
    source, pairs = evaluation.study.source_classes, [seed for seed in seeds if seed % 2 == 0 and seed + 1 in seeds]
    if not pairs or named.empty:
        return None
    signs, differences = [], []
    for even in pairs:
        shown = [set(source.loc[list(sample_classes(source, pool, k, seed).class_ids), "key"]) for seed in (even, even + 1)]
        in_even, in_odd = (named.map(lambda keys, held=held: not held.isdisjoint(keys.split(";"))) for held in shown)
        signs.append((in_even.astype(int) - in_odd.astype(int)).loc[labels].to_numpy())
        differences.append(correct[seeds.index(even)] - correct[seeds.index(even + 1)])
    decided = np.count_nonzero(signs, axis=0)
    if len(np.unique(labels[decided > 0])) < 2:
        return None
    values = (np.stack(signs) * np.stack(differences) * len(pairs) / np.maximum(decided, 1))[:, decided > 0]
    answers, weights = Answers({arm: values}, labels[decided > 0]), {arm: 1.0}
    each = pd.Series(answers.ids, index=answers.ids)
    table = group_means(answers, weights, each, random_classes=False).rename(columns={"group": "class_id"})
    half = stdtrit(table["df"], 0.975) * table["se"]
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half)  # a difference may be negative, a share may not
    table = table.join(evaluation.species[["name", "supercategory"]], on="class_id")
    return table.sort_values("mean", ascending=False, ignore_index=True), estimate_mean(answers, weights, random_classes=True)


def assigned_effects(evaluations: list[Evaluation]) -> dict[str, tuple[pd.DataFrame, Estimate]]:
    """Return `assigned_effect` by domain (`out of domain`, `in domain`): of the first target that has one."""
    found: dict[str, tuple[pd.DataFrame, Estimate]] = {}
    for one in evaluations:
        if effect := assigned_effect(one):
            found.setdefault(one.downstream.domain.replace("_", " "), effect)
    return found


def design_numbers(results: StudyResults) -> dict[str, Any]:
    """Return top-1 of each arm of each design, the cells and differences of the 2×2 table, and the effect of assignment."""
    numbers: dict[str, Any] = {}
    for row in results.designs.to_dict("records"):
        way = "published" if row["way"] == "as published" else "changed"
        numbers |= with_interval(f"{row['panel']}_{way}_{row['pool']}_k{row['k']}", row)
    if len(results.designs):
        numbers["n_design_seeds"] = int(results.designs.loc[results.designs["way"] != "as published", "n_seeds"].min())
    for prefix, (evaluation, _) in results.by_prefix.items():
        for name, found in design_contrasts(evaluation, results.view.study).items():
            numbers |= with_interval(f"{prefix}_{name}", found)
    for row in results.freezing.to_dict("records"):
        way, quantity = "frozen" if "frozen" in row["way"] else "full", "gain" if "gain" in row["quantity"] else "contrast"
        numbers |= with_interval(f"{row['domain'].split()[0]}_{way}_{quantity}", row)
    best = [SCRATCH, results.study.everything, *(f"{pool}-k{max(ks)}" for pool, ks in results.study.arms.items())]
    for evaluation, *ways in results.both_ways:
        for way, one in zip(("full", "frozen"), ways, strict=True):
            for arm in (arm for arm in best if arm in one.correct):
                key = f"{evaluation.downstream.domain.split('_')[0]}_{way}_top1_{arm.replace('-', '_')}"
                numbers |= with_interval(key, estimate_mean(one.answers, {arm: 1.0}))
    if len(results.freezing):
        numbers["n_freezing_seeds"] = int(results.freezing["n_seeds"].min())
    for name, found in gains_over_scratch_alone(results.study, results.load).items():
        numbers |= with_interval(f"{name}_gain", found)
    for name, found in domain_and_freezing(results.both_ways).items():
        numbers |= with_interval(name, found)
    for domain, (_, found) in results.assigned.items():
        key = f"{domain.split()[0]}_assigned"
        numbers |= with_interval(key, found) | {f"{key}_n_species": found.n_classes, f"{key}_n_pairs": found.n_seeds}
    return numbers
