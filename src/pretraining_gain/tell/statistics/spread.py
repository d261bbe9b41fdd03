"""Estimate how much groups of classes (families, supercategories) differ: analysis of variance and its equivalence test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ncfdtr
from scipy.stats import f as f_distribution
from statsmodels.stats.oneway import anova_generic, equivalence_oneway_generic

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics.model import Answers, Weights, per_run, within
from pretraining_gain.tell.statistics.power import LEVEL, POWER, Components


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
    n_seeds: int
    n_classes: int
    n_images: int


def group_spread(answers: Answers, weights: Weights, group_of_class: pd.Series, margin: float) -> GroupSpread:
    """Estimate the standard deviation between groups of their true means, a group counting by its classes.

    One-way analysis of variance of class means over runs, with equal variances, and Wellek's equivalence test with the
    margin in units of the values. Classes without a group are left out.
    Raises `InputError` for a margin not above 0, for fewer than two groups, or when no group has two classes.
    """
    if not margin > 0:
        raise InputError(f"an equivalence margin must be above 0, got {margin}")
    answers = answers.only(group_of_class.dropna().index)
    group, names = pd.factorize(group_of_class.loc[answers.ids])
    n_classes, n_groups, sizes = len(group), len(names), np.bincount(group)
    if n_groups < 2 or n_classes <= n_groups:
        raise InputError(f"{n_groups} groups of {n_classes} classes; accepted: two groups or more, one with two classes")
    contrast = answers.class_contrast(weights)
    error, df_within = _error_of_groups(answers, weights, group)
    df, means = (n_groups - 1, df_within), np.bincount(group, contrast) / sizes
    between = float(sizes @ (means - contrast.mean()) ** 2)
    # Groups without any spread within: a noncentrality that the distribution's code can still evaluate.
    error = max(error, margin**2 * n_classes / 1e5, between / 1e6)
    f_value = float(anova_generic(means, np.full(n_groups, error), sizes, use_var="equal").statistic)
    equivalence = equivalence_oneway_generic(f_value, n_groups, sizes, margin**2 / error, df, margin_type="f2")
    noncentralities = max(0.0, f_value - 1) * df[0], *(_noncentrality(f_value, p, df) for p in (0.975, 0.025))
    sd, low, high = (float(np.sqrt(one * error / n_classes)) for one in noncentralities)
    tests = float(f_distribution.sf(f_value, *df)), float(equivalence.pvalue), _margin_met(df, error / n_classes)
    return GroupSpread(sd, low, high, *tests, answers.n_seeds(weights), n_classes, len(answers.labels))


def smallest_spread(parts: Components, n_seeds: int, n_groups: int, n_classes: int, images: float) -> float:
    """Return the `smallest_margin` of `group_spread` in a planned design of so many groups, classes, and images per class."""
    error = parts.class_ + parts.image / images + (parts.run_class + parts.residual / images) / n_seeds
    return _margin_met((n_groups - 1, n_classes - n_groups), error / n_classes)


def _margin_met(df: tuple[int, float], error: float) -> float:
    """Return the margin that a true SD of 0 meets with probability 0.8; `error`: the error mean square per class."""
    return float(np.sqrt(_noncentrality(f_distribution.ppf(POWER, *df), LEVEL, df) * error))


def _error_of_groups(answers: Answers, weights: Weights, group: np.ndarray) -> tuple[float, float]:
    """Return the error mean square and its degrees of freedom: classes within groups, and what runs do to whole groups.

    What runs do to classes and to groups is pooled over all arms.
    """
    sizes, df_groups = np.bincount(group), group.max()
    df_classes = len(group) - len(sizes)
    classes = (within(answers.class_contrast(weights)[None], group) ** 2).sum() / df_classes
    by_class = by_group = df_runs = 0
    for means in answers.means.values():
        noise, df_runs = means - means.mean(axis=0), df_runs + len(means) - 1
        of_groups = np.stack([np.bincount(group, row) / sizes for row in noise])
        by_class += (within(noise, group) ** 2).sum()
        by_group += ((of_groups - noise.mean(axis=1, keepdims=True)) ** 2 * sizes).sum()
    if not df_runs:
        return float(classes), df_classes
    share = per_run(answers, weights) / df_runs
    seed_by_group, seed_by_class = share * by_group / df_groups, share * by_class / df_classes
    excess = max(0.0, seed_by_group - seed_by_class)
    if not excess:
        return float(classes), df_classes
    unsure = classes**2 / df_classes + (seed_by_group**2 + seed_by_class**2 * df_groups / df_classes) / (df_runs * df_groups)
    # Satterthwaite's; a difference of mean squares can push it below the part with the fewest.
    return float(classes + excess), max(float((classes + excess) ** 2 / unsure), min(df_runs * df_groups, df_classes))


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
