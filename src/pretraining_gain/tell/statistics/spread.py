"""How much groups of classes differ beyond what classes within a group do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ncfdtr
from scipy.stats import f as f_distribution
from statsmodels.stats.oneway import anova_generic, equivalence_oneway_generic

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics.variance import checked, class_means, seed_variance, sums


@dataclass(frozen=True)
class GroupSpread:
    """The standard deviation `sd` between groups (units of the values), its 95 % interval and its two tests.

    `p_different`: H0 *all groups have one mean*. `p_equivalent`: H0 *the standard deviation is `margin` or more*.
    `smallest_detectable` and `smallest_margin`: the true SD that is found, and the margin that a true SD of 0 satisfies,
    with probability 0.8 at level 0.05, given how much classes vary within groups.
    """

    sd: float
    low: float
    high: float
    p_different: float
    p_equivalent: float
    margin: float
    smallest_detectable: float
    smallest_margin: float
    df_between: float
    df_within: float
    n_groups: int
    n_classes: int


def group_spread(values: np.ndarray, labels: np.ndarray, group_of_class: pd.Series, margin: float) -> GroupSpread:
    """Estimate the standard deviation between groups of their true means, a group counting by its classes.

    One-way analysis of variance of class means over seeds, with equal variances so that groups of one class take part,
    and Wellek's equivalence test with the margin in units of the values. Where seeds disagree on groups more than on
    classes within groups, the excess is added to the error. Classes without a group are left out. Raises `InputError`
    for a margin that is not above 0, for fewer than two groups, or when no group has two classes.
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
    f_value = anova_generic(by_group.mean(axis=0), np.full(n_groups, error), sizes, use_var="equal").statistic
    return _spread(float(f_value), error, (n_groups - 1, df_within), sizes, margin)


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
    error = classes + excess
    if not excess:
        return float(error), df_classes
    unsure = classes**2 / df_classes + (seed_by_group**2 + seed_by_class**2 * df_groups / df_classes) / (
        (n_seeds - 1) * df_groups
    )
    # Satterthwaite's; a difference of mean squares can push it below the part with the fewest.
    return float(error), max(float(error**2 / unsure), min((n_seeds - 1) * df_groups, df_classes))


def _spread(f_value: float, error: float, df: tuple[int, float], sizes: np.ndarray, margin: float) -> GroupSpread:
    """Return tests, interval and power of a between-group SD; noncentrality = classes × SD² / error."""
    unit = error / sizes.sum()
    equivalence = equivalence_oneway_generic(f_value, len(sizes), sizes, margin**2 / error, df, margin_type="f2")
    at = {
        "low": _noncentrality(f_value, df, 0.975),
        "high": _noncentrality(f_value, df, 0.025),
        "sd": max(0.0, f_value - 1) * df[0],
        "smallest_detectable": _noncentrality(f_distribution.ppf(0.95, *df), df, 0.2),
        "smallest_margin": _noncentrality(f_distribution.ppf(0.8, *df), df, 0.05),
    }
    return GroupSpread(
        **{name: float(np.sqrt(noncentrality * unit)) for name, noncentrality in at.items()},
        p_different=float(f_distribution.sf(f_value, *df)),
        p_equivalent=float(equivalence.pvalue),
        margin=margin,
        df_between=df[0],
        df_within=df[1],
        n_groups=len(sizes),
        n_classes=int(sizes.sum()),
    )


def _noncentrality(f_value: float, df: tuple[int, float], probability: float) -> float:
    """Return the noncentrality with which F falls below `f_value` with this probability, 0 where none does."""

    def below(noncentrality: float) -> float:
        return ncfdtr(*df, noncentrality, f_value) - probability

    if f_distribution.cdf(f_value, *df) <= probability:
        return 0.0
    high = 1.0
    while below(high) > 0:
        high *= 2
        if high > 1e7:
            return float("inf")
    return float(brentq(below, high / 2 if high > 1 else 0.0, high))
