"""Model all arms of a target together: the runs, images and species behind each estimate.

Answer of a run (arm, seed) on an image of a class = the arm's mean + class + image (both by arm) + run + run × class + residual.
An estimate is a weighted sum of arms and of classes. Its variance has two sources: runs, whose variance is pooled over all
arms of the target, and units, the images of these species or the species themselves. What both contain counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import chi2

from pretraining_gain.errors import InputError

#: Below this p of Bartlett's test that all arms' runs vary alike, each arm keeps its own variance.
HOMOGENEITY = 0.01
#: Degrees of freedom below which the images of a class do not estimate its variance by themselves.
FEW = 8
Weights = Mapping[str, float]
#: (K, C): K sums of class means, by the weight of each class; sparse where they are many groups.
Effects: TypeAlias = "np.ndarray | csr_array"


@dataclass(frozen=True)
class Answers:
    """Answers of a target's runs: `correct[arm]` (S, N) is 1 or 0, or the difference of two such; `labels` (N,) class ids."""

    correct: Mapping[str, np.ndarray]
    labels: np.ndarray

    def __post_init__(self) -> None:
        for arm, values in self.correct.items():
            if values.ndim != 2 or values.size == 0 or values.shape[1:] != self.labels.shape:
                shapes = f"{values.shape} with labels of shape {self.labels.shape}"
                raise InputError(f"answers of {arm!r} have shape {shapes}; accepted: (seeds, images) with (images,)")

    @cached_property
    def ids(self) -> np.ndarray:
        """(C,) ids of the classes that have images, ascending."""
        return np.unique(self.labels)

    @cached_property
    def index(self) -> np.ndarray:
        """(N,) place of each image's class in `ids`."""
        return np.searchsorted(self.ids, self.labels)

    @cached_property
    def n_images(self) -> np.ndarray:
        """(C,) images per class."""
        return np.bincount(self.index)

    @cached_property
    def means(self) -> dict[str, np.ndarray]:
        """(S, C) per arm: top-1 of each run on each class."""
        return {
            arm: np.stack([np.bincount(self.index, row) for row in runs]) / self.n_images for arm, runs in self.correct.items()
        }

    def only(self, classes: Collection[int]) -> Answers:
        """Keep the images of these classes."""
        kept = np.isin(self.labels, list(classes))
        return Answers({arm: values[:, kept] for arm, values in self.correct.items()}, self.labels[kept])

    def class_contrast(self, weights: Weights) -> np.ndarray:
        """(C,) weighted sum of the arms' class means over seeds."""
        return sum(weight * self.means[arm].mean(axis=0) for arm, weight in weights.items())

    def n_seeds(self, weights: Weights) -> int:
        """Return the runs of the compared arm that has fewest."""
        return min(len(self.correct[arm]) for arm in weights)


def per_run(answers: Answers, weights: Weights) -> float:
    """Return how many times the variance of one run a weighted sum of arms has: the sum of weight² / runs."""
    return sum(weight**2 / len(answers.correct[arm]) for arm, weight in weights.items())


@dataclass(frozen=True)
class RunPart:
    """The part of the variance due to runs, its degrees of freedom, and p of equal variances; (K,) each. 0 df: one seed."""

    variance: np.ndarray
    df: np.ndarray
    homogeneity: np.ndarray


