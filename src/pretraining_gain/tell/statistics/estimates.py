"""Estimates with standard error, interval and tests; closed forms without randomness (paper, 2 and 3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics.variance import (
    Sources,
    Total,
    checked,
    class_means,
    combine,
    images_within_classes,
    seed_variance,
    strata_of,
    total,
)


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error and the degrees of freedom of the t distribution for its tests.

    These fit tests at about five percent; use `strict` for one test among many. `ends`: its smallest and largest value.
    """

    mean: float
    se: float
    df: float
    n_seeds: int
    n_classes: int
    n_images: int
    sources: Sources | None = field(default=None, kw_only=True)
    ends: tuple[float, float] = field(default=(-np.inf, np.inf), kw_only=True)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided interval that contains the truth with probability `level`."""
        half = float(stdtrit(self.df, (1 + level) / 2)) * self.se
        return max(self.mean - half, self.ends[0]), min(self.mean + half, self.ends[1])

    def p_above(self, bound: float = 0.0) -> float:
        """Return the one-sided p of H0 *the truth is at most `bound`*: small when it is above."""
        return float(stdtr(self.df, -self._t(bound)))

    def p_below(self, bound: float = 0.0) -> float:
        """Return the one-sided p of H0 *the truth is at least `bound`*: small when it is below."""
        return float(stdtr(self.df, self._t(bound)))

    @property
    def p_different(self) -> float:
        """The two-sided p of H0 *the truth is 0*."""
        return 2 * min(self.p_above(), self.p_below())

    def p_equivalent(self, margin: float) -> float:
        """Return the larger p of two one-sided tests of H0 *the truth is `margin` or more away from 0* (Schuirmann 1987)."""
        if not margin > 0:
            raise InputError(f"an equivalence margin must be above 0, got {margin}")
        return max(self.p_above(-margin), self.p_below(margin))

    def strict(self, p: float, bound: float) -> float:
        """Return the one-sided `p` against `bound`, corrected where it is compared with levels below 0.05; see `Sources`."""
        distance = abs(self.mean - bound)
        return p if p >= 0.05 or self.sources is None or distance < 1e-12 else max(p, self.sources.p(distance))

    def _t(self, bound: float) -> float:
        distance = self.mean - bound
        if abs(distance) < 1e-12:  # at the bound, up to rounding
            return 0.0
        return distance / self.se if self.se > 0 else float(np.copysign(np.inf, distance))


@dataclass(frozen=True)
class Correlation(Estimate):
    """A correlation, tested on Fisher's z = artanh(r), whose standard error is `z_se`; `se` is that of r."""

    z_se: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        half = float(stdtrit(self.df, (1 + level) / 2)) * self.z_se
        z = np.arctanh(np.clip(self.mean, -1 + 1e-12, 1 - 1e-12))
        return float(np.tanh(z - half)), float(np.tanh(z + half))

    def _t(self, bound: float) -> float:
        z, at_bound = np.arctanh(np.clip([self.mean, bound], -1 + 1e-12, 1 - 1e-12))
        return float(z - at_bound) / self.z_se


def estimate_mean(values: np.ndarray, labels: np.ndarray, *, classes: Literal["fixed", "random"]) -> Estimate:
    """Estimate the mean over all images, for seeds and images like these and for `fixed` or `random` classes.

    A class counts by its images. With one seed the answer is about that seed.
    Raises `InputError` for random classes when there is one class, for fixed ones when each class has one image.
    """
    values, labels = checked(values, labels)
    if classes == "fixed":
        strata, ids, n_images = images_within_classes(values, labels)
        if len(ids) == len(labels):
            raise InputError("fixed classes need at least one class with two images")
        combined = combine(strata, n_images / n_images.sum())
    elif classes == "random":
        means, ids, n_images = class_means(values, labels)
        if len(ids) < 2:
            raise InputError(f"random classes need at least two classes, got {len(ids)}")
        combined = combine(strata_of(means, n_images), np.ones(1))
    else:
        raise InputError(f"classes {classes!r} is not accepted; accepted: fixed, random")
    return _estimate(combined, len(values), len(ids), len(labels))


def estimate_difference(
    values: np.ndarray, labels: np.ndarray, first: Collection[int], second: Collection[int]
) -> Estimate:
    """Estimate the mean over images of the `first` classes minus that of the `second`, classes random in both.

    As in Welch's test, the groups may differ in spread. What a seed does to both groups alike cancels.
    Raises `InputError` when the groups overlap or one has fewer than two classes with images.
    """
    values, labels = checked(values, labels)
    means, ids, n_images = class_means(values, labels)
    in_first, in_second = np.isin(ids, list(first)), np.isin(ids, list(second))
    if (in_first & in_second).any():
        raise InputError(f"class {ids[in_first & in_second][0]} is in both groups")
    if min(in_first.sum(), in_second.sum()) < 2:
        raise InputError(f"two groups of at least two classes wanted, got {in_first.sum()} and {in_second.sum()}")
    used = in_first | in_second
    strata = strata_of(means[:, used], n_images[used], in_second[used].astype(int), 2)
    combined = combine(strata, np.array([1.0, -1.0]))
    return _estimate(combined, len(values), int(used.sum()), int(n_images[used].sum()))


