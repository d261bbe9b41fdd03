"""How much groups of classes (families, supercategories) differ beyond what classes within a group do."""

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
    df = (n_groups - 1, df_within)
    f_value = float(anova_generic(by_group.mean(axis=0), np.full(n_groups, error), sizes, use_var="equal").statistic)
    equivalence = equivalence_oneway_generic(f_value, n_groups, sizes, margin**2 / error, df, margin_type="f2")
    passing = f_distribution.ppf(0.8, *df)  # what a true SD of 0 stays below with probability 0.8
    noncentralities = [max(0.0, f_value - 1) * df[0]]
    noncentralities += [
        _noncentrality(at, probability, df) for at, probability in ((f_value, 0.975), (f_value, 0.025), (passing, 0.05))
    ]
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
