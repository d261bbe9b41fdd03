"""Beyond the paper's design: one factor changed at a time, and representation assigned by chance (paper, 2, 3 and F)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.pools import SCRATCH, sample_classes
from pretraining_gain.plan.runs import design_runs
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.results.evaluation import Evaluation, load_evaluation
from pretraining_gain.tell.statistics import Estimate, estimate_mean

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

HALF = "half_animal"
#: The comparison that tells Figures 3 and 4 apart, at the largest k that both pools have.
CONTRAST = ("animal", "non_animal")


def design_curves(evaluation: Evaluation, study_name: str, arms: pd.DataFrame) -> pd.DataFrame:
    """Top-1 of every arm of each design that has curves, and of the paper's arms beside them, with interval.

    Rows of `arms`, which is as from `arm_accuracy`, with `panel` (the design's name) and `way` (`as published` or the design's
    title). A design's arm that equals the paper's is the paper's run.
    """
    top1 = arms[arms["quantity"] == "top1"].set_index("arm", drop=False)
    parts = []
    for design in evaluation.study.designs:
        runs = design_runs(evaluation.study, design, study_name)
        own = list(dict.fromkeys(run.arm for run in runs if run.downstream == evaluation.downstream.name))
        if len(own) < 2:
            continue
        plain = [f"{pool}-k{k}" for pool, ks in design.arms.items() for k in ks]
        for way, names in (("as published", plain), (design.title, own)):
            parts.append(top1.loc[[name for name in names if name in top1.index]].assign(panel=design.name, way=way))
    return pd.concat(parts, ignore_index=True) if parts else top1[:0]


def freezing_by_domain(study_name: str, evaluations: list[Evaluation]) -> pd.DataFrame:
    """Each target finetuned both ways: the gain of all source classes, and animal minus non-animal classes.

    One row a target, way and quantity: domain, target, way, quantity, the estimate (species as they are), and the
    `downstream` and `arms` that it is of. Empty when the study finetunes each target one way only.
    """
    rows = []
    for evaluation in evaluations:
        other = evaluation.study.finetuned_the_other_way(evaluation.downstream)
        if other is None:
            continue
        for one in (evaluation, load_evaluation(study_name, other.name)):
            for quantity, weights in _quantities(one).items():
                facts = {
                    "domain": one.downstream.domain.replace("_", " "),
                    "target": evaluation.downstream.title,
                    "way": "backbone frozen" if one.downstream.recipe.resolve().freeze_backbone else "everything trained",
                    "quantity": quantity,
                    "downstream": one.downstream.name,
                    "arms": list(weights),
                }
                estimate = estimate_mean(one.contrast(weights), one.labels, classes="fixed")
                rows.append(facts | _row(estimate))
    return pd.DataFrame(rows, columns=None if rows else ["downstream", "arms"])


def _quantities(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    arms = evaluation.study.arms
    found = {"gain of all classes": {evaluation.study.everything: 1.0, SCRATCH: -1.0}}
    shared = set(arms.get(CONTRAST[0], [])) & set(arms.get(CONTRAST[1], []))
    first, second = (f"{pool}-k{max(shared, default=0)}" for pool in CONTRAST)
    if {first, second} <= set(evaluation.correct):
        found["animal − non-animal classes"] = {first: 1.0, second: -1.0}
    return {name: weights for name, weights in found.items() if set(weights) <= set(evaluation.correct)}


def assigned_arms(evaluation: Evaluation) -> list[str]:
    """The arm whose pretraining classes chance decided, if the study has one."""
    return [name for name in evaluation.correct if name.startswith(f"{HALF}-k")][:1]


def assigned_effect(evaluation: Evaluation) -> tuple[pd.DataFrame, Estimate] | None:
    """What it changes for a species that its own class is in the source, when chance decides it.

    Seeds 2j and 2j + 1 pretrain on opposite halves of the animals, so each pair shows every represented species once
    in the source and once not. Estimand: top-1 with its class in the source minus top-1 without, same images, mean over
    species (random) that a source class names. Returns one row a species (name, mean, n_images) and the estimate over all;
    None where the study has no such runs.
    """
    if not (arms := assigned_arms(evaluation)):
        return None
    [arm] = arms
    seeds = evaluation.seeds_of[arm]
    pairs = [seed for seed in seeds if seed % 2 == 0 and seed + 1 in seeds]
    named = evaluation.classes.loc[evaluation.classes["represented_by"] != "", "represented_by"]
    chosen = np.isin(evaluation.labels, named.index)
    labels, correct = evaluation.labels[chosen], evaluation.correct[arm][:, chosen].astype(float)
    values = []
    for seed in pairs:
        even, odd = correct[seeds.index(seed)], correct[seeds.index(seed + 1)]
        values.append((even - odd) * _sign(evaluation, int(arm.split("-k")[1]), seed, named, labels))
    stacked = np.stack(values)
    estimate = estimate_mean(stacked, labels, classes="random")
    by_class = pd.DataFrame({"class_id": labels, "mean": stacked.mean(axis=0)}).groupby("class_id")["mean"]
    table = by_class.agg(mean="mean", n_images="size").join(evaluation.species[["name", "supercategory"]])
    return table.sort_values("mean", ascending=False).reset_index(), estimate


def assigned_effects(evaluations: list[Evaluation]) -> dict[str, tuple[pd.DataFrame, Estimate]]:
    """`assigned_effect` on each target that has such runs, by domain (`out of domain`, `in domain`)."""
    found = {one.downstream.domain.replace("_", " "): assigned_effect(one) for one in evaluations}
    return {domain: effect for domain, effect in found.items() if effect}


def _sign(evaluation: Evaluation, k: int, seed: int, named: pd.Series, labels: np.ndarray) -> np.ndarray:
    """+1 for images of species that the even seed's source holds, -1 for those that the odd one's holds: (N,)."""
    source = load_class_table(evaluation.study.source.class_table or "")
    held = set(source.loc[list(sample_classes(source, HALF, k, seed).class_ids), "key"])
    inside = named.map(lambda keys: not held.isdisjoint(keys.split(";")))
    return np.where(inside.loc[labels].to_numpy(), 1.0, -1.0)


def _row(estimate: Estimate) -> dict[str, float]:
    low, high = estimate.interval()
    sizes = {"n_seeds": estimate.n_seeds, "n_images": estimate.n_images}
    return {"mean": estimate.mean, "low": low, "high": high} | sizes


def design_numbers(results: StudyResults) -> dict[str, Any]:
    """Return top-1 of each arm of each design, the cells of the 2×2 table, and the effect of assignment."""
    numbers: dict[str, Any] = {}
    for row in results.designs.to_dict("records"):
        way = "published" if row["way"] == "as published" else "changed"
        key = f"{row['panel']}_{way}_{row['pool']}_k{row['k']}"
        numbers |= {key: row["mean"], f"{key}_low": row["low"], f"{key}_high": row["high"]}
    for row in results.freezing.to_dict("records"):
        quantity = "gain" if row["quantity"].startswith("gain") else "contrast"
        key = "_".join([row["domain"].split()[0], "frozen" if "frozen" in row["way"] else "full", quantity])
        numbers |= {key: row["mean"], f"{key}_low": row["low"], f"{key}_high": row["high"]}
    for domain, (_, estimate) in results.assigned.items():
        low, high = estimate.interval()
        key = f"{domain.split()[0]}_assigned"
        numbers |= {key: estimate.mean, f"{key}_low": low, f"{key}_high": high}
        numbers |= {f"{key}_n_species": estimate.n_classes, f"{key}_n_pairs": estimate.n_seeds}
    return numbers
