"""Means of groups of classes (families, supercategories, arms) with intervals, closed-form or by bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtrit

from pretraining_gain.tell.statistics.variance import (
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


def group_means(
    values: np.ndarray, labels: np.ndarray, group_of_class: pd.Series, *, resample_classes: bool
) -> pd.DataFrame:
    """Estimate each group's mean over the images of its classes, with a closed-form 95 % interval.

    `group_of_class` maps class id to group. With `resample_classes` the classes of a group stand for others like them;
    otherwise, or where every group is one class, only their images do. Groups of fewer than ten classes say too little
    about how seeds and classes vary, so where there are several groups they borrow it from all classes (see `_borrow`).
    Intervals end at the smallest and largest of `values`.
    Returns one row per group in order of appearance: group, mean, low, high, se, df, n_classes, n_images.
    """
    table = _Table.of(*checked(values, labels), group_of_class)
    closed = table.closed_form(resample_classes)
    half = stdtrit(closed.df, ANCHOR) * np.sqrt(closed.variance)
    return table.frame(closed, -half, half)


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
    table = _Table.of(*checked(values, labels), group_of_class)
    closed, rng = table.closed_form(resample_classes), np.random.default_rng(seed)
    resample = _reweight_classes if table.by_classes(resample_classes) else _resample_images
    deviations = resample(table, closed, draws, rng, seed)
    stretch = stdtrit(closed.unit_df, ANCHOR) / ndtri(ANCHOR)
    wanted = (stdtrit(closed.df, ANCHOR) / ndtri(ANCHOR)) ** 2 * closed.variance
    missing = wanted - stretch**2 * deviations.var(axis=1, dtype=float)
    extra = np.sqrt(np.where(missing <= 1e-12 * wanted, 0, missing))  # the root of a rounding error would be large
    normal = rng.standard_normal(draws, dtype=np.float32)
    drawn = deviations * stretch[:, None].astype(np.float32) + np.outer(extra, normal)
    return table.frame(closed, *np.quantile(drawn, [1 - ANCHOR, ANCHOR], axis=1))


@dataclass(frozen=True)
class _Table:
    """Values by class and group: only classes that have a group and images.

    `strata`: images within the C classes. `average` (N,): images' means over seeds, sorted by class. `n_images` (C,),
    `group` (C,) in 0..G-1; `names`, `sizes` (classes), `images_of_group` and `mean` (G,). `ends`: smallest, largest value.
    """

    strata: Strata
    average: np.ndarray
    n_images: np.ndarray
    group: np.ndarray
    names: pd.Index
    sizes: np.ndarray
    images_of_group: np.ndarray
    mean: np.ndarray
    ends: tuple[float, float]

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray, group_of_class: pd.Series) -> _Table:
        of_class = group_of_class[group_of_class.index.isin(np.unique(labels))].dropna()
        codes, names = pd.factorize(of_class)
        of_class = pd.Series(codes, index=of_class.index)
        used = np.isin(labels, of_class.index)
        ends = values.min(), values.max()
        values, labels = values[:, used], labels[used]
        strata, ids, n_images = images_within_classes(values, labels)
        group, order = of_class.loc[ids].to_numpy(), np.argsort(labels, kind="stable")
        images_of_group = np.bincount(group, n_images, len(names)).astype(int)
        mean = np.bincount(np.repeat(group, n_images), values.sum(axis=0)[order]) / (len(values) * images_of_group)
        average = values.mean(axis=0)[order]
        return cls(strata, average, n_images, group, names, np.bincount(group), images_of_group, mean, ends)

    @property
    def weights(self) -> np.ndarray:
        """Return each class's share of its group's images, (C,)."""
        return self.n_images / self.images_of_group[self.group]

    def by_classes(self, resample_classes: bool) -> bool:
        """Tell whether classes are the units: where each group is one class, only its images can be."""
        return resample_classes and bool((self.sizes > 1).any())

    def closed_form(self, resample_classes: bool) -> Total:
        """Return the variances of the groups' means, borrowed where a group has few classes."""
        n_groups, by_classes = len(self.sizes), self.by_classes(resample_classes)
        if by_classes:
            strata = strata_of(self.strata.by_seed, self.n_images, self.group, n_groups)
            closed = combine(strata, np.ones(n_groups), np.arange(n_groups), n_groups)
        else:
            closed = combine(self.strata, self.weights, self.group, n_groups)
        few = (self.sizes < FEW_CLASSES) & (n_groups > 1)
        if not few.any():
            return closed
        borrowed = _borrow(self, closed, by_classes)
        return Total(*(np.where(few, borrowed[name], value) for name, value in vars(closed).items()))

    def frame(self, closed: Total, below: np.ndarray, above: np.ndarray) -> pd.DataFrame:
        """Return one row per group, with the ends of its interval `below` and `above` its mean."""
        found = {"group": self.names, "mean": self.mean}
        found |= {"low": (self.mean + below).clip(*self.ends), "high": (self.mean + above).clip(*self.ends)}
        found |= {"se": np.sqrt(closed.variance), "df": closed.df}
        return pd.DataFrame(found | {"n_classes": self.sizes, "n_images": self.images_of_group})


def _borrow(table: _Table, closed: Total, by_classes: bool) -> dict[str, np.ndarray]:
    """Return the parts of `Total` with the effect of seeds, and the variance of classes within groups, taken as equal
    in all groups.

    Seeds: what they do to all classes alike (S - 1 degrees of freedom) and to each class ((S - 1)(C - 1) of them).
    Classes: their variance within groups (C - G degrees of freedom), which includes what seeds do to each class.
    """
    by_seed, concentration = table.strata.by_seed, np.bincount(table.group, table.weights**2)
    n_seeds, n_classes = by_seed.shape
    common = seed_variance(by_seed.mean(axis=1, keepdims=True))[0]
    each = seed_variance(by_seed - by_seed.mean(axis=1, keepdims=True)).sum() / max(n_classes - 1, 1)
    if by_classes:
        averages = by_seed.mean(axis=0)
        within = averages - (np.bincount(table.group, averages) / table.sizes)[table.group]
        df_within = n_classes - len(table.sizes)
        units = concentration * (within**2).sum() / df_within
        unit_df = np.full(len(units), float(df_within))
    else:
        beyond = concentration * max(0.0, each - table.strata.shared.mean())
        units = closed.unit_variance + beyond
        unsure = beyond**2 / max((n_seeds - 1) * (n_classes - 1), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            unsure = unsure + np.where(closed.unit_variance > 0, closed.unit_variance**2 / closed.unit_df, 0)
            unit_df = np.where(unsure > 0, units**2 / unsure, closed.unit_df)
    variance, df = total(common, units, each / n_classes, n_seeds, unit_df)
    shares = {"seed_variance": np.full_like(units, common), "shared": np.full_like(units, each / n_classes)}
    return {"mean": closed.mean, "variance": variance, "df": df, "unit_variance": units, "unit_df": unit_df} | shares


def _resample_images(table: _Table, _closed: Total, draws: int, rng: np.random.Generator, seed: int) -> np.ndarray:
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


def _reweight_classes(table: _Table, closed: Total, draws: int, rng: np.random.Generator, _seed: int) -> np.ndarray:
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
        deviations[number] *= np.sqrt(closed.unit_variance[number] / drawn) if drawn > 0 else 0
    return deviations
