"""The paper's fourteen claims, and how each is asked of a study's results (paper, sections 2 and 3, Appendices D and F).

A claim has one or more parts, all of which must hold. A part says that something is greater than a bound, or that two
things are equal up to the study's margin. What comes of the parts is in `ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

import numpy as np

from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.representation import NONE
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.tell.results.evaluation import Evaluation, View, load_evaluation
from pretraining_gain.tell.results.gains import animal_share, figure1_species
from pretraining_gain.tell.statistics.estimates import (
    Components,
    Estimate,
    GroupSpread,
    components,
    estimate_difference,
    estimate_mean,
    estimate_share_positive,
    group_spread,
    smallest_detectable,
    smallest_margin,
)

GREATER, EQUAL = "greater", "equal"
#: Before the name of an arm in a contrast: the same pretraining, but finetuned the other way.
FROZEN = "frozen "


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of arms: `values` (S, N) by seed and image, `labels` (N,) class ids."""

    weights: Mapping[str, float]
    values: np.ndarray
    labels: np.ndarray

    @property
    def estimate(self) -> Estimate:
        """Its mean over all images: these species, seeds and images like these."""
        return estimate_mean(self.values, self.labels, classes="fixed")


@dataclass(frozen=True)
class Part:
    """One test of a claim. `p_for` is small when the part holds, `p_against` when its opposite does.

    `greater`: the effect is above `bound`. `equal`: it is less than `bound` away from 0. `contrast`: what it is the mean of;
    None where the estimand is no mean over fixed classes. `estimate`: what is tested, None of a spread between groups.
    `detectable` is found only when asked for: it costs more than all tests together.
    """

    what: str
    test: str
    bound: float
    effect: float
    low: float
    high: float
    p_for: float
    p_against: float
    find_detectable: Callable[[], float]
    n_seeds: int
    n_classes: int
    n_images: int
    contrast: Contrast | None = None
    estimate: Estimate | None = None

    @property
    def detectable(self) -> float:
        """The true effect that is found, or the margin that no effect satisfies, with probability 0.8."""
        return self.find_detectable()

    @property
    def spread(self) -> Components | None:
        """Variance components of the contrast behind it, for planning."""
        return components(self.contrast.values, self.contrast.labels) if self.contrast else None


@dataclass(frozen=True)
class Evidence:
    """A study's results on the paper's two targets, for one choice of what counts as represented."""

    study: Study
    name: str
    vote_cut: float = 0.0
    well_represented: int = 40

    @classmethod
    def of(cls, view: View) -> Evidence:
        return cls(load_study(view.study), view.study, view.vote_cut, view.well_represented)

    @cached_property
    def out(self) -> Evaluation:
        return self._evaluation("out_of_domain")

    @cached_property
    def inside(self) -> Evaluation:
        return self._evaluation("in_domain")

    @cached_property
    def out_other_way(self) -> Evaluation | None:
        """The out-of-domain target with the backbone frozen, where the study has it."""
        other = self.study.finetuned_the_other_way(self.out.downstream)
        return load_evaluation(self.name, other.name) if other else None

    @property
    def everything(self) -> str:
        return self.study.everything

    def ks(self, pool: str) -> list[int]:
        return self.study.arms.get(pool, [])

    def shared_ks(self, first: str, second: str) -> list[int]:
        return [k for k in self.ks(first) if k in self.ks(second)]

    def _evaluation(self, domain: str) -> Evaluation:
        view = View(study=self.name, draws=1, vote_cut=self.vote_cut, well_represented=self.well_represented)
        return view.evaluation(domain)


@dataclass(frozen=True)
class Claim:
    """A claim in our words; where the paper makes it; what is estimated; the tests, made from a study's results; and the
    domain of the target that it is about."""

    id: str
    text: str
    section: str
    figure: str
    estimand: str
    parts: Callable[[Evidence], Iterator[Part]]
    domain: str = "out_of_domain"


