"""Test the parts of a claim on a study's results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from pretraining_gain.errors import InputError
from pretraining_gain.paths import has_results
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.tell import statistics
from pretraining_gain.tell.claims.declarations import CLAIMS, Claim
from pretraining_gain.tell.claims.parts import EQUAL, GREATER, GROUPS, KINDS, SHARE, SPREAD, Part
from pretraining_gain.tell.results.evaluation import Evaluation, View
from pretraining_gain.tell.results.gains import figure1_species
from pretraining_gain.tell.statistics import Answers, Estimate, GroupSpread, Weights


class Record(BaseModel):
    """A part of the ledger, as published."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(Record):
    """One part of a claim: what was compared, the test, and what came out. Effects are fractions (0.01 = one point)."""

    what: str
    target: str = Field(description="name of the downstream")
    test: Literal["greater", "equal"] = Field(description="greater than the bound, or closer to 0 than the bound")
    kind: Literal["arms", "groups", "spread", "share"] = Field(
        description="a weighted sum of arms, or of the gain: a difference between groups of species, a standard deviation "
        "between groups of species, the share of species that gain"
    )
    unit: Literal["points", "%"] = Field(description="in which the effect, times 100, is stated")
    bound: float = Field(description="of `greater`: what must be exceeded; of `equal`: the equivalence margin")
    effect: float
    low: float = Field(description="95 % interval")
    high: float
    p_for: float
    p_against: float = Field(description="before Holm's correction over the parts of the claim")
    p_within: float | None = Field(description="of `greater` than 0: closer to 0 than the margin; before the correction, too")
    p_different: float = Field(description="two-sided, of no difference")
    detectable: float | None = Field(description="effect that is found, or margin that is met, with probability 0.8")
    n_seeds: int
    n_classes: int
    n_images: int

    def effect_text(self) -> str:
        """State the effect with its interval and unit, signed where the kind of estimate has a sign."""
        sign = "+" if KINDS[self.kind].signed else ""
        effect, low, high = (f"{round(100 * value, 1) + 0.0:{sign}.1f}" for value in (self.effect, self.low, self.high))
        return f"{effect} {self.unit} ({low} to {high})".replace("-", "−")


@dataclass(frozen=True)
class Evidence:
    """A study, its results on each downstream that the claims compare, and the margin there, by the downstream's name."""

    study: Study
    evaluations: Mapping[str, Evaluation]
    margins: Mapping[str, float]

    @classmethod
    def of(cls, view: View, study: Study | None = None) -> Evidence:
        """Load the results, graded as `view` says. Raises `InputError` where some are missing.

        `study`: the study of `view` with some of its targets only.
        """
        study = study or load_study(view.study)
        names = {claim.target(study) for claim in CLAIMS if claim.domain in study.domains}
        names |= {arm.downstream for claim in CLAIMS for arm in claim.arms(study)}
        evaluations = {name: view.load(name) for name in sorted(names)}
        return cls(study, evaluations, {name: margin_of(one) for name, one in evaluations.items()})

    @classmethod
    def load(cls, study_name: str) -> Evidence:
        """Load the results of a study by its name, or the path of its file."""
        return cls.of(View(study=study_name))

    @classmethod
    def if_run(cls, study_name: str) -> Evidence | None:
        """Load the results of a study; None where it was not run. Raises `InputError` for an unknown study."""
        return cls.load(study_name) if has_results(load_study(study_name).name) else None

    def seeds(self, claim: Claim) -> list[int]:
        """Return the seeds that every target of a claim has."""
        targets = {arm.downstream for arm in claim.arms(self.study)}
        return [seed for seed in self.study.seeds if all(seed in self.evaluations[name].seeds for name in targets)]

    def target(self, domain: str) -> Evaluation:
        """Return the results on the paper's target of a domain."""
        return self.evaluations[self.study.downstream_in(domain).name]

    def answers(self, part: Part) -> tuple[Answers, Weights]:
        """Return the runs that a part compares, and the weights of their arms.

        Arms of two targets with the same images are first subtracted, run by run: they share their pretraining.
        Raises `InputError` where results are missing or images differ.
        """
        evaluation, weights = self.evaluations[part.downstream], part.own_weights
        answers = evaluation.minus(self.evaluations[part.other]) if part.other else evaluation.answers
        for arm in weights:
            if arm not in answers.correct:
                raise InputError(f"no results of {arm!r} for {part.downstream!r}; there are: {', '.join(answers.correct)}")
        species = species_of(part, evaluation)
        return (answers if len(species) == len(answers.ids) else answers.only(species.index)), weights


