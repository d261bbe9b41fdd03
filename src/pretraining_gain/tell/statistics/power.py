"""Compute what a design can resolve: variance components, planned errors, power, smallest effects and margins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, nctdtr, ndtr, stdtrit
from scipy.stats.qmc import Sobol

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics.variance import checked, class_means, seed_variance, total

#: Level of the one-sided tests, and the probability with which an effect is to be found.
LEVEL, POWER = 0.05, 0.8
_QUANTILES = (np.arange(1000) + 0.5) / 1000
# Evenly spread points of the unit cube: chance in the mean squares of seeds, of units, and of both.
_LUCK = (Sobol(3, scramble=False).random(1024).T + 0.5 / 1024) % 1


@dataclass(frozen=True)
class Components:
    """Variances in squared units of the values: of seeds, classes, seed×class, images within classes, and the residual."""

    seed: float
    class_: float
    seed_class: float
    image: float
    residual: float


def components(values: np.ndarray, labels: np.ndarray) -> Components:
    """Estimate the variance components of value = mean + seed + class + seed×class + image(class) + residual.

    By moments, class means counted equally, negative ones set to 0; for balanced data the textbook's analysis of
    variance. With one seed, `image` includes the residual and the seed parts are 0. With one class, class parts are 0.
    """
    return Components(*(max(0.0, float(part)) for part in unbiased_components(values, labels)))


def unbiased_components(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the five of `components`, in its order, before negative ones are set to 0: average these over draws."""
    values, labels = checked(values, labels)
    means, ids, n_images = class_means(values, labels)
    n_seeds, n_classes, per_image = len(values), len(ids), float((1 / n_images).mean())
    within = values - means[:, np.searchsorted(ids, labels)]
    df_images = max(len(labels) - n_classes, 1)
    of_images = (within.mean(axis=0) ** 2).sum() / df_images
    residual = n_seeds * seed_variance(within).sum() / df_images
    image = of_images - residual / n_seeds
    seed = n_seeds * seed_variance(means.mean(axis=1, keepdims=True))[0]
    if n_classes == 1:
        return np.array([(seed - residual * per_image) * (n_seeds > 1), 0.0, 0.0, image, residual])
    centred = means - means.mean(axis=1, keepdims=True)
    seed_class = n_seeds * seed_variance(centred).sum() / (n_classes - 1) - residual * per_image
    class_ = means.mean(axis=0).var(ddof=1) - seed_class / n_seeds - of_images * per_image
    seed = seed - (seed_class + residual * per_image) / n_classes
    return np.array([seed, class_, seed_class, image, residual])


def design_error(
    components: Components,
    n_seeds: int,
    n_classes: float,
    images_per_class: float,
    *,
    classes: Literal["fixed", "random"],
) -> tuple[float, float]:
    """Return the standard error and degrees of freedom that `estimate_mean` would have for a planned design.

    With these degrees of freedom, `smallest_detectable` is what the one-sided test at 5 % finds with probability 0.8,
    averaged over what few seeds and classes happen to show. One seed has 0 degrees of freedom. Random classes of unequal
    sizes n count as (Σ n)² / Σ n² classes.
    Raises `InputError` for a design without seeds or images, and for random classes when there is one class.
    """
    if classes not in ("fixed", "random"):
        raise InputError(f"classes {classes!r} is not accepted; accepted: fixed, random")
    if n_seeds < 1 or n_classes < 1 + (classes == "random") or images_per_class < 1 + (classes == "fixed"):
        raise InputError(f"no error of {n_seeds} seeds, {n_classes} {classes} classes, {images_per_class} images each")
    shared = components.residual / (n_seeds * n_classes * images_per_class)
    units = shared + components.image / (n_classes * images_per_class)
    seeds, by_class = components.seed / n_seeds, components.seed_class / (n_seeds * n_classes)
    if classes == "fixed":
        return _planned(seeds + by_class, units, shared, n_seeds, n_classes * (images_per_class - 1))
    units += components.class_ / n_classes + by_class
    return _planned(seeds, units, shared + by_class, n_seeds, n_classes - 1)


def difference_error(
    components: Components, n_seeds: int, n_first: float, n_second: float, images_per_class: float
) -> tuple[float, float]:
    """Return the same as `design_error` for `estimate_difference` of two groups of classes."""
    if n_seeds < 1 or min(n_first, n_second) < 2 or images_per_class < 1:
        raise InputError(
            f"no error of {n_seeds} seeds, {n_first} and {n_second} classes, {images_per_class} images each"
        )
    shared = (components.seed_class + components.residual / images_per_class) / n_seeds
    units = shared + components.class_ + components.image / images_per_class
    parts = np.array([1 / n_first, 1 / n_second])
    unit_df = parts.sum() ** 2 / (parts**2 / np.array([n_first - 1, n_second - 1])).sum()
    return _planned(0.0, units * parts.sum(), shared * parts.sum(), n_seeds, float(unit_df))


def _planned(seeds: float, units: float, shared: float, n_seeds: int, unit_df: float) -> tuple[float, float]:
    """Return the true standard error, and the degrees of freedom that give the right effect; see `design_error`."""
    se = float(np.sqrt(seeds + units))
    if n_seeds == 1 or not se > 0:
        return se, 0.0 if n_seeds == 1 else float(unit_df)
    dfs = np.array([n_seeds - 1, unit_df, unit_df * (n_seeds - 1)])[:, None]
    by_seeds, by_units, common = np.array([[seeds + shared], [units], [shared]]) * chdtri(dfs, _LUCK) / dfs
    variance, df = total(by_seeds, by_units, common, n_seeds, unit_df)
    critical = stdtrit(df, 1 - LEVEL) * np.sqrt(variance) / se
    found = brentq(lambda effect: ndtr(effect - critical).mean() - POWER, 0, critical.max() + 1)
    # The degrees of freedom, at most `unit_df`, with which an effect of `found` standard errors has that power.
    if power_at(found, 1.0, unit_df) <= POWER:
        return se, float(unit_df)
    return se, float(brentq(lambda df: power_at(found, 1.0, df) - POWER, 0.5, unit_df))


def power_at(effect: float, se: float, df: float) -> float:
    """Return the probability that a one-sided test finds a true `effect` (units of `se`): noncentral t."""
    if not (df > 0 and se > 0):
        return float(df > 0 and effect > 0)
    return float(1 - nctdtr(df, effect / se, stdtrit(df, 1 - LEVEL)))


def equivalence_power(margin: float, se: float, df: float) -> float:
    """Return the probability that two one-sided tests show a true difference of 0 to be within `margin`."""
    if not (df > 0 and se > 0):
        return float(df > 0 and margin > 0)
    spread = np.sqrt(chdtri(df, _QUANTILES) / df)
    room = np.maximum(margin / se - stdtrit(df, 1 - LEVEL) * spread, 0)
    return float((2 * ndtr(room) - 1).mean())


def smallest_margin(se: float, df: float) -> float:
    """Return the smallest equivalence margin that a true difference of 0 satisfies with probability 0.8."""
    return smallest_detectable(se, df, equivalence_power)


def smallest_detectable(se: float, df: float, power_of: Callable[[float, float, float], float] = power_at) -> float:
    """Return the true effect that a one-sided test finds with probability 0.8 (of another `power_of`); infinite without df."""
    if not (df > 0 and se > 0):
        return 0.0 if df > 0 else float("inf")
    high = se
    while power_of(high, se, df) < POWER:
        high *= 2
    return float(brentq(lambda size: power_of(size, se, df) - POWER, 0, high, xtol=1e-9 * se, rtol=1e-9))
