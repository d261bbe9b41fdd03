"""Estimates with standard error, interval and tests: t distributions, in closed form (paper, 2 and 3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.special import stdtr, stdtrit

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics import model
from pretraining_gain.tell.statistics.model import Answers, Weights


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error and degrees of freedom; `run_se`: what runs alone contribute, with `run_df`.

    `homogeneity`: p of Bartlett's test that runs vary alike in all arms. `ends`: its smallest and largest possible value.
    """

    mean: float
    se: float
    df: float
    n_seeds: int
    n_classes: int
    n_images: int
    run_se: float = 0.0
    run_df: float = 0.0
    homogeneity: float = 1.0
    ends: tuple[float, float] = (-np.inf, np.inf)

    def interval(self) -> tuple[float, float]:
        """Return the two-sided 95 % interval."""
        half = float(stdtrit(self.df, 0.975)) * self.se
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

    def _t(self, bound: float) -> float:
        distance = self.mean - bound
        if abs(distance) < 1e-12 or not self.se > 0:  # at the bound, up to rounding; or without any spread to judge by
            return 0.0
        return distance / self.se


def estimate_mean(answers: Answers, weights: Weights, *, random_classes: bool = False) -> Estimate:
    """Estimate a weighted sum of arms, for runs and images like these: over all images of these very classes or, with
    `random_classes`, over classes like these, each of which counts once."""
    if random_classes:
        group = np.zeros(len(answers.ids), int)
        effects, units = np.full((1, len(group)), 1 / len(group)), model.class_units(answers, weights, group)
    else:
        effects, units = answers.n_images[None] / len(answers.labels), model.image_units(answers, weights)
    return _estimate(answers, weights, effects, units)


def estimate_difference(
    answers: Answers, weights: Weights, first: Collection[int], second: Collection[int], within: pd.Series | None = None
) -> Estimate:
    """Estimate the mean over the `first` classes minus that over the `second`, for classes like them; each counts once.

    `within` (class id -> group): compare classes of one group only, by least squares with an effect of each group.
    Raises `InputError` when the groups overlap, one has fewer than two classes, or `within` has fewer than two groups with both.
    """
    if both := set(first) & set(second):
        raise InputError(f"class {min(both)} is in both groups")
    answers = answers.only([*first, *second])
    in_first = np.isin(answers.ids, list(first)).astype(float)
    if min(in_first.sum(), len(in_first) - in_first.sum()) < 2:
        raise InputError(f"{len(answers.ids)} classes in two groups; accepted: two groups of at least two classes")
    group = np.zeros(len(in_first), int) if within is None else pd.factorize(within.loc[answers.ids])[0]
    left = model.within(in_first[None], group)[0]
    left[np.abs(left) < 1e-12] = 0.0  # groups of one kind, up to rounding
    if within is not None and (both_kinds := len(np.unique(group[left != 0]))) < 2:
        raise InputError(f"groups that hold classes of both kinds: {both_kinds}; accepted: two or more")
    return _estimate(answers, weights, (left / (left @ left))[None], model.class_units(answers, weights, group, in_first))


def estimate_slope(answers: Answers, weights: Weights, covariate: pd.Series) -> Estimate:
    """Estimate how class means change per unit of `covariate` (class id -> number), for classes like these; each counts once.

    Classes without a number are left out. Raises `InputError` for fewer than three classes, or where all have one number.
    """
    known = covariate[covariate.index.isin(answers.ids)].dropna()
    if len(known) < 3 or known.nunique() < 2:
        raise InputError(f"{len(known)} classes at {known.nunique()} places; accepted: three classes at two places or more")
    answers = answers.only(known.index)
    places, one_group = known.loc[answers.ids].to_numpy(float), np.zeros(len(answers.ids), int)
    units = model.class_units(answers, weights, one_group, places)
    return _estimate(answers, weights, line_weights(places)[None], units)


def line_weights(places: np.ndarray, at: float | None = None) -> np.ndarray:
    """Return the weights of values at `places` (N,) whose sum is the least-squares line's slope, or its height `at` a place."""
    centred = places - places.mean()
    slope = centred / (centred @ centred)
    return slope if at is None else 1 / len(places) + (at - places.mean()) * slope


def combine(estimates: Sequence[Estimate], weights: Sequence[float] | None = None) -> Estimate:
    """Return the weighted sum of independent estimates; without weights, their mean weighted by inverse variance."""
    if weights is None:  # one without an error is of a target where no image is right, and says nothing
        estimates = [one for one in estimates if one.se > 0] or estimates
        precisions = np.array([1 / one.se**2 if one.se > 0 else 1.0 for one in estimates])
        weights = precisions / precisions.sum()
    shares, variances = np.asarray(weights, float), np.array([one.se**2 for one in estimates])
    parts, df = shares**2 * variances, np.array([one.df for one in estimates])
    mean, total = float(shares @ [one.mean for one in estimates]), parts.sum()
    sizes = (sum(one.n_classes for one in estimates), sum(one.n_images for one in estimates))
    n_seeds = min(one.n_seeds for one in estimates)
    of_all = total**2 / (parts**2 / df).sum() if total > 0 else df.min()
    return Estimate(mean, float(np.sqrt(total)), float(of_all), n_seeds, *sizes)


