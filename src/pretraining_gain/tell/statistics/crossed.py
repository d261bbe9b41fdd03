"""Variance of means over seeds and images (or classes) that are crossed: every seed saw the same images.

The model in mind: value of seed s on image i of class c = mean + seed + class + seed×class + image + residual. Two-way
clustering (Cameron, Gelbach and Miller 2011) adds what seeds and what images contribute and takes off once what both
contain, the residual. Few seeds need a wider critical value than their degrees of freedom alone give; see `total`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtridf, stdtrit

from pretraining_gain.errors import InputError

# The 95 % critical value is set this far from Satterthwaite's (too narrow at 3 seeds: 92 %) to Banerjee's (never too
# narrow, up to 97.7 %); with 2/3 a one-sided test at 5 % errs in 5.1 % at most wherever images contribute at all.
CAUTION = 2 / 3
ANCHOR = 0.975


@dataclass(frozen=True)
class Strata:
    """Weighted means of K strata of units (images of a class, classes of a group), and how sure they are.

    `by_seed` (S, K): each seed's mean. `spread` (K,): variance of the mean over seeds that its units cause, residual
    included; NaN where a stratum has one unit. `shared` (K,): the part of it, seed×unit noise, that also makes seeds
    differ. `df` (K,): degrees of freedom of `spread`, fewer than units - 1 where weights are unequal.
    """

    by_seed: np.ndarray
    spread: np.ndarray
    shared: np.ndarray
    df: np.ndarray


@dataclass(frozen=True)
class Total:
    """Means of G groups with `variance`, `df`, and the part of the variance that units cause with its own df: (G,) each;
    also the parts that seeds cause and that both contain."""

    mean: np.ndarray
    variance: np.ndarray
    df: np.ndarray
    unit_variance: np.ndarray
    unit_df: np.ndarray
    seed_variance: np.ndarray
    shared: np.ndarray


@dataclass(frozen=True)
class Sources:
    """The parts of one mean's variance, for tests far out in the tail, where `total`'s degrees of freedom are too many.

    Those fit at the level of a single test. Few seeds have longer tails: with three, a test at 0.5 % would err three times
    as often as it says. Here the critical value is mixed anew at each level, and is never below that of units alone.
    """

    seeds: float
    units: float
    shared: float
    n_seeds: int
    unit_df: float

    def reach(self, level: float) -> float:
        """How far from the truth the mean may come out with one-sided probability `level`."""
        by_units = float(stdtrit(self.unit_df, 1 - level)) ** 2 * self.units
        if self.n_seeds < 2:
            return float(np.sqrt(by_units))
        rest = max(self.units - self.shared, 0.0)
        variance = self.seeds + rest
        if not variance > 0:
            return float(np.sqrt(by_units))
        part = self.seeds / variance
        satterthwaite = 1 / (part**2 / (self.n_seeds - 1) + (1 - part) ** 2 / self.unit_df)
        squares = stdtrit(np.array([satterthwaite, self.n_seeds - 1, self.unit_df]), 1 - level) ** 2
        banerjee = squares[1] * self.seeds + squares[2] * rest
        return float(np.sqrt(max((1 - CAUTION) * squares[0] * variance + CAUTION * banerjee, by_units)))

    def p(self, distance: float) -> float:
        """One-sided p of a mean so far (above 0) from the bound."""
        least, most = np.log(1e-12), np.log(0.5)
        if distance >= self.reach(1e-12):
            return 1e-12
        return float(np.exp(brentq(lambda log: self.reach(np.exp(log)) - distance, least, most, xtol=1e-4)))


def checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`values` as (S, N) float and `labels` as (N,); raises `InputError` when they do not fit or a value is missing."""
    values, labels = np.asarray(values, dtype=float), np.asarray(labels)
    if values.ndim != 2 or labels.shape != values.shape[1:] or values.size == 0:
        raise InputError(
            f"values of shape (seeds, images) with labels (images,) wanted, got {values.shape}, {labels.shape}"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} of {values.size} values are missing or infinite")
    return values, labels


