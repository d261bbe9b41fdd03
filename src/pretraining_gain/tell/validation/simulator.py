"""Simulate which predictions of a study's arms are right: the truth is known, the variability is that of real results.

Threshold model: an arm gets an image right when its liability exceeds 0. The liability sums normal deviates of class and
image (shared by all arms, so pairing pays), of class and image in this arm, of seed and seed × class in this arm, and a
residual of standard deviation 1. Each arm's mean liability is set so that its expected top-1 is the planted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import multivariate_normal

from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.tell.results.evaluation import Evaluation

Correct = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Liability:
    """Standard deviations of the terms of the liability, in units of the residual's."""

    class_: float
    class_by_arm: float
    image: float
    image_by_arm: float
    seed: float
    seed_class: float

    @property
    def within_class(self) -> float:
        """The standard deviation of the liability of a given class, residual included."""
        return float(np.sqrt(1 + self.image**2 + self.image_by_arm**2 + self.seed**2 + self.seed_class**2))


@dataclass(frozen=True)
class Simulator:
    """A study of `n_seeds` seeds on images of the classes `labels` (N,), whose arms have the expected `top1`.

    `top1` is one number per arm, or one per class (C,) in the order of class ids. Random classes differ in each draw, with
    expectation `top1`. Fixed classes stay the same: the mean over their images is `top1`.
    """

    labels: np.ndarray
    liability: Liability
    top1: Mapping[str, float | np.ndarray]
    n_seeds: int
    classes: Literal["fixed", "random"] = "fixed"

    @cached_property
    def index(self) -> np.ndarray:
        """(N,) class of each image as 0..C-1, in the order of class ids."""
        return np.unique(self.labels, return_inverse=True)[1]

    @cached_property
    def means(self) -> np.ndarray:
        """(A, C) mean liability by arm and class; for fixed classes their effects included."""
        sizes, spread = np.bincount(self.index), self.liability
        if self.classes == "random":
            everywhere = np.stack([np.broadcast_to(value, len(sizes)) for value in self.top1.values()])
            return ndtri(everywhere) * np.sqrt(spread.within_class**2 + spread.class_**2 + spread.class_by_arm**2)
        shared, found = spread.class_ * _named_deviates("shared", len(sizes)), []
        for arm, top1 in self.top1.items():
            effects = shared + spread.class_by_arm * _named_deviates(arm, len(sizes))
            found.append(effects + _shift_to(top1, effects, spread.within_class, sizes / sizes.sum()))
        return np.stack(found)

    def draw_classes(self, rng: np.random.Generator) -> np.ndarray:
        """Return (A, C) liabilities of the classes in each arm: new classes if they are random."""
        if self.classes == "fixed":
            return self.means
        shared = _normal(rng, self.liability.class_, self.means.shape[1])
        return self.means + shared + _normal(rng, self.liability.class_by_arm, *self.means.shape)

    def expected_top1(self, classes: np.ndarray) -> np.ndarray:
        """Return (A, C) expected top-1, over seeds and images, of classes from `draw_classes`."""
        return ndtr(classes / self.liability.within_class)

    def draw(self, rng: np.random.Generator, classes: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return (S, N) bool per arm: which predictions are right. `classes` from `draw_classes`; drawn if not given."""
        classes = self.draw_classes(rng) if classes is None else classes
        (n_arms, n_classes), n_images, spread = classes.shape, len(self.index), self.liability
        seeds = _normal(rng, spread.seed, n_arms, self.n_seeds, 1)
        seeds = seeds + _normal(rng, spread.seed_class, n_arms, self.n_seeds, n_classes)
        images = _normal(rng, spread.image, n_images) + _normal(rng, spread.image_by_arm, n_arms, n_images)
        liability = (classes[:, None] + seeds).astype(np.float32)[:, :, self.index] + images[:, None]
        liability += _normal(rng, 1.0, *liability.shape)
        return dict(zip(self.top1, liability > 0, strict=True))


def _normal(rng: np.random.Generator, scale: float, *shape: int) -> np.ndarray:
    return scale * rng.standard_normal(shape, dtype=np.float32)


def _named_deviates(name: str, size: int) -> np.ndarray:
    return np.random.default_rng([*name.encode()]).standard_normal(size)


def _shift_to(top1: float | np.ndarray, effects: np.ndarray, within_class: float, shares: np.ndarray) -> float:
    """Return what must be added to the class effects for the mean top-1, weighted by `shares`, to be as planted."""
    return float(brentq(lambda shift: (ndtr((effects + shift) / within_class) - top1) @ shares, -50, 50))


@dataclass(frozen=True)
class Target:
    """A target as measured: its evaluation, the arms that were measured, their mean top-1, and the fitted liability."""

    evaluation: Evaluation
    arms: Correct
    top1: float
    liability: Liability

    @classmethod
    def of(cls, evaluation: Evaluation, arms: Correct) -> Target:
        top1 = float(np.mean([correct.mean() for correct in arms.values()]))
        return cls(evaluation, arms, top1, fit_liability(arms, evaluation.labels))

    def simulator(
        self, top1: Mapping[str, float | np.ndarray], n_seeds: int, classes: Literal["fixed", "random"] = "fixed"
    ) -> Simulator:
        return Simulator(self.evaluation.labels, self.liability, top1, n_seeds, classes)


def paper_arms(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Return (S, N) correct of each arm of the paper's own design."""
    names = [SCRATCH, *evaluation.study.weights, *(f"{pool}-k{k}" for pool, ks in evaluation.study.arms.items() for k in ks)]
    return {name: evaluation.correct[name] for name in names if name in evaluation.correct}


def fit_liability(arms: Correct, labels: np.ndarray) -> Liability:
    """Fit the threshold model to (S, N) correct of two or more arms on images of the classes `labels` (N,).

    By tetrachoric correlations of answers that share image, class, arm or seed, averaged over arms and pairs of arms: the
    rise when one more thing is shared is that thing's part of the variance; negative parts are set to 0.
    """
    answers = [correct.astype(float) for correct in arms.values()]
    within = np.mean([_correlations(arm, arm, labels) for arm in answers], axis=0)
    pairs = [_correlations(first, second, labels) for first, second in combinations(answers, 2)]
    (image, class_, seed_class, seed), (image_shared, class_shared) = within, np.mean(pairs, axis=0)
    shared = image_shared - class_shared
    parts = [class_shared, class_ - class_shared, shared, image - class_ - shared, seed, seed_class - class_ - seed]
    cut = np.maximum(parts, 0)
    return Liability(*map(float, np.sqrt(cut / max(1 - cut.sum(), 0.05))))


def _correlations(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> list[float]:
    """Correlate liabilities of answers to the same image, and to the same class; within one arm also to the same class by
    the same seed, and by the same seed. Each is beyond what pairs that share nothing show."""
    same_arm = first is second
    _, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = [np.stack([np.bincount(index, row) for row in arm]) for arm in (first, second)]
    # (S, S) numbers of pairs that are both right, by seed of the one and of the other; then shares of all such pairs
    same_image, same_class = first @ second.T, by_class[0] @ by_class[1].T
    everything = np.outer(first.sum(axis=1), second.sum(axis=1))
    n_images, n_class = len(labels), (sizes**2).sum()
    image, class_ = same_image / n_images, (same_class - same_image) / (n_class - n_images)
    nothing = (everything - same_class) / (n_images**2 - n_class)
    same_seed = np.eye(len(first), dtype=bool)
    other = ~same_seed if same_arm else np.ones_like(same_seed)
    both_right = [image[other].mean(), class_[other].mean()]
    if same_arm:
        both_right += [class_[same_seed].mean(), nothing[same_seed].mean()]
    ratio = np.sqrt(first.mean() / second.mean())
    return [_tetrachoric(share, np.sqrt(nothing[other].mean()) * np.array([ratio, 1 / ratio])) for share in both_right]


def _tetrachoric(both: float, alone: np.ndarray) -> float:
    """Return the correlation at which two normal deviates both exceed their thresholds with probability `both`; each exceeds
    its own with the probability in `alone` (2,)."""
    heights = ndtri(alone)

    def above(correlation: float) -> float:
        return multivariate_normal.cdf(heights, cov=[[1, correlation], [correlation, 1]])

    least, most = -0.99, 0.999
    if not above(least) < both < above(most):
        return least if both <= above(least) else most
    return float(brentq(lambda correlation: above(correlation) - both, least, most))
