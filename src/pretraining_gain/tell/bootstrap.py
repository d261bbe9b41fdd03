"""Intervals for figures: a hierarchical bootstrap over seeds, and classes or images, paired where the values are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from pretraining_gain.tell.crossed import (
    ANCHOR,
    Strata,
    Total,
    checked,
    class_means,
    combine,
    images_within_classes,
    strata_of,
)

_CHUNK = 4_000_000  # numbers held at once


def bootstrap_means(
    values: np.ndarray,
    labels: np.ndarray,
    group_of_class: pd.Series,
    *,
    resample_classes: bool,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean of `values` in each group of classes, with a 95 % percentile interval.

    Estimand: the mean over all images of a group's classes of what `values` (S, N) holds for seed and image: 1/0 for
    correct, or the paired difference of two arms on the same image. `labels` (N,) are class ids and `group_of_class` maps
    class id to group. When `resample_classes`, each draw reweights the classes of each group (the species stand for
    others like them), and a class's images come with it; else, and in a group of one class, it resamples the images
    within each class.
    The few seeds are not resampled, which would make them vary too little: a normal deviate is added, scaled so that the
    interval is as long as the closed form's (see `crossed.total`), which counts the residual of seed and image once.
    Intervals end at the smallest and largest of `values`. Randomness: `seed` only.
    Returns one row a group in order of appearance: group, mean, low, high, se, df, n_classes, n_images.
    """
    values, labels = checked(values, labels)
    ids, n_images = np.unique(labels, return_counts=True)
    # Groups in the order in which the series names them; classes without images are left out.
    of_class = group_of_class[group_of_class.index.isin(ids)].dropna()
    codes, names = pd.factorize(of_class)
    group = np.full(len(ids), -1)
    group[np.searchsorted(ids, of_class.index)] = codes
    sizes = np.bincount(codes, minlength=len(names))
    by_images = (sizes == 1) | (not resample_classes)
    rng = np.random.default_rng(seed)
    parts = []
    for chosen, resample in ((by_images, _resample_images), (~by_images, _resample_classes)):
        part = np.where(chosen[group] & (group >= 0), group, -1)
        if chosen.any():
            parts.append((chosen, *resample(values, labels, part, draws, rng)))
    of_group = np.bincount(group[group >= 0], n_images[group >= 0], len(names)).astype(int)
    known = group[np.searchsorted(ids, labels)]
    mean = np.bincount(known[known >= 0], values.sum(axis=0)[known >= 0], len(names)) / (len(values) * of_group)
    table = pd.DataFrame({"group": names, "mean": mean})
    for chosen, closed, deviations, covered in parts:
        low, high = mean[chosen] + _percentiles(closed, deviations, covered, rng)
        found = {"low": low, "high": high, "se": np.sqrt(closed.variance), "df": closed.df}
        for column, numbers in found.items():
            table.loc[chosen, column] = numbers
    for column in ("low", "high"):
        table[column] = table[column].clip(values.min(), values.max())
    return table.assign(n_classes=sizes, n_images=of_group)


def _resample_images(
    values: np.ndarray, labels: np.ndarray, group: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[Total, np.ndarray, np.ndarray]:
    """Draws of each group's mean less the mean (draws, G), images resampled within classes; `group` (C,), -1 for none.

    Returns the closed form, the draws, and the variance (G,) that these have. Classes with equally many images share
    their resamples, in an order of each one's own where their draws are added up.
    """
    strata, _, n_images = images_within_classes(values, labels)
    used = group >= 0
    numbers = np.unique(group[used])
    group = np.where(used, np.searchsorted(numbers, group), -1)
    coefficients = n_images / np.bincount(group[used], n_images[used], len(numbers))[group]
    chosen = Strata(strata.by_seed[:, used], strata.spread[used], strata.shared[used], strata.df[used])
    closed = combine(chosen, coefficients[used], group[used], len(numbers))
    average = values.mean(axis=0)[np.argsort(labels, kind="stable")]
    starts = np.cumsum(n_images) - n_images
    deviations = np.zeros((len(numbers), draws), dtype=np.float32)
    covered = np.zeros(len(numbers))
    lone = np.bincount(group[used]) == 1
    for size in np.unique(n_images[used & (n_images > 1)]):
        members = np.flatnonzero(used & (n_images == size))
        images = average[starts[members][:, None] + np.arange(size)]
        images = (images - images.mean(axis=1, keepdims=True)) * (coefficients[members] / np.sqrt(size * (size - 1)))[
            :, None
        ]
        np.add.at(covered, group[members], (images**2).sum(axis=1))
        weights = rng.multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float32)
        drawn = images.astype(np.float32) @ weights.T
        for row, of in zip(drawn, group[members], strict=True):
            deviations[of] += row if lone[of] else rng.permutation(row)
    return closed, deviations, covered


def _resample_classes(
    values: np.ndarray, labels: np.ndarray, group: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[Total, np.ndarray, np.ndarray]:
    """As `_resample_images`, but the classes of each group (two or more) get random weights, each with its images.

    Exponential weights (Rubin's Bayesian bootstrap), as counts of two or three classes would be too coarse.
    """
    means, _, n_images = class_means(values, labels)
    used = group >= 0
    numbers = np.unique(group[used])
    means, n_images, group = means[:, used], n_images[used], np.searchsorted(numbers, group[used])
    strata = strata_of(means, n_images, group, len(numbers))
    closed = combine(strata, np.ones(len(numbers)), np.arange(len(numbers)), len(numbers))
    deviations = np.zeros((len(numbers), draws), dtype=np.float32)
    for number in range(len(numbers)):
        members = group == number
        size, images = int(members.sum()), n_images[members].astype(float)
        from_mean = images * (means[:, members].mean(axis=0) - closed.mean[number])
        for start in range(0, draws, max(1, _CHUNK // size)):
            part = slice(start, min(draws, start + max(1, _CHUNK // size)))
            weights = rng.standard_exponential((part.stop - start, size), dtype=np.float32)
            deviations[number, part] = (weights @ from_mean) / (weights @ images)
        spread = (from_mean**2).sum() / images.sum() ** 2 * size / (size + 1)
        deviations[number] *= np.sqrt(closed.unit_variance[number] / spread) if spread > 0 else 0.0
    return closed, deviations, np.where(deviations.any(axis=1), closed.unit_variance, 0.0)


def _percentiles(closed: Total, deviations: np.ndarray, covered: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """2.5 % and 97.5 % percentiles (2, G) of the draws (G, draws), stretched from normal to t, plus a normal deviate.

    `covered` (G,) is the variance of the draws; the deviate adds what the closed form's interval has beyond it.
    """
    stretch = stdtrit(closed.unit_df, ANCHOR) / ndtri(ANCHOR)
    wanted = (stdtrit(closed.df, ANCHOR) / ndtri(ANCHOR)) ** 2 * closed.variance
    extra = np.sqrt(np.maximum(wanted - stretch**2 * covered, 0))
    normal = rng.standard_normal(deviations.shape[1], dtype=np.float32)
    ends = np.empty((2, len(deviations)))
    step = max(1, _CHUNK // deviations.shape[1])
    for start in range(0, len(deviations), step):
        part = slice(start, start + step)
        drawn = deviations[part] * stretch[part, None].astype(np.float32) + np.outer(extra[part], normal)
        ends[:, part] = np.quantile(drawn, [1 - ANCHOR, ANCHOR], axis=1)
    return ends
