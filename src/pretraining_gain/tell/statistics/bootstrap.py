"""Intervals for figures: a hierarchical bootstrap over seeds, and classes or images, paired where the values are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from pretraining_gain.tell.statistics.crossed import (
    ANCHOR,
    Strata,
    Total,
    checked,
    combine,
    images_within_classes,
    seed_variance,
    strata_of,
    total,
)

FEW_CLASSES = 10
_CHUNK = 4_000_000  # numbers held at once
_KEPT = 16_000_000  # numbers kept for the next call


def bootstrap_means(
    values: np.ndarray,
    labels: np.ndarray,
    group_of_class: pd.Series,
    *,
    resample_classes: bool,
    draws: int = 2000,
    seed: int = 0,
    exact: bool = False,
) -> pd.DataFrame:
    """Mean of `values` in each group of classes, with a 95 % percentile interval.

    Estimand: the mean over all images of a group's classes of what `values` (S, N) holds for seed and image: 1/0 for
    correct, or the paired difference of two arms on the same image. `labels` (N,) are class ids and `group_of_class` maps
    class id to group. When `resample_classes`, each draw reweights the classes of each group (the species stand for
    others like them), and a class's images come with it; else it resamples the images within each class.
    The few seeds are not resampled, which would make them vary too little: a normal deviate is added, scaled so that the
    interval is as long as the closed form's (`crossed.total`), in which the residual of seed and image counts once.
    Groups of fewer than ten classes say too little of their own about how seeds and classes vary: where there are several
    groups they take it from all classes (see `_borrow`). Intervals end at the smallest and largest of `values`.
    Draws are summed in single precision, or with `exact` in double: the same draws, ends that differ in the eighth digit.
    Randomness: `seed` only.
    Returns one row a group in order of appearance: group, mean, low, high, se, df, n_classes, n_images.
    """
    values, labels = checked(values, labels)
    table = _Table.of(values, labels, group_of_class)
    rng = np.random.default_rng(seed)
    # Where each group is one class, only its images can tell how sure its mean is.
    by_classes = bool(resample_classes and (table.sizes > 1).any())
    closed = _closed_forms(table, by_classes)
    number = np.float64 if exact else np.float32
    resample = _reweight_classes if by_classes else _resample_images
    drawn = resample(table, closed, np.zeros((len(table.sizes), draws), dtype=number), rng, seed)
    low, high = table.mean + _percentiles(closed, *drawn, rng)
    return pd.DataFrame(
        {
            "group": table.names,
            "mean": table.mean,
            "low": low.clip(values.min(), values.max()),
            "high": high.clip(values.min(), values.max()),
            "se": np.sqrt(closed.variance),
            "df": closed.df,
            "n_classes": table.sizes,
            "n_images": table.images_of_group,
        }
    )


@dataclass(frozen=True)
class _Table:
    """The values by class and group: only classes that have a group and images.

    `strata`: images within the C classes. `average` (N,): images' means over seeds, sorted by class. `n_images` (C,),
    `group` (C,) in 0..G-1; `names`, `sizes` (classes), `images_of_group` and `mean` (G,).
    """

    strata: Strata
    average: np.ndarray
    n_images: np.ndarray
    group: np.ndarray
    names: pd.Index
    sizes: np.ndarray
    images_of_group: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray, group_of_class: pd.Series) -> _Table:
        of_class = group_of_class[group_of_class.index.isin(np.unique(labels))].dropna()
        codes, names = pd.factorize(of_class)
        of_class = pd.Series(codes, index=of_class.index)
        used = np.isin(labels, of_class.index)
        values, labels = values[:, used], labels[used]
        strata, ids, n_images = images_within_classes(values, labels)
        group, average = of_class.loc[ids].to_numpy(), values.mean(axis=0)
        images_of_group = np.bincount(group, n_images, len(names)).astype(int)
        order = np.argsort(labels, kind="stable")
        mean = np.bincount(np.repeat(group, n_images), values.sum(axis=0)[order]) / (len(values) * images_of_group)
        return cls(strata, average[order], n_images, group, names, np.bincount(group), images_of_group, mean)

    @property
    def weights(self) -> np.ndarray:
        """(C,) share of its group's images that a class has."""
        return self.n_images / self.images_of_group[self.group]