def run_part(answers: Answers, weights: Weights, effects: Effects) -> RunPart:
    """Estimate how runs make K sums of class means vary; `effects` (K, C) weights the classes of each.

    The variance within arms is pooled over all arms that have two runs, unless Bartlett's test finds the arms unequal.
    """
    squares, dfs = {}, {}
    for arm, means in answers.means.items():
        by_run = (effects @ means.T).T
        squares[arm], dfs[arm] = ((by_run - by_run.mean(axis=0)) ** 2).sum(axis=0), len(means) - 1
    df = sum(dfs.values())
    if not df:
        return RunPart(np.zeros(effects.shape[0]), np.zeros(effects.shape[0]), np.ones(effects.shape[0]))
    pooled = np.sum(list(squares.values()), axis=0) / df
    p = bartlett({arm: squares[arm] / dfs[arm] for arm in squares if dfs[arm]}, dfs)
    parts = {}
    for arm, weight in weights.items():
        own = squares[arm] / dfs[arm] if dfs[arm] else pooled
        parts[arm] = weight**2 / len(answers.means[arm]) * own
    separate = np.sum(list(parts.values()), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        separate_df = separate**2 / np.sum([part**2 / (dfs[arm] or df) for arm, part in parts.items()], axis=0)
    alike = (p >= HOMOGENEITY) | ~(separate > 0)
    return RunPart(np.where(alike, per_run(answers, weights) * pooled, separate), np.where(alike, df, separate_df), p)


def bartlett(variances: Mapping[str, np.ndarray], dfs: Mapping[str, int]) -> np.ndarray:
    """Return p of Bartlett's test of equal variances for (K,) variances per arm; 1 where there is no test (one arm, or a 0,
    which rounding may leave a little above it).

    As scipy's `bartlett` on the runs, for many sums of classes at once.
    """
    values, df = np.stack(list(variances.values())), np.array([dfs[arm] for arm in variances])[:, None]
    if len(values) < 2:
        return np.ones(values.shape[1])
    pooled, total = (df * values).sum(axis=0) / df.sum(), df.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = total * np.log(pooled) - (df * np.log(values)).sum(axis=0)
    statistic /= 1 + ((1 / df).sum() - 1 / total) / (3 * (len(values) - 1))
    return np.where((values > 1e-20).all(axis=0), chi2.sf(statistic, len(values) - 1), 1.0)


@dataclass(frozen=True)
class Units:
    """Variance that one unit of squared class weight brings, by class (C,): of the contrast, and its part that runs share.

    `df` (C,): its degrees of freedom. Classes marked in `together` (C,) estimate one variance, which has these only once.
    """

    variance: np.ndarray
    shared: np.ndarray
    df: np.ndarray
    together: np.ndarray


def image_noise(correct: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per image, the mean over runs (S, N) of its distance from the centre, and the sum of squares of runs around it."""
    deviations = correct - centres
    average = deviations.mean(axis=0)
    return average, ((deviations - average) ** 2).sum(axis=0)


def image_units(answers: Answers, weights: Weights) -> Units:
    """Return the images within each class as units, for a statement about these very species.

    Classes with fewer than nine images share the variance of an image of all: by chance, the few of one class may be all
    alike. Where all classes have one image, that of all images stands for it, which is too wide.
    """
    total, shared = np.zeros(len(answers.labels)), np.zeros(len(answers.ids))
    df = answers.n_images - 1
    all_df = df.sum() or max(len(df) - 1, 1)
    for arm, weight in weights.items():
        correct, means = answers.correct[arm], answers.means[arm]
        average, squares = image_noise(correct, means[:, answers.index] if df.any() else means.mean(axis=1, keepdims=True))
        total += weight * average
        shared += weight**2 * np.bincount(answers.index, squares / (len(correct) * max(len(correct) - 1, 1)))
    together = df < FEW

    def of_image(squares: np.ndarray) -> np.ndarray:
        return np.where(together, squares.sum() / all_df, squares / np.maximum(df, 1)) / answers.n_images

    variance = of_image(np.bincount(answers.index, total**2))
    return Units(variance, of_image(shared), np.where(together, all_df, df).astype(float), together)


def class_units(answers: Answers, weights: Weights, group: np.ndarray, covariate: np.ndarray | None = None) -> Units:
    """Return classes within groups (C,) as units, for a statement about species like these: one variance for all.

    With `covariate` (C,) also its slope is taken out. Raises `InputError` when no group has two classes.
    """
    n_groups = int(group.max()) + 1
    df = len(group) - n_groups - (covariate is not None)
    if df < 1:
        raise InputError(f"{len(group)} classes in {n_groups} groups; accepted: more classes, in groups of two or more")
    slope = None if covariate is None else within(covariate[None], group)[0]

    def rest(values: np.ndarray) -> np.ndarray:
        left = within(values, group)
        return left if slope is None else left - np.outer(left @ slope / (slope @ slope), slope)

    squares = (rest(answers.class_contrast(weights)[None]) ** 2).sum()
    shared = 0.0
    for arm, weight in weights.items():
        means = answers.means[arm]
        noise = rest(means - means.mean(axis=0))
        shared += weight**2 * (noise**2).sum() / (len(means) * max(len(means) - 1, 1))
    everywhere = np.ones(len(group))
    return Units(everywhere * squares / df, everywhere * shared / df, everywhere * df, everywhere > 0)


def within(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Subtract from (R, C) values their group's mean; `group` (C,) is 0..G-1."""
    sizes = np.bincount(group)
    return values - np.stack([np.bincount(group, row) / sizes for row in values])[:, group]


def total_variance(runs: RunPart, units: Units, effects: Effects) -> tuple[np.ndarray, np.ndarray]:
    """Return variance and degrees of freedom (Satterthwaite) of K sums: runs + units - what both contain.

    With one seed in all arms the answer is about that seed.
    """
    squares, together = effects**2, units.together
    variance, shared = squares @ units.variance, squares @ units.shared
    apart, joint = np.where(together, 0, units.variance), np.where(together, units.variance, 0)
    unsure_units = squares**2 @ (apart**2 / units.df) + (squares @ joint) ** 2 / units.df.max(where=together, initial=1)
    beyond = np.where(runs.df > 0, np.maximum(variance - shared, 0), variance)
    total = runs.variance + beyond
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(variance > 0, variance**2 / unsure_units, units.df.max())
        unsure = np.where(runs.df > 0, runs.variance**2 / runs.df, 0) + np.where(beyond > 0, variance**2 / df, 0)
        found = np.where(unsure > 0, total**2 / unsure, np.maximum(runs.df, df))
    # A difference of variances can push it below the smaller of the two.
    return total, np.maximum(found, np.where(runs.df > 0, np.minimum(runs.df, df), df))
