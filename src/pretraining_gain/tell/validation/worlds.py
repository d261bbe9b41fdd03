"""Studies whose truth is known: predictions of a study's arms drawn from a threshold model as variable as real ones.

An arm gets an image right when its liability is above 0. The liability adds normal deviates of class and image (shared by
all arms: what makes pairing pay), of class and image in this arm, of seed and of seed and class in this arm, and a residual
of standard deviation 1. The arms' mean liabilities are set so that their expected top-1 is the planted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t

from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.results.evaluation import Evaluation

OUT, INSIDE = "out_of_domain", "in_domain"
#: Before the name of an arm of the target finetuned the other way.
FROZEN = "frozen "


@dataclass(frozen=True)
class Liability:
    """Standard deviations of what adds up to the liability; that of the residual is 1."""

    class_: float
    class_by_arm: float
    image: float
    image_by_arm: float
    seed: float
    seed_class: float

    @property
    def without_classes(self) -> float:
        """Standard deviation of the liability when the class is given, residual included."""
        return float(np.sqrt(1 + self.image**2 + self.image_by_arm**2 + self.seed**2 + self.seed_class**2))

    @property
    def whole(self) -> float:
        return float(np.sqrt(self.without_classes**2 + self.class_**2 + self.class_by_arm**2))


@dataclass(frozen=True)
class Measured:
    """A target as it was measured: its images, the mean top-1 of the paper's arms, and how liabilities vary."""

    evaluation: Evaluation
    top1: float
    liability: Liability

    @cached_property
    def index(self) -> np.ndarray:
        """(N,) class of each image, as 0..C-1 in the order of the class ids."""
        return np.unique(self.evaluation.labels, return_inverse=True)[1]

    @cached_property
    def shares(self) -> np.ndarray:
        """(C,) share of the images in each class."""
        return np.bincount(self.index) / len(self.index)