def margin_of(evaluation: Evaluation) -> float:
    """Return a target's margin: the study's share of the gain from all classes, or where there is none, in points of top-1."""
    study = evaluation.study
    if study.margin_share is None or study.everything not in evaluation.correct:
        return study.margin
    gain = evaluation.correct[study.everything].mean() - evaluation.correct[SCRATCH].mean()
    return float(study.margin_share * gain) if gain > 0 else study.margin


def species_of(part: Part, evaluation: Evaluation) -> pd.DataFrame:
    """Return the species that a part is about, as `Evaluation.species` has them: of compared groups, those whose is stated."""
    species = figure1_species(evaluation.species, evaluation) if part.figure1_only else evaluation.species
    columns = [one for one in (part.column, part.within) if one] if part.kind in (GROUPS, SPREAD) else []
    return species[(species[columns] != NOT_STATED).all(axis=1)]


def groups_compare(groups: pd.Series) -> bool:
    """Tell whether a test of differences between groups can stand on these groups of species: most hold two or more."""
    sizes = groups.value_counts()
    return len(sizes) > 1 and bool((sizes > 1).mean() >= 0.5)


def evaluate(
    claim: Claim, evidence: Evidence, threshold: float | None = None, *, detectable: bool = True
) -> list[Outcome]:
    """Test the claim's parts, leaving out those for which too few species are left.

    `threshold` replaces the bound of the parts that say `greater`; computing what is `detectable` takes longer than the
    tests. Raises `InputError` where results are missing.
    """
    found = []
    for part in claim.parts(evidence.study):
        margin = evidence.margins[part.downstream]
        bound = margin if part.test == EQUAL else part.bound if threshold is None else threshold
        species = species_of(part, evidence.evaluations[part.downstream])
        if species.empty:  # the class table states no group
            continue
        answers, weights = evidence.answers(part)
        try:
            estimate = estimate_part(part, answers, weights, species, bound)
        except InputError:  # too few species
            continue
        found.append(outcome_of(replace(part, bound=bound), estimate, margin, detectable=detectable))
    return found


def estimate_part(
    part: Part, answers: Answers, weights: Weights, species: pd.DataFrame, bound: float
) -> Estimate | GroupSpread:
    """Estimate what a part says. Raises `InputError` where there are too few species."""
    if part.kind == SHARE:
        return statistics.estimate_share_positive(answers, weights)
    if part.kind == SPREAD:
        if not groups_compare(species[part.column]):
            raise InputError(f"most of {part.column} hold one species; accepted: groups of two or more")
        return statistics.group_spread(answers, weights, species[part.column], bound)
    if part.between:
        first, second = (species.index[group.mask(species)] for group in part.between)
        within = species[part.within] if part.within else None
        return statistics.estimate_difference(answers, weights, first, second, within)
    return statistics.estimate_mean(answers, weights)


def outcome_of(part: Part, estimate: Estimate | GroupSpread, margin: float, *, detectable: bool = True) -> Outcome:
    """Test a part with its estimate."""
    facts: dict[str, Any] = {name: getattr(part, name) for name in ("what", "test", "kind", "bound")}
    facts |= {"target": part.downstream if part.weights else "", "unit": KINDS[part.kind].unit, "p_within": None}
    facts |= {name: getattr(estimate, name) for name in ("p_different", "n_seeds", "n_classes", "n_images")}
    if isinstance(estimate, GroupSpread):
        facts |= {"effect": estimate.sd, "low": estimate.low, "high": estimate.high, "detectable": estimate.smallest_margin}
        return Outcome(**facts, p_for=estimate.p_equivalent, p_against=1 - estimate.p_equivalent)
    low, high = estimate.interval()
    if part.kind == SHARE:  # no difference is one half
        facts["p_different"] = 2 * min(estimate.p_above(0.5), estimate.p_below(0.5))
    if part.test == GREATER:
        p_for, p_against = estimate.p_above(part.bound), estimate.p_below(part.bound)
        if part.compares:
            facts["p_within"] = estimate.p_equivalent(margin)
    else:
        beyond = min(estimate.p_above(part.bound), estimate.p_below(-part.bound))
        p_for, p_against = estimate.p_equivalent(part.bound), min(1.0, 2 * beyond)
    size: float | None = None
    if detectable:
        find = statistics.smallest_margin if part.test == EQUAL else statistics.smallest_detectable
        found = find(estimate.se, estimate.df)
        size = found if np.isfinite(found) else None
    tests = {"effect": estimate.mean, "low": low, "high": high, "p_for": p_for, "p_against": p_against}
    return Outcome(**facts | tests, detectable=size)