def sums(values: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """(S, U) values summed to (S, size) by `index` (U,)."""
    return np.stack([np.bincount(index, row, size) for row in values])


def class_means(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of each class by seed (S, C), class ids (C,) in ascending order, images of each class (C,)."""
    ids, index = np.unique(labels, return_inverse=True)
    n_images = np.bincount(index)
    return sums(values, index, len(ids)) / n_images, ids, n_images


def strata_of(values: np.ndarray, weights: np.ndarray, index: np.ndarray, size: int) -> Strata:
    """Strata of units with `values` (S, U) and `weights` (U,): stratum of each unit in `index` (U,) in 0..size-1.

    Squared deviations are divided by what they lack on average when all units are equally variable (1 - 1/n when
    equally weighted), so that balanced data give the textbook's unbiased variances.
    """
    weights = weights / np.bincount(index, weights, size)[index]
    by_seed = sums(values * weights, index, size)
    deviations = values - by_seed[:, index]
    squares = np.bincount(index, weights**2, size)
    lacking = 1 - 2 * weights + squares[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(lacking > 1e-12, weights**2 / lacking, np.nan)
    average = deviations.mean(axis=0)
    spread = np.bincount(index, scale * average**2, size)
    n_seeds = len(values)
    noise = ((deviations - average) ** 2).sum(axis=0) / (n_seeds * max(n_seeds - 1, 1))
    shared = np.bincount(index, scale * noise, size)
    df = squares**2 / np.bincount(index, weights**4, size) - 1
    return Strata(by_seed, spread, shared, df)


def images_within_classes(values: np.ndarray, labels: np.ndarray) -> tuple[Strata, np.ndarray, np.ndarray]:
    """Strata of images, one a class, with class ids (C,) and images of each class (C,).

    A class with a single image gets the variance of an image that the other classes have on average.
    """
    ids, index = np.unique(labels, return_inverse=True)
    n_images = np.bincount(index)
    strata = strata_of(values, np.ones(len(index)), index, len(ids))
    alone = n_images == 1
    if alone.any() and not alone.all():
        many, df = n_images[~alone], (n_images - 1)[~alone]
        spread, shared = strata.spread.copy(), strata.shared.copy()
        for part in (spread, shared):
            part[alone] = (part[~alone] * many * df).sum() / df.sum()
        strata = Strata(strata.by_seed, spread, shared, np.where(alone, df.sum(), strata.df))
    return strata, ids, n_images


def combine(strata: Strata, coefficients: np.ndarray, group: np.ndarray, size: int) -> Total:
    """Linear combinations of strata, one a group: sum of coefficient (K,) × stratum mean over strata in the group (K,)."""
    by_seed = sums(strata.by_seed * coefficients, group, size)
    parts = coefficients**2 * strata.spread
    unit_variance = np.bincount(group, parts, size)
    shared = np.bincount(group, coefficients**2 * strata.shared, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.bincount(group, np.where(strata.df > 0, parts**2 / strata.df, 0), size)
        unit_df = np.where(inverse > 0, unit_variance**2 / inverse, np.bincount(group, strata.df, size))
    seeds = seed_variance(by_seed)
    variance, df = total(seeds, unit_variance, shared, len(by_seed), unit_df)
    return Total(by_seed.mean(axis=0), variance, df, unit_variance, unit_df, seeds, shared)


def seed_variance(by_seed: np.ndarray) -> np.ndarray:
    """Variance of the mean over seeds (G,), from each seed's mean (S, G), by seeds alone; 0 for a single seed."""
    n_seeds = len(by_seed)
    return by_seed.var(axis=0, ddof=1) / n_seeds if n_seeds > 1 else np.zeros(by_seed.shape[1:])


def total(
    seeds: np.ndarray | float, units: np.ndarray | float, shared: np.ndarray | float, n_seeds: int, unit_df: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Variance and degrees of freedom of a mean from its parts, any shape.

    Variance: seeds + units - shared, and units alone where seeds differ no more than what they share explains (also
    where there is one seed: then the answer is about that seed). The degrees of freedom are those whose 95 % critical
    value, squared, lies `CAUTION` of the way from Satterthwaite's to Banerjee's weighted mean of t² (1960).
    """
    seeds, units, shared, unit_df = np.broadcast_arrays(seeds, units, shared, np.asarray(unit_df, dtype=float))
    differ = seeds > shared * (1 + 1e-9)
    variance = np.where(differ, seeds + units - shared, units)
    if n_seeds < 2:
        return variance, unit_df
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(differ, np.clip(seeds / variance, 0, 1), 0.0)
        satterthwaite = 1 / (part**2 / (n_seeds - 1) + (1 - part) ** 2 / unit_df)
    banerjee = part * stdtrit(n_seeds - 1, ANCHOR) ** 2 + (1 - part) * stdtrit(unit_df, ANCHOR) ** 2
    critical = np.sqrt((1 - CAUTION) * stdtrit(satterthwaite, ANCHOR) ** 2 + CAUTION * banerjee)
    return variance, np.where(part > 0, stdtridf(ANCHOR, critical), unit_df)
