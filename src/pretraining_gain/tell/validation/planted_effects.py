"""Plant known effects in the parts of a claim, and simulate studies in which the claim is true, false or at its bound.

Effects between arms are planted as the smallest change of the arms' top-1 from one common level, effects between species
as the gain of each species, with both arms alike in all else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.claims.declarations import Claim
from pretraining_gain.tell.claims.evidence import Evidence, Outcome, evaluate
from pretraining_gain.tell.claims.parts import ARMS, EQUAL, GREATER, SHARE, SPREAD, Arm, Part
from pretraining_gain.tell.validation.simulator import Simulator, Target

#: A part that is not in question holds by this much (`greater`), or is exactly equal.
CLEAR = 0.15
#: Gain of the average species where the gain is not what is planted.
GAIN = 0.1
#: Simulated studies from which it is known what a design resolves.
PILOTS = 16
ARMS_OF_A_STUDY = 6
#: A margin that no effect meets.
NO_MARGIN = 1e-9


@dataclass(frozen=True)
class Experiment:
    """A claim tested on simulated studies of so many seeds, with the design of the study of a target as measured."""

    claim: Claim
    target: Target
    n_seeds: int
    margin: float

    @property
    def study(self) -> Study:
        return self.target.evaluation.study

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The arms that the claim compares, by the name under which they are simulated."""
        own = self.target.evaluation.downstream.name
        arms = dict.fromkeys(arm for part in self.claim.parts(self.study) for arm in part.weights)
        return {arm.name if arm.downstream == own else f"{arm.downstream} {arm.name}": arm for arm in arms}

    @cached_property
    def others(self) -> dict[str, Arm]:
        """Arms that the claim does not compare, so that each target has at least `ARMS_OF_A_STUDY` to pool runs over."""
        targets = Counter(arm.downstream for arm in self.arms.values())
        missing = [(target, i) for target, n in targets.items() for i in range(ARMS_OF_A_STUDY - n)]
        return {f"{target} other {i}": Arm(target, f"other {i}") for target, i in missing}

    @cached_property
    def parts(self) -> list[Part]:
        """The claim's parts that the target's images and species allow to test."""
        flat = self.target.simulator(dict.fromkeys([*self.arms, *self.others], self.target.top1), self.n_seeds)
        tested = {outcome.what for outcome in self.draw(flat, np.random.default_rng(0))}
        parts = [part for part in self.claim.parts(self.study) if part.what in tested]
        return [replace(part, bound=self.margin) if part.test == EQUAL else part for part in parts]

    @property
    def between_arms(self) -> bool:
        return all(part.kind == ARMS for part in self.parts)

    @cached_property
    def weights(self) -> np.ndarray:
        """(P, A) weight of each arm in each part."""
        return np.array([[part.weights.get(arm, 0.0) for arm in self.arms.values()] for part in self.parts])

    def draw(self, simulator: Simulator, rng: np.random.Generator, *, detectable: bool = False) -> list[Outcome]:
        """Simulate one study and test the claim's parts on it."""
        real, seeds, arms = self.target.evaluation, list(range(simulator.n_seeds)), self.arms | self.others
        by_downstream: dict[str, dict[str, np.ndarray]] = {}
        for name, correct in simulator.draw(rng).items():
            by_downstream.setdefault(arms[name].downstream, {})[arms[name].name] = correct
        evaluations = {
            name: replace(real, seeds_of=dict.fromkeys(correct, seeds), correct=correct, relabelled=real.species)
            for name, correct in by_downstream.items()
        }
        margins = dict.fromkeys(evaluations, self.margin)
        return evaluate(self.claim, Evidence(self.study, evaluations, margins), detectable=detectable)

    def simulator(self, effects: Sequence[float]) -> Simulator:
        """Return the simulator in which each part has this true effect. Raises `InputError` if none can exist."""
        planted = np.asarray(effects, dtype=float)
        if self.between_arms:
            shift = np.linalg.lstsq(self.weights, planted, rcond=None)[0]
            if not np.allclose(self.weights @ shift, planted):
                raise InputError(f"claim {self.claim.id}: no arms have effects {planted.tolist()} in its parts")
            top1: dict[str, Any] = dict(zip(self.arms, self.target.top1 + shift, strict=True))
        else:
            top1 = self._top1_of_species(planted)
        for value in np.concatenate([np.ravel(one) for one in top1.values()]):
            if not 0.005 < value < 0.995:
                raise InputError(f"claim {self.claim.id}: effects {list(effects)} need a top-1 of {value:.3f}")
        top1 |= dict.fromkeys(self.others, self.target.top1)
        return self.target.simulator(top1, self.n_seeds, "fixed" if self.between_arms else "random")

    def _top1_of_species(self, effects: np.ndarray) -> dict[str, np.ndarray]:
        """Plant the gain of each species. Raises `ValueError` for a claim that also compares other arms."""
        species, planted = self.target.evaluation.species, list(zip(self.parts, effects, strict=True))
        if any(part.kind == ARMS or part.weights != self.parts[0].weights for part in self.parts):
            raise ValueError(f"claim {self.claim.id}: planted are effects between arms, or between species, not both")
        gains = np.full(len(species), next((effect for part, effect in planted if part.kind == SHARE), GAIN))
        rest = np.ones(len(species), dtype=bool)
        for part, effect in planted:
            if part.between:
                first = part.between[0].mask(species)
                gains += effect * (first - first.mean())
                rest &= ~first
        for part, effect in planted:
            if part.kind == SPREAD:
                # The part of the spread that differences of groups do not make is among the species outside their first groups.
                pattern = np.zeros(len(species))
                pattern[rest] = _pattern(species.loc[rest, part.column])
                gains += np.sqrt(max(effect**2 - gains.var(), 0.0) / pattern.var()) * pattern
        without, with_ = sorted(self.arms, key=lambda name: self.parts[0].weights[self.arms[name]])
        low = self.target.top1 - gains.mean() / 2
        return {without: np.full(len(species), low), with_: low + gains}

    def consistent(self, effects: Sequence[float]) -> list[float]:
        """Replace the effect of each part that later parts imply, as the last gap and how much gaps close imply the first."""
        found = list(effects)
        for number in reversed(range(len(found) - 1 if self.between_arms else 0)):
            later = self.weights[number + 1 :]
            combination = np.linalg.lstsq(later.T, self.weights[number], rcond=None)[0]
            if np.allclose(combination @ later, self.weights[number]):
                found[number] = float(combination @ found[number + 1 :])
        return found

    def all_at_bound(self) -> list[float]:
        """Return the effects at which each part is just false. A share of one half means a mean gain of 0."""
        return self.consistent([0.0 if part.kind == SHARE else part.bound for part in self.parts])

    def all_at_margin(self) -> list[float]:
        """Return the effects at which each difference between arms is just relevant; nothing where no effects are such."""
        effects = self.consistent([self.margin if part.compares else 0.0 for part in self.parts])
        relevant = [effect > self.margin - 1e-9 for effect, part in zip(effects, self.parts, strict=True) if part.compares]
        return effects if relevant and all(relevant) else []

    def nulls(self) -> list[list[float]]:
        """Return effects at which the claim is just false: one part at its bound, the others clearly true; for one part
        of each kind, test and number of arms."""
        found: dict[tuple[str, str, int], list[float]] = {}
        for number, part in enumerate(self.parts):
            clear = [CLEAR if one.test == GREATER else 0.0 for one in self.parts]
            clear[number] = self.all_at_bound()[number]
            effects = self.consistent(clear)
            if np.isclose(effects[number], clear[number]):
                found.setdefault((part.kind, part.test, len(part.weights)), effects)
        return list(found.values())

    def planted(self, effect: float) -> list[float]:
        """Return this effect for each part; 0 for those said to be equal, in a claim that also says `greater`."""
        mixed = len({part.test for part in self.parts}) > 1
        return self.consistent([0.0 if mixed and part.test == EQUAL else effect for part in self.parts])

    def detectable(self) -> tuple[Experiment, list[float], float]:
        """Return what the design resolves with power 0.8 per part: the experiment with the margin that it satisfies, the
        effects to plant (0 for parts said to be equal), and the largest effect or margin. Where nothing is said to be equal,
        the margin is one that no effect meets, so that a clear effect counts as found however small it is.
        Raises `InputError` where no accuracies have such effects."""
        rng, simulator = np.random.default_rng(0), self.simulator(self.planted(0.0))
        pilots = [self.draw(simulator, rng, detectable=True) for _ in range(PILOTS)]
        sizes, effects = [], []
        for part, outcomes in zip(self.parts, zip(*pilots, strict=True), strict=True):
            reported = [np.inf if one.detectable is None else one.detectable for one in outcomes]
            sizes.append(float(np.median(reported)))
            found = self._gain_with(0.5 + sizes[-1]) if part.kind == SHARE else sizes[-1]
            effects.append(0.0 if part.test == EQUAL else found)
        margins = [size for part, size in zip(self.parts, sizes, strict=True) if part.test == EQUAL]
        return replace(self, margin=max(margins, default=NO_MARGIN)), self.consistent(effects), max(sizes)

    def _gain_with(self, share: float) -> float:
        """Return the mean gain at which this mean share of species comes out above 0, by the same draws throughout.

        Raises `InputError` where no gain in reach does.
        """

        def missing(gain: float) -> float:
            rng, simulator = np.random.default_rng(2), self.simulator([gain])
            return float(np.mean([self.draw(simulator, rng)[0].effect for _ in range(2 * PILOTS)])) - share

        try:
            return float(brentq(missing, 0.0, 2 * CLEAR, xtol=5e-4))
        except ValueError:  # too small a share at the largest gain, or no accuracies have that gain
            raise InputError(f"claim {self.claim.id}: no gain up to {2 * CLEAR} lets {share:.0%} of species gain") from None


def _pattern(groups: pd.Series) -> np.ndarray:
    """(C,) one value per group, half of the classes above and half below, with mean 0 and variance 1 over classes."""
    signs, balance = {}, 0.0
    for name, size in groups.value_counts().items():
        signs[name] = 1.0 if balance <= 0 else -1.0
        balance += signs[name] * size
    values = groups.map(signs).to_numpy()
    return (values - values.mean()) / values.std()
