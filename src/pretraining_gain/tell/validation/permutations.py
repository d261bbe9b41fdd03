"""Shuffle labels in real results, so that nothing is left to find and p-values should be about uniform."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.stats import kstest

from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.claims.declarations import CLAIMS, Claim
from pretraining_gain.tell.claims.evidence import Evidence, evaluate
from pretraining_gain.tell.claims.ledger import decide
from pretraining_gain.tell.claims.parts import CONTRADICTED, GROUPS, SPREAD, SUPPORTED
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.statistics import LEVEL

POOLS = "pools within k, seed by seed"
Row = dict[str, float | str | int]


def shuffled(claim: Claim, study: Study) -> str:
    """Name what is shuffled: a label of species; or pools, if each part compares two of the same k; or nothing."""
    if columns := _grouped_by(claim, study):
        return f"{' and '.join(columns)} among species"
    arms = [{arm.name for arm in part.weights} for part in claim.parts(study)]
    same_k = [any(len(names) == 2 and names <= {*pools} for pools in _pools_by_k(study)) for names in arms]
    return POOLS if arms and all(same_k) else ""


def _grouped_by(claim: Claim, study: Study) -> list[str]:
    """Return the columns of the species table by which the claim groups species."""
    return list(dict.fromkeys(part.column for part in claim.parts(study) if part.kind in (GROUPS, SPREAD)))


def _pools_by_k(study: Study) -> list[list[str]]:
    """Return the names of the arms of each number of classes that two or more pools have."""
    ks = sorted({k for ks in study.arms.values() for k in ks})
    found = [[f"{pool}-k{k}" for pool in sorted(study.arms) if k in study.arms[pool]] for k in ks]
    return [arms for arms in found if len(arms) > 1]


def permutation_rows(claim: Claim, evidence: Evidence, shuffles: int, seed: int) -> Iterator[Row]:
    """Count how often a claim's tests find something after shuffling: one row; for pools another without the arms' means.

    `significant`: share of two-sided p-values (for spreads: of equal means) below the level; `uniform_distance`: largest
    distance of their distribution from the uniform one (Kolmogorov); `supported` and `contradicted`: the claim's verdicts.
    Randomness: `seed`.
    """
    what, name = shuffled(claim, evidence.study), claim.target(evidence.study)
    columns, real = _grouped_by(claim, evidence.study), evidence.evaluations[name]
    kinds = {"as they are": False} | ({"each arm's mean taken off": True} if what == POOLS else {})
    for values, centred in kinds.items():
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
    for pools in _pools_by_k(evaluation.study):
        if len(names := [name for name in pools if name in correct]) < 2:
            continue
        arms = np.stack([correct[name].astype(float) for name in names])
        if centred:
            arms = arms - arms.mean(axis=(1, 2), keepdims=True)
        order = rng.permuted(np.tile(np.arange(len(names)), (arms.shape[1], 1)), axis=1).T
        correct |= dict(zip(names, np.take_along_axis(arms, order[:, :, None], axis=0), strict=True))
    return replace(evaluation, correct=correct)