def _estimate(answers: Answers, weights: Weights, effects: model.Effects, units: model.Units) -> Estimate:
    runs = model.run_part(answers, weights, effects)
    variance, df = model.total_variance(runs, units, effects)
    mean = float((effects @ answers.class_contrast(weights))[0])
    used = np.flatnonzero(effects[0])
    sizes = answers.n_seeds(weights), len(used), int(answers.n_images[used].sum())
    run = float(np.sqrt(runs.variance[0])), float(runs.df[0]), float(runs.homogeneity[0])
    return Estimate(mean, float(np.sqrt(variance[0])), float(df[0]), *sizes, *run)


def estimate_share_positive(answers: Answers, weights: Weights) -> Estimate:
    """Estimate the share of classes like these whose mean over runs and images is above 0; one at 0 counts half.

    Noise pulls it towards one half, so a majority is, if anything, larger in truth. The error has two parts: classes (with
    two more of either sign, so that it is not 0 at 0 % and 100 %), and a shift of all classes by the runs' error.
    """
    contrast, n_classes = answers.class_contrast(weights), len(answers.ids)

    def above(bound: float) -> float:
        return float(((contrast > bound + 1e-12).mean() + (contrast >= bound - 1e-12).mean()) / 2)

    share = above(0)
    steadied = (share * n_classes + 2) / (n_classes + 4)
    by_classes, by_runs = steadied * (1 - steadied) / n_classes, 0.0
    runs = model.run_part(answers, weights, np.full((1, n_classes), 1 / n_classes))
    df_runs, df_classes = float(runs.df[0]), max(n_classes - 1, 1)
    if df_runs:
        reach = float(stdtrit(df_runs, 0.95))
        least, most = (above(sign * reach * float(np.sqrt(runs.variance[0]))) for sign in (1, -1))
        by_runs = (max(share - least, most - share) / reach) ** 2
    unsure = by_classes**2 / df_classes + (by_runs**2 / df_runs if df_runs else 0)
    df, sizes = (by_classes + by_runs) ** 2 / unsure, (answers.n_seeds(weights), n_classes, len(answers.labels))
    return Estimate(share, float(np.sqrt(by_classes + by_runs)), df, *sizes, np.sqrt(by_runs), df_runs, ends=(0.0, 1.0))


def group_means(answers: Answers, weights: Weights, group_of_class: pd.Series, *, random_classes: bool) -> pd.DataFrame:
    """Estimate each group's mean over the images of its classes, with a 95 % interval.

    `group_of_class` maps class id to group. With `random_classes` the classes of a group stand for others like them, and
    vary alike in all groups; otherwise, or where every group is one class, only their images do.
    Returns one row per group in order of appearance: group, mean, low, high, se, df, n_classes, n_images.
    """
    present = group_of_class[group_of_class.index.isin(answers.ids)].dropna()
    answers = answers if len(present) == len(answers.ids) else answers.only(present.index)
    codes, names = pd.factorize(present)
    group = pd.Series(codes, index=present.index).loc[answers.ids].to_numpy()
    sizes, images = np.bincount(group), np.bincount(group, answers.n_images)
    shares = answers.n_images / images[group]
    effects = csr_array((shares, (group, np.arange(len(group)))), (len(names), len(group)))
    by_classes = random_classes and len(names) < len(group)
    units = model.class_units(answers, weights, group) if by_classes else model.image_units(answers, weights)
    variance, df = model.total_variance(model.run_part(answers, weights, effects), units, effects)
    mean, half = effects @ answers.class_contrast(weights), stdtrit(df, 0.975) * np.sqrt(variance)
    least, most = sum(min(weight, 0.0) for weight in weights.values()), sum(max(weight, 0.0) for weight in weights.values())
    found = {"group": names, "mean": mean, "low": (mean - half).clip(least), "high": (mean + half).clip(None, most)}
    return pd.DataFrame(found | {"se": np.sqrt(variance), "df": df, "n_classes": sizes, "n_images": images.astype(int)})


def paired_factor(first: np.ndarray, second: np.ndarray) -> float:
    """Return how many times less `first` minus `second`, both (S, N) correct, varies over images when paired by image.

    A ratio of standard deviations over all images, of means over runs: the interval also holds runs, so it narrows by less.
    Not finite where all images have the same difference.
    """
    first, second = np.mean(first, axis=0, dtype=float), np.mean(second, axis=0, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
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