def _estimate(combined: Total, n_seeds: int, n_classes: int, n_images: int) -> Estimate:
    one = {name: float(values[0]) for name, values in vars(combined).items()}
    sources = Sources(one["seed_variance"], one["unit_variance"], one["shared"], n_seeds, one["unit_df"])
    se = float(np.sqrt(one["variance"]))
    return Estimate(one["mean"], se, one["df"], n_seeds, n_classes, n_images, sources=sources)


def estimate_share_positive(values: np.ndarray, labels: np.ndarray) -> Estimate:
    """Estimate the share of classes (random) whose mean over these seeds and images comes out above 0; ties count half.

    Noise pulls it towards one half, so a majority is, if anything, larger in truth. The error has two parts: classes (with
    two more of either sign, so that it is not 0 at 0 % and 100 %), and a shift of all classes by the seeds' error.
    """
    values, labels = checked(values, labels)
    means, ids, _ = class_means(values, labels)
    average, n_classes, n_seeds = means.mean(axis=0), len(ids), len(means)
    share = _share_above(average, 0.0)
    steadied = (share * n_classes + 2) / (n_classes + 4)
    by_classes = steadied * (1 - steadied) / n_classes
    by_seeds = 0.0
    if n_seeds > 1 and n_classes > 1:
        strata = strata_of(means, np.ones(n_classes))
        excess = max(0.0, float(seed_variance(strata.by_seed)[0] - strata.shared[0]))
        reach = float(stdtrit(n_seeds - 1, 0.95))
        least, most = (_share_above(average, sign * reach * np.sqrt(excess)) for sign in (1, -1))
        by_seeds = (max(share - least, most - share) / reach) ** 2
    variance, df = total(by_seeds, by_classes, 0.0, n_seeds, max(n_classes - 1, 1))
    return Estimate(share, float(np.sqrt(variance)), float(df), n_seeds, n_classes, len(labels), ends=(0.0, 1.0))


def _share_above(means: np.ndarray, bound: float) -> float:
    return float((means > bound + 1e-12).mean() + (np.abs(means - bound) <= 1e-12).mean() / 2)


def estimate_correlation(
    values: np.ndarray, labels: np.ndarray, covariate: pd.Series, *, rank: bool = False
) -> Correlation:
    """Estimate the correlation over classes (random) of a class's measured mean with `covariate`.

    `covariate` maps class id to x; classes without it are left out. Pearson's r, or with `rank` Spearman's. Variance on
    Fisher's z: Bonett and Wright (2000), plus how far seeds disagree on r.
    Raises `InputError` below four classes or without spread.
    """
    values, labels = checked(values, labels)
    means, ids, n_images = class_means(values, labels)
    x = covariate.reindex(ids).to_numpy(dtype=float)
    known = np.isfinite(x)
    x, means, n_classes = x[known], means[:, known], int(known.sum())
    if n_classes < 4:
        raise InputError(f"a correlation needs at least four classes with a covariate, got {n_classes}")
    by_seed, y = means, means.mean(axis=0)
    if rank:
        x, y, by_seed = rankdata(x), rankdata(y), rankdata(means, axis=1)
    if np.ptp(x) == 0 or np.ptp(y) < 1e-12:
        raise InputError("no correlation: covariate or class means are all equal")
    r = float(np.corrcoef(x, y)[0, 1])
    standard = (x - x.mean()) / x.std()
    parts = standard * (by_seed - by_seed.mean(axis=1, keepdims=True)) / (n_classes * y.std())
    shared = (seed_variance(parts)).sum() * n_classes / (n_classes - 2)
    steep = max(1 - r**2, 1e-6)
    by_classes = (1 + r**2 / 2 * rank) / (n_classes - 3)
    seeds = seed_variance(parts.sum(axis=1, keepdims=True))[0]
    variance, df = total(seeds / steep**2, by_classes, shared / steep**2, len(values), n_classes - 2)
    z_se = float(np.sqrt(variance))
    return Correlation(r, z_se * steep, float(df), len(values), n_classes, int(n_images[known].sum()), z_se)


def paired_factor(first: np.ndarray, second: np.ndarray) -> float:
    """Return how many times narrower pairing by image makes the interval of `first` minus `second`, both (S, N) correct."""
    first, second = np.mean(first, axis=0, dtype=float), np.mean(second, axis=0, dtype=float)
    return float(np.sqrt((first.var() + second.var()) / (first - second).var()))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted by Holm's step-down method: testing them at alpha errs anywhere with probability alpha.

    statsmodels' `multipletests` gives the same but collects garbage at each call: 58 ms instead of 0.004.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted
