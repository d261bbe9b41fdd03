"""Say what a claim's tests compare: a part is data, and one function per claim builds its parts from a study.

A study's arms decide how many parts a claim has; `evidence` tests them on results (paper, sections 2 and 3, Appendices B and D).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import NONE, REPRESENTED, SOME
from pretraining_gain.plan.studies import Study

Word = Literal["supported", "contradicted", "no relevant difference", "not resolvable", "not testable", "not run"]
VERDICTS = SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNRESOLVED, NOT_TESTABLE, NOT_RUN = get_args(Word)
#: `greater`: the effect is above the part's bound. `equal`: it is less than the bound away from 0.
GREATER, EQUAL = "greater", "equal"
ARMS, GROUPS, SPREAD, SHARE = "arms", "groups", "spread", "share"


class Kind(NamedTuple):
    """The unit of a kind's estimate, shown times 100, and whether the estimate has a sign."""

    unit: Literal["points", "%"]
    signed: bool


#: Kinds of parts: a weighted sum of arms; and of the gain, the mean over one group of species minus that over another,
#: the standard deviation between the true means of groups of species, the share of species above 0.
_POINTS = Kind("points", True)
KINDS = {ARMS: _POINTS, GROUPS: _POINTS, SPREAD: Kind("points", False), SHARE: Kind("%", False)}


class Arm(NamedTuple):
    """A start (pool and number of classes, or scratch) finetuned on a downstream."""

    downstream: str
    name: str


@dataclass(frozen=True)
class Species:
    """The species whose `column` holds one of `values`, or, with `others`, none of them."""

    column: str
    values: tuple[str, ...]
    others: bool = False

    def mask(self, table: pd.DataFrame) -> np.ndarray:
        """(C,) bool over the rows of a species table."""
        return (table[self.column].isin(self.values) != self.others).to_numpy()


@dataclass(frozen=True)
class Part:
    """One test of a claim.

    `weights`: the sum of arms whose top-1 is compared; for parts about species, the gain. `bound` of `greater`; that of
    `equal` is the margin. `column`: how the species are grouped (of `share`: only for display). `between`: the groups
    compared, with `within` only among species that share that column. `figure1_only`: only the species in Figure 1.
    """

    what: str
    test: str
    kind: str
    weights: Mapping[Arm, float]
    bound: float = 0.0
    column: str = ""
    between: tuple[Species, Species] | None = None
    within: str = ""
    figure1_only: bool = False

    @property
    def compares(self) -> bool:
        """Return whether it says that one arm beats another: an effect within the margin is then no relevant difference."""
        return self.kind == ARMS and self.test == GREATER and self.bound == 0

    @property
    def downstream(self) -> str:
        """The target whose images and species it is about: that of the first arm."""
        return next(iter(self.weights)).downstream

    @property
    def other(self) -> str:
        """The target whose runs are subtracted, where it compares two; else empty."""
        return next((arm.downstream for arm in self.weights if arm.downstream != self.downstream), "")

    @property
    def own_weights(self) -> dict[str, float]:
        """The weights of the arms on its own target, by arm."""
        return {arm.name: weight for arm, weight in self.weights.items() if arm.downstream == self.downstream}


def _compare(target: str, pairs: Iterable[tuple[str, str]], test: str = GREATER) -> Iterator[Part]:
    """Yield a part per pair of arms that says that the first beats the second, or equals it."""
    for first, second in pairs:
        yield Part(f"{first} − {second}", test, ARMS, {Arm(target, first): 1.0, Arm(target, second): -1.0})


def _gain(study: Study, target: str) -> dict[Arm, float]:
    return {Arm(target, study.everything): 1.0, Arm(target, SCRATCH): -1.0}


def _shared(study: Study, first: str, second: str) -> list[tuple[str, str]]:
    """Return the arms of two pools with equally many classes, in pairs."""
    both = [k for k in study.arms.get(first, []) if k in study.arms.get(second, [])]
    return [(f"{first}-k{k}", f"{second}-k{k}") for k in both]


def most_species_gain(study: Study, target: str) -> Iterator[Part]:
    gain = _gain(study, target)
    yield Part("share of species with a gain", GREATER, SHARE, gain, 0.5, "representation", figure1_only=True)


def representation_is_no_matter(study: Study, target: str) -> Iterator[Part]:
    best = REPRESENTED if study.representation == "named" else "well represented"
    between = Species("representation", (NONE, SOME), others=True), Species("representation", (NONE,))
    words = f"gain, {best} − {NONE}, within families"
    yield Part(words, EQUAL, GROUPS, _gain(study, target), 0.0, "representation", between, "family", figure1_only=True)


def family_is_no_matter(study: Study, target: str) -> Iterator[Part]:
    words = "standard deviation between families of the gain"
    yield Part(words, EQUAL, SPREAD, _gain(study, target), column="family", figure1_only=True)


def supercategory_is_no_matter(study: Study, target: str) -> Iterator[Part]:
    column, gain = "supercategory", _gain(study, target)
    yield Part("standard deviation between supercategories of the gain", EQUAL, SPREAD, gain, column=column)
    between = Species(column, ("Mammals",)), Species(column, ("Mammals",), others=True)
    yield Part("gain, mammals − others", EQUAL, GROUPS, gain, 0.0, column, between)


