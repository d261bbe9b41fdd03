"""Shuffle labels in real results, so that nothing is left to find and p-values should be about uniform."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import kstest

from pretraining_gain.tell.claims.declarations import CLAIMS, Claim
from pretraining_gain.tell.claims.evidence import Evidence, evaluate
from pretraining_gain.tell.claims.ledger import decide
from pretraining_gain.tell.claims.parts import CONTRADICTED, GROUPS, SPREAD, SUPPORTED
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.statistics import LEVEL


def permutation_rows(claim: Claim, evidence: Evidence, shuffles: int, seed: int) -> Iterator[dict[str, Any]]:
    """Count how often a claim's tests find something after shuffling: the labels by which the claim groups species, or the
    pools, where each part compares two of the same k. Yields one row; for pools another without the arms' means.

    `significant`: share of two-sided p-values (for spreads: of equal means) below the level; `uniform_distance`: largest
    distance of their distribution from the uniform one (Kolmogorov); `supported` and `contradicted`: the claim's verdicts.
    Randomness: `seed`.
    """
    parts, name = claim.parts(evidence.study), claim.target(evidence.study)
    real = evidence.evaluations[name]
    columns = list(dict.fromkeys(part.column for part in parts if part.kind in (GROUPS, SPREAD)))
    pools = [{*arms} for arms in _pools_by_k(real)]
    if columns:
        what, ways = f"{' and '.join(columns)} among species", {"as they are": False}
    elif all(len(part.own_weights) == 2 and any(part.own_weights.keys() <= arms for arms in pools) for part in parts):
        what, ways = "pools within k, seed by seed", {"as they are": False, "each arm's mean taken off": True}
    else:
        return
    for values, centred in ways.items():
        rng = np.random.default_rng([seed, CLAIMS.index(claim) + 1, centred])
        p_values, verdicts = [], []
        for _ in range(shuffles):
            if columns:  # deal the labels out to other species, which keep their results
                dealt = {column: rng.permutation(real.species[column].to_numpy()) for column in columns}
                shown = replace(real, relabelled=real.species.assign(**dealt))
            else:
                shown = _shuffle_pools(real, rng, centred)
            outcomes = evaluate(claim, replace(evidence, evaluations={**evidence.evaluations, name: shown}), detectable=False)
            p_values += [outcome.p_different for outcome in outcomes]
            verdicts.append(decide(outcomes)[0])
        yield {
            "claim": claim.id, "shuffled": what, "values": values, "significant": float(np.mean(np.array(p_values) < LEVEL)),
            "uniform_distance": float(kstest(p_values, "uniform").statistic), "supported": verdicts.count(SUPPORTED) / shuffles,
            "contradicted": verdicts.count(CONTRADICTED) / shuffles, "p_values": len(p_values), "repetitions": shuffles,
            "seed": seed, "level": LEVEL,
        }  # fmt: skip


def _shuffle_pools(evaluation: Evaluation, rng: np.random.Generator, centred: bool) -> Evaluation:
    """Swap the arms of the pools within each k and seed; `centred`: without each arm's mean, which would make seeds differ."""
    correct = dict(evaluation.correct)
    for names in _pools_by_k(evaluation):
        arms = np.stack([correct[name].astype(float) for name in names])
        if centred:
            arms -= arms.mean(axis=(1, 2), keepdims=True)
        order = rng.permuted(np.tile(np.arange(len(names)), (arms.shape[1], 1)), axis=1).T
        correct |= dict(zip(names, np.take_along_axis(arms, order[:, :, None], axis=0), strict=True))
    return replace(evaluation, correct=correct)


def _pools_by_k(evaluation: Evaluation) -> list[list[str]]:
    """Return the names of the arms of each number of classes that two or more pools have."""
    arms = evaluation.study.arms
    by_k = [[f"{pool}-k{k}" for pool in sorted(arms) if k in arms[pool]] for k in sorted(set().union(*arms.values()))]
    there = [[name for name in names if name in evaluation.correct] for names in by_k]
    return [names for names in there if len(names) > 1]
