"""Worlds in which a claim of the ledger is true, false, or just on the edge: one planted effect for each of its parts.

Claims about arms: the arms' top-1 are the smallest change of one common level that gives every part its effect. Claims
about species (C1 to C4): the gain of species, families or supercategories is planted, the two arms alike in all else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import NONE
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.claims.declarations import ARMS, CLAIMS, EQUAL, GREATER, Arm, Claim
from pretraining_gain.tell.claims.evidence import Outcome, evaluate
from pretraining_gain.tell.validation.worlds import FROZEN, Measured, Planted, Scene, SimulatedEvidence

BY_ID = {claim.id: claim for claim in CLAIMS}
#: A part that is not in question holds by so much (`greater`) or is exactly equal.
CLEAR = 0.15
#: Gain of the average species where it is not what is planted.
GAIN = 0.1
NULL, ALL_AT_BOUND, POWER, DETECTABLE = "one part at its bound", "all parts at their bounds", "planted", "detectable"


@dataclass(frozen=True)
class Stage:
    """A claim, and a study with targets as measured, on which its worlds are set up."""

    claim: Claim
    study: Study
    measured: dict[str, Measured]

    @classmethod
    def of(
        cls, claim: str, study: Study, measured: dict[str, Measured], n_seeds: int, margin: float | None = None
    ) -> Stage:
        changes = {"seeds": list(range(n_seeds)), "margin": margin or study.margin}
        return cls(BY_ID[claim], study.model_copy(update=changes), measured)

    @cached_property
    def evidence(self) -> SimulatedEvidence:
        return SimulatedEvidence.on(self.study, self.measured)

    @property
    def n_seeds(self) -> int:
        return len(self.study.seeds)

    @property
    def target(self) -> Measured:
        return self.measured[self.claim.domain]

    @cached_property
    def parts(self) -> list[Outcome]:
        """The claim's parts on one draw of any world: how many they are, of what kind, and of which arms."""
        flat = Planted({arm: self.target.top1 for arm in self.arms}, "random" if self.about_species else "fixed")
        return list(self.draw(Scene(self.target, flat, self.n_seeds), np.random.default_rng(0)))

    @property
    def about_species(self) -> bool:
        return any(part.kind != ARMS for part in self.claim.parts(self.study))

    @property
    def arms(self) -> list[str]:
        if self.about_species:
            return [SCRATCH, self.study.everything]
        names = [self.name(arm) for part in self.claim.parts(self.study) for arm in part.weights]
        return names if any(name.startswith(FROZEN) for name in names) else self._all_arms()

    def name(self, arm: Arm) -> str:
        """What worlds call an arm."""
        target = self.study.downstream_in(self.claim.domain).name
        return arm.name if arm.downstream == target else f"{FROZEN}{arm.name}"

    def _all_arms(self) -> list[str]:
        return [SCRATCH, *(f"{pool}-k{k}" for pool, ks in self.study.arms.items() for k in ks)]

    def draw(self, scene: Scene, rng: np.random.Generator) -> list[Outcome]:
        """The claim's parts on predictions drawn anew."""
        self.evidence.redraw(scene, rng)
        return evaluate(self.claim, self.evidence)

    def scene(self, effects: Sequence[float]) -> Scene:
        """The world where each part has this true effect. Raises `InputError` where no such world is."""
        plant = SPECIES_WORLDS.get(self.claim.id, _arms)
        planted = plant(self, np.asarray(effects, dtype=float))
        wrong = [value for top1 in planted.top1.values() for value in np.ravel(top1) if not 0.005 < value < 0.995]
        if wrong:
            raise InputError(f"claim {self.claim.id}: effects {list(effects)} need a top-1 of {wrong[0]:.3f}")
        return Scene(self.target, planted, self.n_seeds)

    def at_bound(self, part: int) -> list[float]:
        """Effects with this part at its bound and the others clearly true."""
        clear = [CLEAR if one.part.test == GREATER else 0.0 for one in self.parts]
        effects = [_bound(one) if i == part else clear[i] for i, one in enumerate(self.parts)]
        return self.closing(effects)

    def nulls(self) -> list[list[float]]:
        """For one part of each kind: it at its bound, the others clearly true. The claim is just not so."""
        if self.claim.id == "C11":
            chosen = [len(self.parts) - 2, len(self.parts) - 1]  # the gap that is smallest, and that gaps close
        else:
            kinds = [(part.part.test, part.part.kind != ARMS and part.part.what) for part in self.parts]
            chosen = [kinds.index(kind) for kind in dict.fromkeys(kinds)]
        return [self.at_bound(part) for part in chosen]

    def all_at_bound(self) -> list[float]:
        return [_bound(part) for part in self.parts]

    def planted(self, effect: float) -> list[float]:
        """What power curves plant: every part has this effect; where a claim says both that something is greater and that
        something is equal, what is said to be equal is."""
        mixed = len({part.part.test for part in self.parts}) > 1
        return self.closing([0.0 if mixed and part.part.test == EQUAL else effect for part in self.parts])

    def closing(self, effects: list[float]) -> list[float]:
        """C11's first gap is its last one and what the gap closes by."""
        return [effects[-2] + effects[-1], *effects[1:]] if self.claim.id == "C11" else effects

    def with_margin(self, margin: float) -> Stage:
        return replace(self, study=self.study.model_copy(update={"margin": margin}))


def _bound(part: Outcome) -> float:
    # A share's world is planted as a mean gain: half of the species gain when it is 0.
    return part.bound if part.part.test == EQUAL else 0.0


def _arms(stage: Stage, effects: np.ndarray) -> Planted:
    rows = [{stage.name(arm): weight for arm, weight in one.part.weights.items()} for one in stage.parts]
    weights = pd.DataFrame(rows).fillna(0.0)
    shift = np.linalg.lstsq(weights.to_numpy(), effects, rcond=None)[0]
    if not np.allclose(weights.to_numpy() @ shift, effects):
        raise InputError(f"claim {stage.claim.id}: no arms have effects {list(effects)} in its {len(effects)} parts")
    return Planted(dict(zip(weights.columns, stage.target.top1 + shift, strict=True)))


def _gains(stage: Stage, gains: float | np.ndarray) -> Planted:
    middle = stage.target.top1
    everything = stage.study.everything
    return Planted({SCRATCH: middle - np.mean(gains) / 2, everything: middle - np.mean(gains) / 2 + gains}, "random")  # type: ignore[dict-item]


def _most_gain(stage: Stage, effects: np.ndarray) -> Planted:
    return _gains(stage, float(effects[0]))


def _represented_gain_more(stage: Stage, effects: np.ndarray) -> Planted:
    represented = (stage.evidence.out.species["representation"] != NONE).to_numpy()
    return _gains(stage, GAIN + effects[0] * represented)


def _families_differ(stage: Stage, effects: np.ndarray) -> Planted:
    return _gains(stage, GAIN + effects[0] * _pattern(stage.evidence.out.species["family"]))


def _supercategories_differ(stage: Stage, effects: np.ndarray) -> Planted:
    """Effects: standard deviation of supercategories, mean over mammals minus mean over others. What the difference of
    mammals leaves of the spread (all it causes itself, where that is more) is among the other supercategories."""
    groups = stage.evidence.out.species["supercategory"]
    mammals = (groups == "Mammals").to_numpy()
    share = mammals.mean()
    gains = effects[1] * np.where(mammals, 1 - share, -share)
    left = max(effects[0] ** 2 - gains.var(), 0.0)
    others = np.zeros(len(groups))
    others[~mammals] = _pattern(groups[~mammals])
    return _gains(stage, GAIN + gains + np.sqrt(left / others.var()) * others)


def _pattern(groups: pd.Series) -> np.ndarray:
    """(C,) one value a group, half of the classes above and half below, with mean 0 and variance 1 over classes."""
    sizes = groups.value_counts()
    sign, balance = {}, 0
    for name in sizes.index:
        sign[name] = 1.0 if balance <= 0 else -1.0
        balance += sign[name] * sizes[name]
    values = groups.map(sign).to_numpy()
    return (values - values.mean()) / values.std()


SPECIES_WORLDS = {
    "C1": _most_gain,
    "C2": _represented_gain_more,
    "C3": _families_differ,
    "C4": _supercategories_differ,
}
