"""Estimate means of groups of classes (families, supercategories, arms), and how much the groups differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ncfdtr, ndtri, stdtrit
from scipy.stats import f as f_distribution
from statsmodels.stats.oneway import anova_generic, equivalence_oneway_generic

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics.variance import (
    ANCHOR,
    Strata,
    Total,
    checked,
    class_means,
    combine,
    images_within_classes,
    seed_variance,
    strata_of,
    sums,
    total,
)

FEW_CLASSES = 10


def group_means(
    values: np.ndarray, labels: np.ndarray, group_of_class: pd.Series, *, resample_classes: bool
) -> pd.DataFrame:
    """Estimate each group's mean over the images of its classes, with a closed-form 95 % interval.

    `group_of_class` maps class id to group. With `resample_classes` the classes of a group stand for others like them;
    otherwise, or where every group is one class, only their images do. Groups of fewer than ten classes borrow how seeds
    and classes vary from all classes. Intervals end at the smallest and largest of `values`.
    Returns one row per group in order of appearance: group, mean, low, high, se, df, n_classes, n_images.
    """
    table = _Table.of(values, labels, group_of_class, resample_classes)
    half = stdtrit(table.closed.df, ANCHOR) * np.sqrt(table.closed.variance)
    return table.frame(-half, half)


def bootstrap_means(
    values: np.ndarray,
    labels: np.ndarray,
    group_of_class: pd.Series,
    *,
    resample_classes: bool,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate each group's mean as `group_means`, with a percentile interval, which can be lopsided.

    Each draw reweights the classes of each group, images included, or resamples the images within each class. The few
    seeds are not resampled, which would make them vary too little: a normal deviate is added, scaled so that the
    interval is as long as the closed form's. Randomness: `seed` only.
    """
    table = _Table.of(values, labels, group_of_class, resample_classes)
    closed, rng = table.closed, np.random.default_rng(seed)
    deviations = _reweight_classes(table, draws, rng) if table.by_classes else _resample_images(table, draws, rng, seed)
    stretch = stdtrit(closed.unit_df, ANCHOR) / ndtri(ANCHOR)
    wanted = (stdtrit(closed.df, ANCHOR) / ndtri(ANCHOR)) ** 2 * closed.variance
    missing = wanted - stretch**2 * deviations.var(axis=1, dtype=float)
    extra = np.sqrt(np.where(missing <= 1e-12 * wanted, 0, missing))  # the root of a rounding error would be large
    normal = rng.standard_normal(draws, dtype=np.float32)
    drawn = deviations * stretch[:, None].astype(np.float32) + np.outer(extra, normal)
    return table.frame(*np.quantile(drawn, [1 - ANCHOR, ANCHOR], axis=1))


@dataclass(frozen=True)
class _Table:
    """Values by class and group: only classes that have a group and images; `closed`: the groups' means and variances.

    `by_classes`: classes are the units, not images. `strata`: images within the C classes. `average` (N,): images' means
    over seeds, sorted by class. `n_images` and `group` (C,): 0..G-1; `weights` (C,): shares of a group's images. `names`,
    `sizes` (classes), `images_of_group` and `mean`: (G,). `ends`: smallest and largest value.
    """

    by_classes: bool
    strata: Strata
    average: np.ndarray
    n_images: np.ndarray
    group: np.ndarray
    weights: np.ndarray
    names: pd.Index
    sizes: np.ndarray
    images_of_group: np.ndarray
    mean: np.ndarray
    ends: tuple[float, float]

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray, group_of_class: pd.Series, resample_classes: bool) -> _Table:
        values, labels = checked(values, labels)
        ends = values.min(), values.max()
        of_class = group_of_class[group_of_class.index.isin(np.unique(labels))].dropna()
        codes, names = pd.factorize(of_class)
        used = np.isin(labels, of_class.index)
        values, labels = values[:, used], labels[used]
        strata, ids, n_images = images_within_classes(values, labels)
        group, order = pd.Series(codes, index=of_class.index).loc[ids].to_numpy(), np.argsort(labels, kind="stable")
        sizes, images_of_group = np.bincount(group), np.bincount(group, n_images, len(names)).astype(int)
        mean = np.bincount(np.repeat(group, n_images), values.sum(axis=0)[order]) / (len(values) * images_of_group)
        # Where each group is one class, only its images can be the units.
        by_classes, weights = resample_classes and bool((sizes > 1).any()), n_images / images_of_group[group]
        average = values.mean(axis=0)[order]
        return cls(by_classes, strata, average, n_images, group, weights, names, sizes, images_of_group, mean, ends)

    @cached_property
    def closed(self) -> Total:
        """The variances of the groups' means, borrowed where a group has few classes."""
        n_groups = len(self.sizes)
        if self.by_classes:
            strata = strata_of(self.strata.by_seed, self.n_images, self.group, n_groups)
            closed = combine(strata, np.ones(n_groups), np.arange(n_groups), n_groups)
        else:
            closed = combine(self.strata, self.weights, self.group, n_groups)
        few = (self.sizes < FEW_CLASSES) & (n_groups > 1)
        if not few.any():
            return closed
        borrowed = vars(closed) | self._borrowed(closed)
        return Total(*(np.where(few, borrowed[name], value) for name, value in vars(closed).items()))

    def _borrowed(self, closed: Total) -> dict[str, np.ndarray]:
        """Return parts of `Total` with the effect of seeds, and the variance of classes within groups, equal in all groups.

        Seeds: what they do to all classes alike (S - 1 degrees of freedom) and to each class ((S - 1)(C - 1) of them).
        Classes: their variance within groups (C - G degrees of freedom), which includes what seeds do to each class.
        """
        by_seed, concentration = self.strata.by_seed, np.bincount(self.group, self.weights**2)
        n_seeds, n_classes = by_seed.shape
        common = seed_variance(by_seed.mean(axis=1, keepdims=True))[0]
        each = seed_variance(by_seed - by_seed.mean(axis=1, keepdims=True)).sum() / max(n_classes - 1, 1)
        if self.by_classes:
            averages, df_within = by_seed.mean(axis=0), n_classes - len(self.sizes)
            within = averages - (np.bincount(self.group, averages) / self.sizes)[self.group]
            units = concentration * (within**2).sum() / df_within
            unit_df = np.full(len(units), float(df_within))
        else:
            beyond = concentration * max(0.0, each - self.strata.shared.mean())
            units = closed.unit_variance + beyond
            unsure = beyond**2 / max((n_seeds - 1) * (n_classes - 1), 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                unsure = unsure + np.where(closed.unit_variance > 0, closed.unit_variance**2 / closed.unit_df, 0)
                unit_df = np.where(unsure > 0, units**2 / unsure, closed.unit_df)
        variance, df = total(common, units, each / n_classes, n_seeds, unit_df)
        shares = {"seed_variance": np.full_like(units, common), "shared": np.full_like(units, each / n_classes)}
        return {"variance": variance, "df": df, "unit_variance": units, "unit_df": unit_df} | shares

    def frame(self, below: np.ndarray, above: np.ndarray) -> pd.DataFrame:
        """Return one row per group, with the ends of its interval `below` and `above` its mean."""
        found = {"group": self.names, "mean": self.mean}
        found |= {"low": (self.mean + below).clip(*self.ends), "high": (self.mean + above).clip(*self.ends)}
        found |= {"se": np.sqrt(self.closed.variance), "df": self.closed.df}
        return pd.DataFrame(found | {"n_classes": self.sizes, "n_images": self.images_of_group})


def _resample_images(table: _Table, draws: int, rng: np.random.Generator, seed: int) -> np.ndarray:
    """Return each group's mean minus the mean (G, draws), images resampled within classes.

    Classes with equally many images share their resamples, shuffled for each class where classes are added up.
    """
    deviations = np.zeros((len(table.sizes), draws), dtype=np.float32)
    starts = np.cumsum(table.n_images) - table.n_images
    mixed = (table.sizes[table.group] > 1) & (table.n_images > 1)
    orders = iter(rng.permuted(np.tile(np.arange(draws, dtype=np.int32), (int(mixed.sum()), 1)), axis=1))
    for size in np.unique(table.n_images[table.n_images > 1]):
        members = np.flatnonzero(table.n_images == size)
        # Squares in a resample fall short of the variance by (n - 1) / n.
        scale = table.weights[members] / np.sqrt(size * (size - 1))
        images = table.average[starts[members][:, None] + np.arange(size)]
        images = (images - images.mean(axis=1, keepdims=True)) * scale[:, None]
        drawn = images.astype(np.float32) @ _resamples(int(size), draws, seed)
        for row, group in zip(drawn, table.group[members], strict=True):
            deviations[group] += row if table.sizes[group] == 1 else row[next(orders)]
    return deviations


@lru_cache(maxsize=64)
def _resamples(size: int, draws: int, seed: int) -> np.ndarray:
    """Return how often each of `size` images is drawn, (size, draws) float32; the same for every arm."""
    rng = np.random.default_rng([seed, size])
    return rng.multinomial(size, np.full(size, 1 / size), size=draws).T.astype(np.float32)


def _reweight_classes(table: _Table, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the same as `_resample_images` with random weights of classes; 0 for groups of few, which borrow.

    Exponential weights (Rubin's Bayesian bootstrap, 1981) are smoother than counts where classes are few.
    """
    deviations = np.zeros((len(table.sizes), draws), dtype=np.float32)
    averages = table.strata.by_seed.mean(axis=0)
    for number in np.flatnonzero((table.sizes >= FEW_CLASSES) | (len(table.sizes) == 1)):
        members = table.group == number
        images = table.n_images[members].astype(np.float32)
        from_mean = images * (averages[members] - table.mean[number]).astype(np.float32)
        weights = rng.standard_exponential((draws, len(images)), dtype=np.float32)
        deviations[number] = (weights @ from_mean) / (weights @ images)
        drawn = deviations[number].var(dtype=float)
        deviations[number] *= np.sqrt(table.closed.unit_variance[number] / drawn) if drawn > 0 else 0
    return deviations


@dataclass(frozen=True)
class GroupSpread:
    """The standard deviation `sd` between groups (units of the values), its 95 % interval and its two tests.

    `p_different`: H0 *all groups have one mean*. `p_equivalent`: H0 *the standard deviation is the margin or more*.
    `smallest_margin`: what a true SD of 0 satisfies with probability 0.8 at level 0.05, as classes vary within groups.
    """

    sd: float
    low: float
    high: float
    p_different: float
    p_equivalent: float
    smallest_margin: float
    df_within: float
    n_classes: int


def group_spread(values: np.ndarray, labels: np.ndarray, group_of_class: pd.Series, margin: float) -> GroupSpread:
    """Estimate the standard deviation between groups of their true means, a group counting by its classes.

    One-way analysis of variance of class means over seeds, with equal variances, and Wellek's equivalence test with the
    margin in units of the values. Classes without a group are left out.
    Raises `InputError` for a margin not above 0, for fewer than two groups, or when no group has two classes.
    """
    if not margin > 0:
        raise InputError(f"an equivalence margin must be above 0, got {margin}")
    values, labels = checked(values, labels)
    means, ids, _ = class_means(values, labels)
    group_of = group_of_class.reindex(ids)
    known = group_of.notna().to_numpy()
    index, names = pd.factorize(group_of[known])
    means, n_classes, n_groups = means[:, known], int(known.sum()), len(names)
    if n_groups < 2 or n_classes <= n_groups:
        raise InputError(
            f"{n_groups} groups of {n_classes} classes; accepted: two groups or more, one with two classes"
        )
    sizes = np.bincount(index)
    by_group = sums(means, index, n_groups) / sizes
    error, df_within = _error_of_groups(means, by_group, index, sizes)
    # Classes without any spread: a noncentrality that the distribution's code can still evaluate.
    error = max(error, margin**2 * n_classes / 1e5)
    df = (n_groups - 1, df_within)
    f_value = float(anova_generic(by_group.mean(axis=0), np.full(n_groups, error), sizes, use_var="equal").statistic)
    equivalence = equivalence_oneway_generic(f_value, n_groups, sizes, margin**2 / error, df, margin_type="f2")
    passing = f_distribution.ppf(0.8, *df)  # what a true SD of 0 stays below with probability 0.8
    wanted = ((f_value, 0.975), (f_value, 0.025), (passing, 0.05))
    noncentralities = max(0.0, f_value - 1) * df[0], *(_noncentrality(at, p, df) for at, p in wanted)
    sd, low, high, smallest_margin = (float(np.sqrt(one * error / n_classes)) for one in noncentralities)
    tests = float(f_distribution.sf(f_value, *df)), float(equivalence.pvalue)
    return GroupSpread(sd, low, high, *tests, smallest_margin, df_within, n_classes)


def _error_of_groups(
    means: np.ndarray, by_group: np.ndarray, index: np.ndarray, sizes: np.ndarray
) -> tuple[float, float]:
    """Return the error mean square and its degrees of freedom from `means` (S, C) and `by_group` (S, G)."""
    within = means - by_group[:, index]
    df_classes, df_groups, n_seeds = len(index) - len(sizes), len(sizes) - 1, len(means)
    classes = (within.mean(axis=0) ** 2).sum() / df_classes
    seed_by_class = seed_variance(within).sum() / df_classes
    centred = by_group - means.mean(axis=1, keepdims=True)
    seed_by_group = (seed_variance(centred) * sizes).sum() / df_groups
    excess = max(0.0, seed_by_group - seed_by_class)
    if not excess:
        return float(classes), df_classes
    unsure = classes**2 / df_classes
    unsure += (seed_by_group**2 + seed_by_class**2 * df_groups / df_classes) / ((n_seeds - 1) * df_groups)
    # Satterthwaite's; a difference of mean squares can push it below the part with the fewest.
    df = max(float((classes + excess) ** 2 / unsure), min((n_seeds - 1) * df_groups, df_classes))
    return float(classes + excess), df


def _noncentrality(f_value: float, probability: float, df: tuple[int, float]) -> float:
    """Return the noncentrality with which F falls below `f_value` with this probability, 0 where none does.

    scipy's `ncfdtrinc` finds it to four digits only.
    """
    if f_distribution.cdf(f_value, *df) <= probability:
        return 0.0
    high = 1.0
    while ncfdtr(*df, high, f_value) > probability:
        high *= 2
        if high > 1e7:
            return float("inf")
    missing = lambda noncentrality: ncfdtr(*df, noncentrality, f_value) - probability  # noqa: E731
    return float(brentq(missing, high / 2 if high > 1 else 0.0, high))