def paper_arms(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """(S, N) correct of each arm of the paper's own design."""
    names = [SCRATCH, *(f"{pool}-k{k}" for pool, ks in evaluation.study.arms.items() for k in ks)]
    return {name: evaluation.correct[name] for name in names if name in evaluation.correct}


def measure(evaluation: Evaluation) -> Measured:
    """Fit the threshold model to the paper's arms of one target.

    How often two answers are both right, for pairs of answers that share image, class, arm or seed and pairs that share
    nothing, gives the correlation of their liabilities (tetrachoric); what it rises by when one thing more is shared is that
    thing's part of the variance. Means over arms and pairs of arms; parts below 0 are 0.
    """
    arms = [correct.astype(float) for correct in paper_arms(evaluation).values()]
    within = np.mean([_correlations(_both_right(arm, arm, evaluation.labels)) for arm in arms], axis=0)
    pairs = [_both_right(first, second, evaluation.labels) for first, second in combinations(arms, 2)]
    between = np.mean([_correlations(pair, seeds_matter=False) for pair in pairs], axis=0)
    image, class_, seed_class, seed = within
    image_shared, class_shared = between[:2]
    parts = [class_shared, class_ - class_shared, image_shared - class_shared]
    parts += [image - class_ - parts[2], seed, seed_class - class_ - seed]
    cut = np.maximum(parts, 0)
    sds = np.sqrt(cut / max(1 - cut.sum(), 0.05))
    return Measured(evaluation, float(np.mean([arm.mean() for arm in arms])), Liability(*map(float, sds)))


def _both_right(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(3, S, S): share of pairs of answers that are both right, by seed of the one and of the other, for the same image,
    two images of a class, and images of two classes."""
    ids, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = [np.stack([np.bincount(index, row, len(ids)) for row in arm]) for arm in (first, second)]
    same_image, same_class = first @ second.T, by_class[0] @ by_class[1].T
    everything = np.outer(first.sum(axis=1), second.sum(axis=1))
    n_images, n_class = len(labels), (sizes**2).sum()
    return np.stack([
        same_image / n_images,
        (same_class - same_image) / (n_class - n_images),
        (everything - same_class) / (n_images**2 - n_class),
    ])  # fmt: skip


def _correlations(both: np.ndarray, *, seeds_matter: bool = True) -> np.ndarray:
    """Correlations of liabilities from `_both_right`: same image, same class, and, where seeds matter, same class and
    seed, and same seed, each beyond what pairs without anything in common show."""
    same = np.eye(both.shape[1], dtype=bool)
    other = ~same if seeds_matter else np.ones_like(same)
    image, class_, nothing = (part[other].mean() for part in both)
    shown = [image, class_, *([both[1][same].mean(), both[2][same].mean()] if seeds_matter else [])]
    return np.array([_tetrachoric(one, nothing) for one in shown])


def _tetrachoric(both: float, nothing: float) -> float:
    """The correlation with which two normal deviates are both above the same threshold with probability `both`, when
    without correlation they are with probability `nothing`."""
    height = ndtri(np.sqrt(nothing))

    def above(correlation: float) -> float:
        return ndtr(height) - 2 * owens_t(height, np.sqrt((1 - correlation) / (1 + correlation)))

    least, most = -0.99, 0.999
    if not above(least) < both < above(most):
        return least if both <= above(least) else most
    return float(brentq(lambda correlation: above(correlation) - both, least, most))


@dataclass(frozen=True)
class Planted:
    """A truth: the expected top-1 of each arm on a target, for all classes alike or one by one (C,).

    `classes` as in `estimate_mean`. Random: expected over classes, too, which are drawn anew each time. Fixed: the classes
    are what they are, and the mean over these classes' images is as planted.
    """

    top1: Mapping[str, float | np.ndarray]
    classes: Literal["fixed", "random"] = "fixed"


@dataclass(frozen=True)
class Scene:
    """A planted truth on a measured target with so many seeds: draws predictions."""

    measured: Measured
    planted: Planted
    n_seeds: int

    @cached_property
    def means(self) -> np.ndarray:
        """(A, C) mean liability of each arm and class, with their effects when classes are fixed."""
        spread, n_classes = self.measured.liability, len(self.measured.shares)
        if self.planted.classes == "random":
            top1 = [np.broadcast_to(value, n_classes) for value in self.planted.top1.values()]
            return ndtri(np.stack(top1)) * spread.whole
        # The same species in every scene and for every arm of that name, whatever else there is.
        shared = spread.class_ * _deviates("shared", n_classes)
        effects = np.stack([shared + spread.class_by_arm * _deviates(arm, n_classes) for arm in self.planted.top1])
        return np.stack([self._reach(*given) for given in zip(effects, self.planted.top1.values(), strict=True)])

    def _reach(self, effects: np.ndarray, top1: float | np.ndarray) -> np.ndarray:
        spread, shares = self.measured.liability.without_classes, self.measured.shares
        return effects + brentq(lambda mean: (ndtr((effects + mean) / spread) - top1) @ shares, -50, 50)

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """(S, N) bool for each arm: which predictions are right."""
        spread, index = self.measured.liability, self.measured.index
        (n_arms, n_classes), n_images = self.means.shape, len(index)

        def deviates(scale: float, *shape: int) -> np.ndarray:
            return scale * rng.standard_normal(shape, dtype=np.float32)

        classes = self.means
        if self.planted.classes == "random":
            classes = classes + deviates(spread.class_, n_classes) + deviates(spread.class_by_arm, n_arms, n_classes)
        seeds = deviates(spread.seed, n_arms, self.n_seeds, 1)
        seeds = seeds + deviates(spread.seed_class, n_arms, self.n_seeds, n_classes)
        images = deviates(spread.image, n_images) + deviates(spread.image_by_arm, n_arms, n_images)
        liability = (classes[:, None] + seeds).astype(np.float32)[:, :, index] + images[:, None]
        liability += rng.standard_normal(liability.shape, dtype=np.float32)
        return dict(zip(self.planted.top1, liability > 0, strict=True))


def _deviates(name: str, size: int) -> np.ndarray:
    return np.random.default_rng([*name.encode()]).standard_normal(size)


@dataclass(frozen=True)
class SimulatedEvidence(Evidence):
    """Evidence of a study with so many seeds as its study file names, on targets as measured; `redraw` fills it.

    Arms whose name starts with `FROZEN` are those of the out-of-domain target finetuned the other way.
    """

    measured: Mapping[str, Measured] = field(kw_only=True)

    @classmethod
    def on(cls, study: Study, measured: Mapping[str, Measured]) -> SimulatedEvidence:
        target = study.downstream_in(OUT)
        domains = {target.name: OUT, study.downstream_in(INSIDE).name: INSIDE}
        if other := study.finetuned_the_other_way(target):
            domains[other.name] = OUT
        empty = {}
        for name, domain in domains.items():
            real = measured[domain].evaluation
            facts: tuple[Any, ...] = {SCRATCH: study.seeds}, real.labels, real.image_ids, {}, real.runs.iloc[:0]
            empty[name] = Evaluation(study, study.downstream(name), *facts)
        return cls(study, empty, measured=measured)

    def redraw(self, scene: Scene, rng: np.random.Generator) -> None:
        """Replace the predictions of the scene's arms on its target by newly drawn ones."""
        target = self.study.downstream_in(INSIDE if scene.measured is self.measured[INSIDE] else OUT)
        for arm, correct in scene.draw(rng).items():
            other = self.study.finetuned_the_other_way(target) if arm.startswith(FROZEN) else target
            evaluation = self.evaluations[(other or target).name]
            name = arm.removeprefix(FROZEN)
            evaluation.correct[name] = correct
            evaluation.seeds_of[name] = evaluation.seeds_of[SCRATCH]


def liability_table(measured: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """One row a target: domain, mean top-1 and the standard deviations of its liability."""
    names = list(Liability.__dataclass_fields__)
    rows = measured.items()
    return [
        {"domain": domain, "top1": one.top1} | dict(zip(names, astuple(one.liability), strict=True))
        for domain, one in rows
    ]