def greater(what: str, estimate: Estimate, bound: float = 0.0, contrast: Contrast | None = None) -> Part:
    """`estimate` is above `bound`. Against it, strictly: a claim's parts are many."""
    tests = estimate.p_above(bound), estimate.strict(estimate.p_below(bound), bound)
    return _part(what, GREATER, bound, estimate, tests, smallest_detectable, contrast)


def equal(what: str, estimate: Estimate, margin: float, contrast: Contrast | None = None) -> Part:
    """`estimate` is 0 up to `margin`: two one-sided tests; against it, that the truth lies beyond the margin."""
    above, below = estimate.p_above(margin), estimate.p_below(-margin)
    beyond = min(1.0, 2 * min(estimate.strict(above, margin), estimate.strict(below, -margin)))
    tests = estimate.p_equivalent(margin), beyond
    return _part(what, EQUAL, margin, estimate, tests, smallest_margin, contrast)


def _part(
    what: str, test: str, bound: float, estimate: Estimate, p: tuple[float, float],
    detectable: Callable[[float, float], float], contrast: Contrast | None,
) -> Part:  # fmt: skip
    low, high = estimate.interval()
    sizes = estimate.n_seeds, estimate.n_classes, estimate.n_images
    find = partial(detectable, estimate.se, estimate.df)
    return Part(what, test, bound, estimate.mean, low, high, *p, find, *sizes, contrast, estimate)


def alike(what: str, spread: GroupSpread, evaluation: Evaluation) -> Part:
    """Groups of species differ in their mean by a standard deviation of less than the margin."""
    tests = spread.p_equivalent, 1 - spread.p_equivalent
    sizes = len(evaluation.seeds), spread.n_classes, len(evaluation.labels)
    effect = spread.sd, spread.low, spread.high
    return Part(what, EQUAL, spread.margin, *effect, *tests, lambda: spread.smallest_margin, *sizes)


def _contrast(evaluation: Evaluation, weights: dict[str, float]) -> Contrast:
    return Contrast(weights, evaluation.contrast(weights), evaluation.labels)


def _beats(evaluation: Evaluation, first: str, second: str) -> Part:
    contrast = _contrast(evaluation, {first: 1, second: -1})
    return greater(f"{first} − {second}", contrast.estimate, contrast=contrast)


def _equals(evaluation: Evaluation, first: str, second: str) -> Part:
    contrast = _contrast(evaluation, {first: 1, second: -1})
    return equal(f"{first} − {second}", contrast.estimate, evaluation.study.margin, contrast)


def _species(evidence: Evidence) -> tuple[np.ndarray, np.ndarray, dict[str, set[int]]]:
    """Gains (S, N) and labels (N,) of the species of Figure 1, and these by how the source represents them."""
    shown = figure1_species(evidence.out.species, evidence.out)
    images = np.isin(evidence.out.labels, shown.index)
    grades = {grade: set(part.index) for grade, part in shown.groupby("representation")}
    return evidence.out.difference(evidence.everything)[:, images], evidence.out.labels[images], grades


def most_species_gain(evidence: Evidence) -> Iterator[Part]:
    values, labels, _ = _species(evidence)
    yield greater("share of species with a gain", estimate_share_positive(values, labels), 0.5)


def representation_is_no_matter(evidence: Evidence) -> Iterator[Part]:
    values, labels, grades = _species(evidence)
    best = [grade for grade in grades if grade not in (NONE, "some")]
    if best and NONE in grades and min(len(grades[best[0]]), len(grades[NONE])) > 1:
        estimate = estimate_difference(values, labels, grades[best[0]], grades[NONE])
        yield equal(f"gain, {best[0]} − {NONE}", estimate, evidence.study.margin)


def family_is_no_matter(evidence: Evidence) -> Iterator[Part]:
    values, labels, _ = _species(evidence)
    families = evidence.out.species["family"].loc[np.unique(labels)]
    if 1 < families.nunique() < len(families):
        found = group_spread(values, labels, families, evidence.study.margin)
        yield alike("standard deviation between families of the gain", found, evidence.out)