def _closed_forms(table: _Table, by_classes: bool) -> Total:
    """Variances of the groups' means, as `estimate_mean` has them, or borrowed where a group has few classes."""
    n_groups = len(table.sizes)
    if by_classes:
        strata = strata_of(table.strata.by_seed, table.n_images, table.group, n_groups)
        closed = combine(strata, np.ones(n_groups), np.arange(n_groups), n_groups)
    else:
        closed = combine(table.strata, table.weights, table.group, n_groups)
    few = (table.sizes < FEW_CLASSES) & (n_groups > 1)
    if not few.any():
        return closed
    borrowed = _borrow(table, closed, by_classes)
    parts = [field.name for field in fields(Total)]
    return Total(*(np.where(few, getattr(borrowed, part), getattr(closed, part)) for part in parts))


def _borrow(table: _Table, closed: Total, by_classes: bool) -> Total:
    """Variances of the groups' means with what seeds do, and how classes vary within groups, taken as alike everywhere.

    Seeds: what they do to all classes alike (S - 1 degrees of freedom) and to each class ((S - 1)(C - 1) of them).
    Classes: their variance within groups (C - G degrees of freedom), which holds what seeds do to each class.
    """
    by_seed, concentration = table.strata.by_seed, np.bincount(table.group, table.weights**2)
    n_seeds, n_classes = by_seed.shape
    common = seed_variance(by_seed.mean(axis=1, keepdims=True))[0]
    centred = by_seed - by_seed.mean(axis=1, keepdims=True)
    each = seed_variance(centred).sum() / max(n_classes - 1, 1)
    if by_classes:
        group_means = np.bincount(table.group, by_seed.mean(axis=0)) / table.sizes
        within = by_seed.mean(axis=0) - group_means[table.group]
        df_within = n_classes - len(table.sizes)
        units = concentration * (within**2).sum() / df_within
        unit_df = np.full(len(units), float(df_within))
    else:
        noise = table.strata.shared.mean()
        beyond = concentration * max(0.0, each - noise)
        units = closed.unit_variance + beyond
        unsure = beyond**2 / max((n_seeds - 1) * (n_classes - 1), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            unsure = unsure + np.where(closed.unit_variance > 0, closed.unit_variance**2 / closed.unit_df, 0)
            unit_df = np.where(unsure > 0, units**2 / unsure, closed.unit_df)
    variance, df = total(common, units, each / n_classes, n_seeds, unit_df)
    return Total(closed.mean, variance, df, units, unit_df, np.full_like(units, common), np.full_like(units, each / n_classes))


def _resample_images(
    table: _Table, _closed: Total, deviations: np.ndarray, rng: np.random.Generator, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fill `deviations` (G, draws) with each group's mean less the mean, images resampled within classes; and their variance.

    Classes with equally many images share their resamples, each in an order of its own where classes are added up.
    """
    draws, number = deviations.shape[1], deviations.dtype
    starts = np.cumsum(table.n_images) - table.n_images
    mixed = (table.sizes[table.group] > 1) & (table.n_images > 1)
    orders = _orders_of(int(mixed.sum()), draws, seed, rng)
    for size in np.unique(table.n_images[table.n_images > 1]):
        resamples = _resamples(int(size), draws, seed)
        members = np.flatnonzero(table.n_images == size)
        # Squares in a resample fall short of the variance by (n - 1) / n.
        scale = table.weights[members] / np.sqrt(size * (size - 1))
        for chunk in np.array_split(np.arange(len(members)), -(-len(members) * draws // _CHUNK)):
            images = table.average[starts[members[chunk]][:, None] + np.arange(size)]
            images = (images - images.mean(axis=1, keepdims=True)) * scale[chunk, None]
            drawn = images.astype(number) @ resamples
            for row, of in zip(drawn, table.group[members[chunk]], strict=True):
                deviations[of] += row if table.sizes[of] == 1 else row[next(orders)]
    return deviations, deviations.var(axis=1, dtype=float)


def _orders_of(n: int, draws: int, seed: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """n orders (draws,) from `rng`, which has drawn nothing yet: the same for every arm, so kept where they are not many."""
    if n * draws > _KEPT:
        return (rng.permuted(np.arange(draws, dtype=np.int32)) for _ in range(n))
    orders, rng.bit_generator.state = _orders(n, draws, seed)
    return iter(orders)


@lru_cache(maxsize=2)
def _orders(n: int, draws: int, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """n orders (n, draws) int32, and the state of a generator with this seed that has drawn them."""
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(draws, dtype=np.int32), (n, 1)), axis=1)
    return orders, dict(rng.bit_generator.state)


@lru_cache(maxsize=64)
def _resamples(size: int, draws: int, seed: int) -> np.ndarray:
    """How often each of `size` images is drawn: (size, draws) float32. The same for every arm, and made once."""
    rng = np.random.default_rng([seed, size])
    return rng.multinomial(size, np.full(size, 1 / size), size=draws).T.astype(np.float32)


def _reweight_classes(
    table: _Table, closed: Total, deviations: np.ndarray, rng: np.random.Generator, _seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `_resample_images`, but classes get random weights, each with its images; nothing drawn for groups of few.

    Exponential weights (Rubin's Bayesian bootstrap, 1981): smoother than counts where classes are not many.
    """
    draws, kind = deviations.shape[1], deviations.dtype
    averages = table.strata.by_seed.mean(axis=0)
    for number in np.flatnonzero((table.sizes >= FEW_CLASSES) | (len(table.sizes) == 1)):
        members = table.group == number
        images = table.n_images[members].astype(kind)
        from_mean = images * (averages[members] - table.mean[number]).astype(kind)
        for start in range(0, draws, max(1, _CHUNK // len(images))):
            part = slice(start, min(draws, start + max(1, _CHUNK // len(images))))
            weights = rng.standard_exponential((part.stop - start, len(images)), dtype=np.float32)
            deviations[number, part] = (weights @ from_mean) / (weights @ images)
        drawn = deviations[number].var(dtype=float)
        deviations[number] *= np.sqrt(closed.unit_variance[number] / drawn) if drawn > 0 else 0
    return deviations, deviations.var(axis=1, dtype=float)


def _percentiles(closed: Total, deviations: np.ndarray, covered: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """2.5 % and 97.5 % percentiles (2, G) of the draws (G, draws), stretched from normal to t, plus a normal deviate.

    `covered` (G,) is the variance of the draws; the deviate adds what the closed form's interval has beyond it.
    """
    stretch = stdtrit(closed.unit_df, ANCHOR) / ndtri(ANCHOR)
    wanted = (stdtrit(closed.df, ANCHOR) / ndtri(ANCHOR)) ** 2 * closed.variance
    missing = wanted - stretch**2 * covered
    extra = np.sqrt(np.where(missing <= 1e-12 * wanted, 0, missing))  # the root of rounding would be no rounding any more
    normal = rng.standard_normal(deviations.shape[1], dtype=np.float32)
    ends = np.empty((2, len(deviations)))
    step = max(1, _CHUNK // deviations.shape[1])
    for start in range(0, len(deviations), step):
        part = slice(start, start + step)
        drawn = deviations[part] * stretch[part, None].astype(deviations.dtype) + np.outer(extra[part], normal)
        ends[:, part] = np.quantile(drawn, [1 - ANCHOR, ANCHOR], axis=1)
    return ends