def all_classes_are_best(study: Study, target: str) -> Iterator[Part]:
    arms = [SCRATCH, *(f"{pool}-k{k}" for pool in sorted(study.arms) for k in study.arms[pool])]
    return _compare(target, [(study.all_classes, arm) for arm in arms if arm != study.all_classes])


def irrelevant_sets_beat_scratch(study: Study, target: str) -> Iterator[Part]:
    largest = [f"{pool}-k{max(study.arms[pool])}" for pool in ("non_animal", "random") if pool in study.arms]
    return _compare(target, [(arm, SCRATCH) for arm in largest])


def a_sufficient_amount_is_needed(study: Study, target: str) -> Iterator[Part]:
    for pool in ("non_animal", "random"):
        ks = study.arms.get(pool, [])
        if len(ks) > 1:
            small, large = f"{pool}-k{min(ks)}", f"{pool}-k{max(ks)}"
            yield from _compare(target, [(small, SCRATCH)], EQUAL)
            yield from _compare(target, [(large, small)])


def animals_beat_others(study: Study, target: str) -> Iterator[Part]:
    pairs = _shared(study, "animal", "random") + _shared(study, "animal", "non_animal")
    return _compare(target, sorted(pairs, key=lambda pair: int(pair[0].rpartition("k")[2])))


def half_as_many_animals_do(study: Study, target: str) -> Iterator[Part]:
    for k in study.arms.get("animal", []):
        if more := [other for other in study.arms.get("non_animal", []) if other >= 2 * k]:
            yield from _compare(target, [(f"animal-k{k}", f"non_animal-k{min(more)}")])


def random_against_non_animal(study: Study, target: str, test: str = GREATER) -> Iterator[Part]:
    return _compare(target, _shared(study, "random", "non_animal"), test)


def all_animals_against_others(study: Study, target: str) -> Iterator[Part]:
    most, others = max(study.arms.get("animal", []), default=0), study.arms.get("non_animal")
    if most in study.arms.get("random", []):
        yield from _compare(target, [(f"animal-k{most}", f"random-k{most}")])
    if most and others:
        yield from _compare(target, [(f"animal-k{most}", f"non_animal-k{max(others)}")], EQUAL)


def animals_are_not_fewer(study: Study) -> str:
    share = study.animal_share if study.source else 0.0
    return "" if share < 0.5 else f"the source has no fewer animals than others ({share:.0%})"


def scaled_gaps(study: Study, target: str) -> dict[int, dict[Arm, float]]:
    """Return, for each animal k, the weights of the random curve at k expected animal classes, minus animal-k (Appendix B)."""
    share, everything = study.animal_share, len(study.source_classes)
    names = {k * share: f"random-k{k}" for k in study.arms.get("random", [])} | {everything * share: study.all_classes}
    arms = {at: Arm(target, name) for at, name in names.items()}
    at = np.array(sorted(arms))
    gaps: dict[int, dict[Arm, float]] = {}
    for k in study.arms.get("animal", []):
        right = int(np.searchsorted(at, k - 1e-9))
        if right == len(at) or (right == 0 and at[0] > k + 1e-9):
            continue
        left = max(right - 1, 0)
        part = 1.0 if left == right else float((k - at[left]) / (at[right] - at[left]))
        weights = {arms[at[left]]: 1 - part} if part < 1 - 1e-9 else {}
        weights |= {arms[at[right]]: part, Arm(target, f"animal-k{k}"): -1.0}
        gaps[k] = weights
    return gaps


def scaled_random_lies_above(study: Study, target: str) -> Iterator[Part]:
    gaps = scaled_gaps(study, target)
    for k, gap in gaps.items():
        yield Part(f"scaled random − animal-k{k}", GREATER, ARMS, gap)
    if len(gaps) > 1:
        first, last = gaps[min(gaps)], gaps[max(gaps)]
        closing = {arm: first.get(arm, 0.0) - last.get(arm, 0.0) for arm in first | last}
        yield Part(f"gap at {min(gaps)} − gap at {max(gaps)} animal classes", GREATER, ARMS, closing)


def scaled_random_coincides(study: Study, target: str) -> Iterator[Part]:
    for k, gap in scaled_gaps(study, target).items():
        yield Part(f"scaled random − animal-k{k}", EQUAL, ARMS, gap)


def more_animals_help_further(study: Study, target: str) -> Iterator[Part]:
    ks = sorted(study.arms.get("animal", []))
    return _compare(target, [(f"animal-k{ks[-1]}", f"animal-k{ks[-2]}")] if len(ks) > 1 else [])


def freezing_hurts(study: Study, target: str) -> Iterator[Part]:
    if other := study.finetuned_the_other_way(study.downstream(target)):
        weights = {Arm(target, study.everything): 1.0, Arm(other.name, study.everything): -1.0}
        yield Part("everything trained − backbone frozen", GREATER, ARMS, weights)