def supercategory_is_no_matter(evidence: Evidence) -> Iterator[Part]:
    values, labels = evidence.out.difference(evidence.everything), evidence.out.labels
    groups = evidence.out.species["supercategory"]
    if 1 < groups.nunique() < len(groups):
        found = group_spread(values, labels, groups, evidence.study.margin)
        yield alike("standard deviation between supercategories of the gain", found, evidence.out)
    mammals = groups == "Mammals"
    if min(mammals.sum(), (~mammals).sum()) > 1:
        estimate = estimate_difference(values, labels, set(groups.index[mammals]), set(groups.index[~mammals]))
        yield equal("gain, mammals − others", estimate, evidence.study.margin)


def all_classes_are_best(evidence: Evidence) -> Iterator[Part]:
    others = [(pool, k) for pool in ("animal", "non_animal", "random") for k in evidence.ks(pool)]
    for arm in [SCRATCH, *(f"{pool}-k{k}" for pool, k in others)]:
        yield _beats(evidence.out, evidence.everything, arm)


def irrelevant_sets_beat_scratch(evidence: Evidence) -> Iterator[Part]:
    for pool in ("non_animal", "random"):
        if evidence.ks(pool):
            yield _beats(evidence.out, f"{pool}-k{max(evidence.ks(pool))}", SCRATCH)


def animals_beat_others(evidence: Evidence) -> Iterator[Part]:
    for k, other in product(evidence.ks("animal"), ("random", "non_animal")):
        if k in evidence.ks(other):
            yield _beats(evidence.out, f"animal-k{k}", f"{other}-k{k}")


def random_equals_non_animal(evidence: Evidence) -> Iterator[Part]:
    for k in evidence.shared_ks("random", "non_animal"):
        yield _equals(evidence.out, f"random-k{k}", f"non_animal-k{k}")


def all_animals_against_others(evidence: Evidence) -> Iterator[Part]:
    most = max(evidence.ks("animal"), default=0)
    if most in evidence.ks("random"):
        yield _beats(evidence.out, f"animal-k{most}", f"random-k{most}")
    if most and evidence.ks("non_animal"):
        yield _equals(evidence.out, f"animal-k{most}", f"non_animal-k{max(evidence.ks('non_animal'))}")


def random_beats_non_animal_inside(evidence: Evidence) -> Iterator[Part]:
    for k in evidence.shared_ks("random", "non_animal"):
        yield _beats(evidence.inside, f"random-k{k}", f"non_animal-k{k}")


def scaled_random_lies_above(evidence: Evidence) -> Iterator[Part]:
    gaps = _scaled_gaps(evidence, evidence.out)
    for k, gap in gaps.items():
        contrast = _contrast(evidence.out, gap)
        yield greater(f"scaled random − animal-k{k}", contrast.estimate, contrast=contrast)
    if len(gaps) > 1:
        first, last = gaps[min(gaps)], gaps[max(gaps)]
        closing = {arm: first.get(arm, 0) - last.get(arm, 0) for arm in first | last}
        contrast = _contrast(evidence.out, closing)
        yield greater(f"gap at {min(gaps)} − gap at {max(gaps)} animal classes", contrast.estimate, contrast=contrast)


def scaled_random_coincides_inside(evidence: Evidence) -> Iterator[Part]:
    for k, gap in _scaled_gaps(evidence, evidence.inside).items():
        contrast = _contrast(evidence.inside, gap)
        yield equal(f"scaled random − animal-k{k}", contrast.estimate, evidence.study.margin, contrast)


def _scaled_gaps(evidence: Evidence, evaluation: Evaluation) -> dict[int, dict[str, float]]:
    """Animal k -> weights of (random curve at k expected animals, straight between its points) minus animal-k."""
    share, everything = animal_share(evaluation), evidence.study.source.n_classes
    arms = {k * share: f"random-k{k}" for k in evidence.ks("random")} | {everything * share: evidence.everything}
    at = np.array(sorted(arms))
    gaps = {}
    for k in evidence.ks("animal"):
        right = int(np.searchsorted(at, k - 1e-9))
        if right == len(at) or (right == 0 and at[0] > k + 1e-9):
            continue  # the random curve does not reach so far
        left = max(right - 1, 0)
        part = 1.0 if left == right else float((k - at[left]) / (at[right] - at[left]))
        weights = {arms[at[left]]: 1 - part} if part < 1 - 1e-9 else {}
        gaps[k] = weights | {arms[at[right]]: part, f"animal-k{k}": -1.0}
    return gaps


