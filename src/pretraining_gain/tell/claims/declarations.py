"""The paper's claims, each declared once: what it says, where the paper says it, and the tests that it must pass.

A claim has one or more parts, and all must hold. A part is data: what is compared and against which bound. A study's
arms decide how many parts a claim has; `evidence` tests them on results (paper, sections 2 and 3, Appendices B and D).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import NONE, REPRESENTED, SOME
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.claims.scaled import scaled_gaps

#: `greater`: the effect is above the part's bound. `equal`: it is less than the bound away from 0.
GREATER, EQUAL = "greater", "equal"
#: Section of a claim that is not the paper's.
OURS = "ours"
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


@dataclass(frozen=True)
class Claim:
    """A claim: its text in our words, the paper's section, the key of its figure, what is estimated, and its parts.

    `build` makes the parts from a study and the name of its downstream in `domain`; `cannot` says why a study cannot test
    it, or nothing. `section` is `ours` where the paper claims no such thing. To add a claim, append one to `CLAIMS`.
    """

    id: str
    text: str
    section: str
    figure: str
    estimand: str
    build: Callable[[Study, str], Iterator[Part]]
    domain: str = "out_of_domain"
    cannot: Callable[[Study], str] = lambda _: ""

    def parts(self, study: Study) -> list[Part]:
        """Return the parts whose arms and target the study has; none where it cannot test the claim."""
        if self.untestable(study):
            return []
        there = {Arm(target.name, arm) for target in study.downstreams for arm in study.arms_on(target)}
        return [part for part in self.build(study, study.downstream_in(self.domain).name) if there.issuperset(part.weights)]

    def untestable(self, study: Study) -> str:
        """Say why no runs of the study could test the claim; nothing where they could."""
        if self.domain not in study.domains:
            return f"the study has no target {self.domain.replace('_', ' ')}"
        return self.cannot(study)

    def arms(self, study: Study) -> set[Arm]:
        """Return the arms whose results the claim compares."""
        return {arm for part in self.parts(study) for arm in part.weights}


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


def _ends(study: Study, pool: str) -> tuple[int, int] | None:
    """Return the fewest and the most classes of a pool's arms, if it has two."""
    ks = study.arms.get(pool, [])
    return (min(ks), max(ks)) if len(ks) > 1 else None


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
        if ends := _ends(study, pool):
            small, large = (f"{pool}-k{k}" for k in ends)
            yield from _compare(target, [(small, SCRATCH)], EQUAL)
            yield from _compare(target, [(large, small)])


def animals_beat_others(study: Study, target: str) -> Iterator[Part]:
    pairs = _shared(study, "animal", "random") + _shared(study, "animal", "non_animal")
    return _compare(target, sorted(pairs, key=lambda pair: int(pair[0].rpartition("k")[2])))


def half_as_many_animals_do(study: Study, target: str) -> Iterator[Part]:
    for k in study.arms.get("animal", []):
        if more := [other for other in study.arms.get("non_animal", []) if other >= 2 * k]:
            yield from _compare(target, [(f"animal-k{k}", f"non_animal-k{min(more)}")])


def random_equals_non_animal(study: Study, target: str) -> Iterator[Part]:
    return _compare(target, _shared(study, "random", "non_animal"), EQUAL)


def random_beats_non_animal(study: Study, target: str) -> Iterator[Part]:
    return _compare(target, _shared(study, "random", "non_animal"))


def all_animals_against_others(study: Study, target: str) -> Iterator[Part]:
    most, others = max(study.arms.get("animal", []), default=0), study.arms.get("non_animal")
    if most in study.arms.get("random", []):
        yield from _compare(target, [(f"animal-k{most}", f"random-k{most}")])
    if most and others:
        yield from _compare(target, [(f"animal-k{most}", f"non_animal-k{max(others)}")], EQUAL)


def animals_are_not_fewer(study: Study) -> str:
    share = study.animal_share
    return "" if share < 0.5 else f"the source has no fewer animals than others ({share:.0%})"


def _gaps(study: Study, target: str) -> dict[int, dict[Arm, float]]:
    return {k: {Arm(target, name): weight for name, weight in gap.items()} for k, gap in scaled_gaps(study).items()}


def scaled_random_lies_above(study: Study, target: str) -> Iterator[Part]:
    gaps = _gaps(study, target)
    for k, gap in gaps.items():
        yield Part(f"scaled random − animal-k{k}", GREATER, ARMS, gap)
    if len(gaps) > 1:
        first, last = gaps[min(gaps)], gaps[max(gaps)]
        closing = {arm: first.get(arm, 0.0) - last.get(arm, 0.0) for arm in first | last}
        yield Part(f"gap at {min(gaps)} − gap at {max(gaps)} animal classes", GREATER, ARMS, closing)


