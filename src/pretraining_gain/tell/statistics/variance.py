"""Variance of means over seeds crossed with images (or classes): every seed saw the same images.

Model: value of seed s on image i of class c = mean + seed + class + seed×class + image + residual. Two-way clustering
(Cameron, Gelbach and Miller 2011) adds the variance from seeds to that from images and subtracts once what both contain,
the residual. Few seeds need a wider critical value than their degrees of freedom alone give; see `total`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtridf, stdtrit

from pretraining_gain.errors import InputError

# How far the squared critical value lies from Satterthwaite's (too narrow at 3 seeds: 92 %) to Banerjee's (never too
# narrow, up to 97.7 %). At 2/3, a one-sided test at 5 % errs in at most 5.1 % wherever images contribute at all.
CAUTION = 2 / 3
ANCHOR = 0.975
Floats = np.ndarray | float


@dataclass(frozen=True)
class Strata:
    """Weighted means of K strata of units (images of a class, classes of a group) and their variance parts.

    `by_seed` (S, K): each seed's mean. `spread` (K,): variance of the mean over seeds due to units, residual included; NaN
    where a stratum has one unit. `shared` (K,): its part that also makes seeds differ. `df` (K,): of `spread`.
    """

    by_seed: np.ndarray
    spread: np.ndarray
    shared: np.ndarray
    df: np.ndarray


@dataclass(frozen=True)
class Total:
    """Means of G groups, their variance and degrees of freedom, and the parts of the variance: (G,) each."""

    mean: np.ndarray
    variance: np.ndarray
    df: np.ndarray
    unit_variance: np.ndarray
    unit_df: np.ndarray
    seed_variance: np.ndarray
    shared: np.ndarray


@dataclass(frozen=True)
class Sources:
    """Variance parts of one mean, for tests far out in the tail, where `total`'s degrees of freedom are too many.

    The critical value is mixed again at each level, and never falls below that of units alone.
    """

    seeds: float
    units: float
    shared: float
    n_seeds: int
    unit_df: float

    def reach(self, level: float) -> float:
        """Return the distance from the truth that the mean exceeds with one-sided probability `level`."""
        by_units = float(stdtrit(self.unit_df, 1 - level)) ** 2 * self.units
        variance = self.seeds + max(self.units - self.shared, 0.0)
        if self.n_seeds < 2 or not variance > 0:
            return float(np.sqrt(by_units))
        squared = critical_squared(np.float64(self.seeds / variance), self.n_seeds, np.float64(self.unit_df), 1 - level)
        return float(np.sqrt(max(float(variance * squared), by_units)))

    def p(self, distance: float) -> float:
        """Return the one-sided p of a mean that lies `distance` (above 0) from the bound; 1e-12 at least."""
        if distance >= self.reach(1e-12):
            return 1e-12
        missing = lambda log: self.reach(np.exp(log)) - distance  # noqa: E731
        return float(np.exp(brentq(missing, np.log(1e-12), np.log(0.5), xtol=1e-8)))


def checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `values` as (S, N) float and `labels` as (N,). Raises `InputError` when shapes differ or a value is missing."""
    values, labels = np.asarray(values, dtype=float), np.asarray(labels)
    if values.ndim != 2 or labels.shape != values.shape[1:] or values.size == 0:
        raise InputError(
            f"values of shape {values.shape} with labels of shape {labels.shape}; accepted: (seeds, images) with (images,)"
        )
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} of {values.size} values are missing or infinite")
    return values, labels


