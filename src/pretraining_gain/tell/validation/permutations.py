"""Controls on real results: names shuffled so that nothing is left to find. p-values should be about uniform."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import kstest

from pretraining_gain.plan.representation import NONE
from pretraining_gain.tell.claims.evidence import Evidence, Outcome, evaluate
from pretraining_gain.tell.claims.ledger import ALPHA, CONTRADICTED, SUPPORTED, decide
from pretraining_gain.tell.statistics import estimate_difference, estimate_mean, group_spread
from pretraining_gain.tell.validation.scenarios import BY_ID

POOLS = ("animal", "non_animal", "random")
#: What is shuffled, by claim.
SHUFFLED = {
    "C2": "representation among species",
    "C3": "families among species",
    "C4": "supercategories among species",
    "C7": "pools within k, seed by seed",
    "C8": "pools within k, seed by seed",
    "C10": "pools within k, seed by seed",
}


def permutation_rows(claim: str, evidence: Evidence, shuffles: int, seed: int) -> list[dict[str, float | str | int]]:
    """How often a claim's tests find something after shuffling: one row, for pools also one with arms' real means taken off.

    `significant`: share of two-sided p-values (for spreads: of equal means) below the level; `uniform_distance`: largest
    distance of their distribution from the uniform one (Kolmogorov); `supported` and `contradicted`: the claim's verdicts.
    Randomness: `seed` only.
    """
    of_pools, kinds = SHUFFLED[claim].startswith("pools"), {"as they are": False}
    if of_pools:
        kinds["each arm's mean taken off"] = True
    rows = []
    for values, centred in kinds.items():
        rng = np.random.default_rng([seed, int(claim[1:]), centred])
        p_values, verdicts = [], []
        for _ in range(shuffles):
            shown = _shuffle_pools(evidence, rng, centred) if of_pools else _relabel(claim, evidence, rng)
            p_values += _two_sided(claim, shown)
            verdicts.append(decide(evaluate(BY_ID[claim], shown))[0])
        rows.append({
            "claim": claim, "shuffled": SHUFFLED[claim], "values": values, "significant": np.mean(np.array(p_values) < ALPHA),
            "uniform_distance": kstest(p_values, "uniform").statistic, "supported": verdicts.count(SUPPORTED) / shuffles,
            "contradicted": verdicts.count(CONTRADICTED) / shuffles, "p_values": len(p_values), "repetitions": shuffles,
            "seed": seed, "level": ALPHA,
        })  # fmt: skip
    return rows


def _relabel(claim: str, evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """Species keep their results; their labels are dealt out anew."""
    out = evidence.out
    ids, places = np.unique(out.labels, return_inverse=True)
    dealt = replace(out, labels=rng.permutation(ids)[places])
    return replace(evidence, evaluations={**evidence.evaluations, out.downstream.name: dealt})


def _shuffle_pools(evidence: Evidence, rng: np.random.Generator, centred: bool) -> Evidence:
    """At each k and seed the arms of the pools change names. `centred`: each arm's mean over seeds and images taken off, so
    that what pools really differ by is not turned into a difference between seeds."""
    shown = dict(evidence.evaluations)
    for evaluation in (evidence.out, evidence.inside):
        correct = dict(evaluation.correct)
        for k in sorted({k for pool in POOLS for k in evidence.study.arms.get(pool, [])}):
            names = [f"{pool}-k{k}" for pool in POOLS if k in evidence.study.arms.get(pool, [])]
            arms = np.stack([correct[name].astype(float) for name in names])
            if centred:
                arms = arms - arms.mean(axis=(1, 2), keepdims=True)
            order = rng.permuted(np.tile(np.arange(len(names)), (arms.shape[1], 1)), axis=1).T
            dealt = np.take_along_axis(arms, order[:, :, None], axis=0)
            correct |= dict(zip(names, dealt, strict=True))
        shown[evaluation.downstream.name] = replace(evaluation, correct=correct)
    return replace(evidence, evaluations=shown)


def _two_sided(claim: str, evidence: Evidence) -> list[float]:
    """p-values of *no difference*, one a test of the claim."""
    out = evidence.out
    gains = None if SHUFFLED[claim].startswith("pools") else out.difference(evidence.study.everything)
    if claim == "C2":
        return [_no_difference(gains, out.labels, out.species["representation"] != NONE)]
    if claim == "C3":
        return [group_spread(gains, out.labels, out.species["family"], evidence.study.margin).p_different]
    if claim == "C4":
        groups = out.species["supercategory"]
        spread = group_spread(gains, out.labels, groups, evidence.study.margin).p_different
        return [spread, _no_difference(gains, out.labels, groups == "Mammals")]
    return [_of_contrast(part) for part in evaluate(BY_ID[claim], evidence)]


def _no_difference(gains: np.ndarray, labels: np.ndarray, chosen: pd.Series) -> float:
    estimate = estimate_difference(gains, labels, set(chosen.index[chosen]), set(chosen.index[~chosen]))
    return 2 * min(estimate.p_above(), estimate.p_below())


def _of_contrast(part: Outcome) -> float:
    estimate = estimate_mean(part.values, part.labels, classes="fixed")
    return 2 * min(estimate.p_above(), estimate.p_below())