def scaled_random_coincides(study: Study, target: str) -> Iterator[Part]:
    for k, gap in _gaps(study, target).items():
        yield Part(f"scaled random − animal-k{k}", EQUAL, ARMS, gap)


def more_animals_help_further(study: Study, target: str) -> Iterator[Part]:
    ks = sorted(study.arms.get("animal", []))
    return _compare(target, [(f"animal-k{ks[-1]}", f"animal-k{ks[-2]}")] if len(ks) > 1 else [])


def freezing_hurts(study: Study, target: str) -> Iterator[Part]:
    if other := study.finetuned_the_other_way(study.downstream(target)):
        weights = {Arm(target, study.everything): 1.0, Arm(other.name, study.everything): -1.0}
        yield Part("everything trained − backbone frozen", GREATER, ARMS, weights)


_GAIN = "gain in top-1, pretrained on all source classes minus from scratch"
_OUT, _IN = "difference in top-1 on the out-of-domain target", "difference in top-1 on the in-domain target"
CLAIMS = [
    Claim("C1", "Pretraining helps a majority of species.", "2", "figure_1", "share of species whose gain comes out above 0",
          most_species_gain),
    Claim("C2", "Within a family, the gain does not depend on how well the source represents the species.", "2", "figure_1",
          f"{_GAIN}: mean over represented species minus mean over species without a correct image, families held fixed, each "
          "species counting once", representation_is_no_matter),
    Claim("C3", "Nor does the family of a species explain it.", OURS, "figure_1",
          f"{_GAIN}: standard deviation of the true means of families", family_is_no_matter),
    Claim("C4", "The gain is the same in all supercategories; mammals are not favoured.", "2", "figure_2",
          f"{_GAIN}: standard deviation of the true means of supercategories; mean over mammals minus mean over others",
          supercategory_is_no_matter),
    Claim("C5", "All source classes together are the best pretraining for the out-of-domain target.", "3", "figure_3", _OUT,
          all_classes_are_best),
    Claim("C6", "A large enough set of irrelevant or random classes beats training from scratch.", "3", "figure_3", _OUT,
          irrelevant_sets_beat_scratch),
    Claim("C7", "Animal classes beat as many random and as many non-animal classes, however many.", "3", "figure_3", _OUT,
          animals_beat_others),
    Claim("C8", "Out of domain, random classes are worth as much as non-animal ones.", "3", "figure_3", _OUT,
          random_equals_non_animal),
    Claim("C9", "All animal classes beat as many random ones, and equal all non-animal ones, which are more.", "3", "figure_3",
          _OUT, all_animals_against_others, cannot=animals_are_not_fewer),
    Claim("C10", "In domain, random classes beat as many non-animal ones.", "3.2", "figure_4", _IN,
          random_beats_non_animal, "in_domain"),
    Claim("C11", "Out of domain, a random set is worth more than the animals in it, the less so the more there are.", "3.2",
          "figure_6", f"{_OUT}: random curve at its expected animal classes minus animal curve; and how that gap closes",
          scaled_random_lies_above),
    Claim("C12", "In domain, a random set is worth just the animals in it.", "3.2", "figure_6",
          f"{_IN}: random curve at its expected animal classes minus animal curve", scaled_random_coincides,
          "in_domain"),
    Claim("C13", "More animal classes would help further.", "3", "figure_3",
          f"{_OUT}: the largest animal set minus the one before it", more_animals_help_further),
    Claim("C14", "Freezing the backbone hurts on the out-of-domain target.", "D.2", "figure_freezing",
          "difference in top-1 on the out-of-domain target, everything trained minus backbone frozen, same pretraining",
          freezing_hurts),
    Claim("C15", "In domain, too, all source classes together are the best pretraining.", "3.2", "figure_4", _IN,
          all_classes_are_best, "in_domain"),
    Claim("C16", "In domain, animal classes beat as many random and as many non-animal classes.", "3.2", "figure_4", _IN,
          animals_beat_others, "in_domain"),
    Claim("C17", "Irrelevant and random data help only in a sufficient amount.", "3", "figure_3",
          f"{_OUT}: the smallest set minus scratch, and the largest set minus the smallest", a_sufficient_amount_is_needed),
    Claim("C18", "Of animals, a much smaller amount does: they beat twice as many non-animal classes.", "3", "figure_3",
          f"{_OUT}: animal classes minus at least twice as many non-animal classes", half_as_many_animals_do),
]  # fmt: skip


def claim_named(name: str) -> Claim:
    """Return the claim with this id. Raises `InputError` naming those accepted."""
    claims = {claim.id: claim for claim in CLAIMS}
    if name not in claims:
        raise InputError(f"claim {name!r} is unknown; accepted: {', '.join(claims)}")
    return claims[name]