def sums(values: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Sum (S, U) values to (S, size) by `index` (U,)."""
    return np.stack([np.bincount(index, row, size) for row in values])


def class_means(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each class's mean by seed (S, C), class ids (C,) in ascending order, and images per class (C,)."""
    ids, index = np.unique(labels, return_inverse=True)
    n_images = np.bincount(index)
    return sums(values, index, len(ids)) / n_images, ids, n_images


def strata_of(values: np.ndarray, weights: np.ndarray, index: np.ndarray | None = None, size: int = 1) -> Strata:
    """Return strata of units with `values` (S, U) and `weights` (U,); `index` (U,) is each unit's stratum.

    Balanced data give the textbook's unbiased variances.
    """
    index = np.zeros(len(weights), int) if index is None else index
    weights = weights / np.bincount(index, weights, size)[index]
    by_seed = sums(values * weights, index, size)
    deviations = values - by_seed[:, index]
    squares = np.bincount(index, weights**2, size)
    lacking = 1 - 2 * weights + squares[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(lacking > 1e-12, weights**2 / lacking, np.nan)
    average, n_seeds = deviations.mean(axis=0), len(values)
    noise = ((deviations - average) ** 2).sum(axis=0) / (n_seeds * max(n_seeds - 1, 1))
    spread, shared = np.bincount(index, scale * average**2, size), np.bincount(index, scale * noise, size)
    return Strata(by_seed, spread, shared, squares**2 / np.bincount(index, weights**4, size) - 1)


def images_within_classes(values: np.ndarray, labels: np.ndarray) -> tuple[Strata, np.ndarray, np.ndarray]:
    """Return strata of images, one per class, with class ids (C,) and images per class (C,).

    A class with a single image gets the variance that an image of the other classes has on average.
    """
    ids, index = np.unique(labels, return_inverse=True)
    n_images = np.bincount(index)
    strata = strata_of(values, np.ones(len(index)), index, len(ids))
    alone = n_images == 1
    if alone.any() and not alone.all():
        many, df = n_images[~alone], (n_images - 1)[~alone]
        for part in (strata.spread, strata.shared):
            part[alone] = (part[~alone] * many * df).sum() / df.sum()
        strata.df[alone] = df.sum()
    return strata, ids, n_images


def combine(strata: Strata, coefficients: np.ndarray, group: np.ndarray | None = None, size: int = 1) -> Total:
    """Return one linear combination per group: the sum of coefficient × stratum mean over its strata; all (K,)."""
    group = np.zeros(len(strata.df), int) if group is None else group
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
    """Return the variance of the mean over seeds (G,) due to seeds alone, from (S, G); 0 for a single seed."""
    n_seeds = len(by_seed)
    return by_seed.var(axis=0, ddof=1) / n_seeds if n_seeds > 1 else np.zeros(by_seed.shape[1:])


def critical_squared(part: Floats, n_seeds: int, unit_df: Floats, p: float) -> np.ndarray:
    """Return the squared critical value at probability `p`; `part`: the share of the variance that seeds cause.

    It lies `CAUTION` of the way from Satterthwaite's to Banerjee's weighted mean of t² (1960).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        satterthwaite = 1 / (part**2 / (n_seeds - 1) + (1 - part) ** 2 / unit_df)
    banerjee = part * stdtrit(n_seeds - 1, p) ** 2 + (1 - part) * stdtrit(unit_df, p) ** 2
    return (1 - CAUTION) * stdtrit(satterthwaite, p) ** 2 + CAUTION * banerjee


def total(seeds: Floats, units: Floats, shared: Floats, n_seeds: int, unit_df: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Return variance and degrees of freedom of a mean from its parts, of any shape.

    Variance: seeds + units - shared, or units alone where seeds differ no more than `shared` explains, and with one
    seed, when the answer is about that seed. The degrees of freedom have the 95 % critical value of `critical_squared`.
    """
    seeds, units, shared, unit_df = np.broadcast_arrays(seeds, units, shared, np.asarray(unit_df, dtype=float))
    differ = seeds > shared * (1 + 1e-9)
    variance = np.where(differ, seeds + units - shared, units)
    if n_seeds < 2:
        return variance, unit_df
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(differ, np.clip(seeds / variance, 0, 1), 0.0)
    critical = np.sqrt(critical_squared(part, n_seeds, unit_df, ANCHOR))
    return variance, np.where(part > 0, stdtridf(ANCHOR, critical), unit_df)
