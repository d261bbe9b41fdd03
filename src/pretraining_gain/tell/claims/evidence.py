"""Test the parts of a claim on a study's results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.tell import statistics
from pretraining_gain.tell.claims.declarations import CLAIMS, EQUAL, GREATER, GROUPS, SHARE, SPREAD, Arm, Claim, Part
from pretraining_gain.tell.results.evaluation import Evaluation, View, load_evaluation
from pretraining_gain.tell.results.gains import figure1_species
from pretraining_gain.tell.statistics import Estimate, GroupSpread


@dataclass(frozen=True)
class Evidence:
    """A study and its results on each downstream that the claims compare, by the downstream's name."""

    study: Study
    evaluations: Mapping[str, Evaluation]

    @classmethod
    def of(cls, view: View) -> Evidence:
        """Load the results, graded as `view` says. Raises `InputError` where some are missing."""
        study = load_study(view.study)
        names = {study.downstream_in(domain).name for domain in study.domains}
        names |= {arm.downstream for claim in CLAIMS for arm in claim.arms(study)}
        grades: dict[str, Any] = {"vote_cut": view.vote_cut, "well_represented": view.well_represented}
        return cls(study, {name: replace(load_evaluation(view.study, name), **grades) for name in sorted(names)})

    @classmethod
    def load(cls, study_name: str) -> Evidence:
        """Load the results of a study by its name, or the path of its file."""
        return cls.of(View(study=study_name, draws=1))

    @property
    def out(self) -> Evaluation:
        """Results on the paper's out-of-domain target."""
        return self.by_domain["out_of_domain"]

    @property
    def by_domain(self) -> dict[str, Evaluation]:
        """Results on the paper's target of each domain that the study has."""
        return {domain: self.evaluations[self.study.downstream_in(domain).name] for domain in self.study.domains}

    def contrast(self, weights: Mapping[Arm, float]) -> np.ndarray | None:
        """Return the weighted sum of arms (S, N), paired by image and seed; None where downstreams differ in images."""
        by_downstream: dict[str, dict[str, float]] = {}
        for arm, weight in weights.items():
            by_downstream.setdefault(arm.downstream, {})[arm.name] = weight
        images = [self.evaluations[name].image_ids for name in by_downstream]
        if not all(np.array_equal(images[0], others) for others in images[1:]):
            return None
        return np.sum([self.evaluations[name].contrast(arms) for name, arms in by_downstream.items()], axis=0)


@dataclass(frozen=True)
class Outcome:
    """A part with the outcome of its test, in fractions of top-1 (of `share`: of species), and what it was estimated from.

    `p_for` is small when the part holds, `p_against` when its opposite does. `values` (S, N), `labels` (N,).
    """

    part: Part
    effect: float
    low: float
    high: float
    p_for: float
    p_against: float
    n_seeds: int
    n_classes: int
    n_images: int
    estimate: Estimate | GroupSpread
    values: np.ndarray
    labels: np.ndarray

    @property
    def detectable(self) -> float:
        """The true effect that is found, or the margin that no effect satisfies, with probability 0.8; slow."""
        if isinstance(self.estimate, GroupSpread):
            return self.estimate.smallest_margin
        find = statistics.smallest_margin if self.part.test == EQUAL else statistics.smallest_detectable
        return find(self.estimate.se, self.estimate.df)


def evaluate(claim: Claim, evidence: Evidence, threshold: float | None = None) -> list[Outcome]:
    """Test the claim's parts, leaving out those for which too few species are left.

    `threshold` replaces the bound of the parts that say `greater`. Raises `InputError` where results are missing.
    """
    parts = claim.parts(evidence.study)
    if threshold is not None:
        parts = [replace(part, bound=threshold) if part.test == GREATER else part for part in parts]
    return [outcome for part in parts if (outcome := evaluate_part(part, evidence)) is not None]


def evaluate_part(part: Part, evidence: Evidence) -> Outcome | None:
    """Estimate what the part says and test it; None where images differ or too few species are left."""
    values = evidence.contrast(part.weights)
    if values is None:
        return None
    evaluation = evidence.evaluations[part.downstream]
    labels, species = evaluation.labels, species_of(part, evaluation)
    images = np.isin(labels, species.index)
    values, labels = values[:, images], labels[images]
    estimate: Estimate | GroupSpread | None = None
    if part.kind == SHARE:
        estimate = statistics.estimate_share_positive(values, labels) if len(species) else None
    elif part.kind == SPREAD:
        groups = species[part.column]
        if 1 < groups.nunique() < len(groups):
            estimate = statistics.group_spread(values, labels, groups, part.bound)
    elif part.between:
        first, second = (set(species.index[group.mask(species)]) for group in part.between)
        if min(len(first), len(second)) > 1:
            estimate = statistics.estimate_difference(values, labels, first, second)
    else:
        estimate = statistics.estimate_mean(values, labels, classes="fixed")
    return outcome_of(part, estimate, values, labels) if estimate else None


def species_of(part: Part, evaluation: Evaluation) -> pd.DataFrame:
    """Return the species that a part is about, as `Evaluation.species` has them: of compared groups, those whose is stated."""
    species = figure1_species(evaluation.species, evaluation) if part.figure1_only else evaluation.species
    return species[species[part.column] != NOT_STATED] if part.kind in (GROUPS, SPREAD) else species


def outcome_of(part: Part, estimate: Estimate | GroupSpread, values: np.ndarray, labels: np.ndarray) -> Outcome:
    """Test the part with its estimate. p against is strict, as it is compared with levels below 0.05 (Holm)."""
    if isinstance(estimate, GroupSpread):
        effect, low, high = estimate.sd, estimate.low, estimate.high
        p_for, p_against = estimate.p_equivalent, 1 - estimate.p_equivalent
        sizes = len(values), estimate.n_classes, len(labels)
    else:
        effect, (low, high) = estimate.mean, estimate.interval()
        above, below = estimate.p_above(part.bound), estimate.p_below(-part.bound)
        if part.test == GREATER:
            p_for, p_against = above, estimate.strict(estimate.p_below(part.bound), part.bound)
        else:
            beyond = min(estimate.strict(above, part.bound), estimate.strict(below, -part.bound))
            p_for, p_against = estimate.p_equivalent(part.bound), min(1.0, 2 * beyond)
        sizes = estimate.n_seeds, estimate.n_classes, estimate.n_images
    return Outcome(part, effect, low, high, p_for, p_against, *sizes, estimate, values, labels)