def gain_is_not_saturated(evidence: Evidence) -> Iterator[Part]:
    if evidence.ks("random"):
        yield _beats(evidence.out, evidence.everything, f"random-k{max(evidence.ks('random'))}")


def freezing_hurts(evidence: Evidence) -> Iterator[Part]:
    other = evidence.out_other_way
    if other is None or not np.array_equal(other.image_ids, evidence.out.image_ids):
        return
    values = evidence.out.contrast({evidence.everything: 1}) - other.contrast({evidence.everything: 1})
    weights = {evidence.everything: 1, f"{FROZEN}{evidence.everything}": -1}
    contrast = Contrast(weights, values, evidence.out.labels)
    yield greater("everything trained − backbone frozen", contrast.estimate, contrast=contrast)


_GAIN = "gain in top-1, pretrained on all source classes minus from scratch"
_OUT, _IN = "difference in top-1 on the out-of-domain target", "difference in top-1 on the in-domain target"
CLAIMS = [
    Claim("C1", "Pretraining helps a majority of species.", "2", "fig-1", "share of species whose gain comes out above 0",
          most_species_gain),
    Claim("C2", "The gain does not depend on how well the source represents the species.", "2", "fig-1",
          f"{_GAIN}: mean over represented species minus mean over others", representation_is_no_matter),
    Claim("C3", "Nor does the family of a species explain it.", "2", "fig-1",
          f"{_GAIN}: standard deviation of the true means of families", family_is_no_matter),
    Claim("C4", "The gain is the same in all supercategories; mammals are not favoured.", "2", "fig-2",
          f"{_GAIN}: standard deviation of the true means of supercategories; mean over mammals minus mean over others",
          supercategory_is_no_matter),
    Claim("C5", "All source classes together are the best pretraining for the out-of-domain target.", "3", "fig-3", _OUT,
          all_classes_are_best),
    Claim("C6", "A large enough set of irrelevant or random classes beats training from scratch.", "3", "fig-3", _OUT,
          irrelevant_sets_beat_scratch),
    Claim("C7", "Animal classes beat as many random and as many non-animal classes, however many.", "3", "fig-3", _OUT,
          animals_beat_others),
    Claim("C8", "Out of domain, random classes are worth as much as non-animal ones.", "3", "fig-3", _OUT,
          random_equals_non_animal),
    Claim("C9", "All animal classes beat as many random ones, and equal all non-animal ones.", "3", "fig-3", _OUT,
          all_animals_against_others),
    Claim("C10", "In domain, random classes beat as many non-animal ones.", "3.2", "fig-4", _IN,
          random_beats_non_animal_inside, "in_domain"),
    Claim("C11", "Out of domain, a random set is worth more than the animals in it, the less so the more there are.", "F",
          "fig-6", f"{_OUT}: random curve at its expected animal classes minus animal curve; and how that gap closes",
          scaled_random_lies_above),
    Claim("C12", "In domain, a random set is worth just the animals in it.", "F", "fig-6",
          f"{_IN}: random curve at its expected animal classes minus animal curve", scaled_random_coincides_inside,
          "in_domain"),
    Claim("C13", "The gain is not saturated with all source classes.", "3", "fig-3",
          f"{_OUT}: all classes minus the largest random set", gain_is_not_saturated),
    Claim("C14", "Freezing the backbone hurts on the out-of-domain target.", "D.2", "fig-freezing",
          "difference in top-1 on the out-of-domain target, everything trained minus backbone frozen, same pretraining",
          freezing_hurts),
]  # fmt: skip
