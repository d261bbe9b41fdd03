"""Compute what a design can resolve: variance components, planned errors, power, smallest effects and margins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, nctdtrinc, ndtr, stdtrit

from pretraining_gain.errors import InputError
from pretraining_gain.tell.statistics.model import Answers, Weights, image_noise

#: Level of the one-sided tests, and the probability with which an effect is to be found.
LEVEL, POWER = 0.05, 0.8
_QUANTILES = (np.arange(1000) + 0.5) / 1000


@dataclass(frozen=True)
class Components:
    """Variances of a weighted sum of arms with one run per arm: of runs, classes, run × class, images, and the residual."""

    run: float
    class_: float
    run_class: float
    image: float
    residual: float


def components(answers: Answers, weights: Weights) -> Components:
    """Estimate the components by moments, class means counted equally; negative ones are set to 0.

    Runs and run × class are pooled over all arms; with one run per arm they are 0, and `image` includes the residual.
    Raises `InputError` for fewer than two classes, and where no class has two images.
    """
    df, n_classes = sum(len(means) - 1 for means in answers.means.values()), len(answers.ids)
    df_images, per_image = len(answers.labels) - n_classes, float((1 / answers.n_images).mean())
    if not df_images or n_classes < 2:
        raise InputError("no variance components; accepted: two classes, and two images of a class")
    square_weights = sum(weight**2 for weight in weights.values())
    noise = np.concatenate([means - means.mean(axis=0) for means in answers.means.values()])
    runs = square_weights * (noise.mean(axis=1) ** 2).sum() / max(df, 1)
    by_class = square_weights * ((noise - noise.mean(axis=1, keepdims=True)) ** 2).sum() / (max(df, 1) * (n_classes - 1))
    total, residual, by_seeds = np.zeros(len(answers.labels)), 0.0, 0.0
    for arm, weight in weights.items():
        means = answers.means[arm]
        (average, squares), n = image_noise(answers.correct[arm], means[:, answers.index]), len(means)
        own = weight**2 * squares.sum() / (max(n - 1, 1) * df_images)
        total, residual, by_seeds = total + weight * average, residual + own, by_seeds + own / n
    images, n_seeds = (total**2).sum() / df_images, answers.n_seeds(weights)
    run_class = by_class - residual * per_image
    class_ = answers.class_contrast(weights).var(ddof=1) - run_class / n_seeds - images * per_image
    found = runs - by_class / n_classes, class_, run_class, images - by_seeds, residual
    return Components(*(max(0.0, float(part)) for part in found))


def design_error(parts: Components, n_arms: int, n_seeds: int, n_classes: float, images: float) -> tuple[float, float]:
    """Return standard error and degrees of freedom of `estimate_mean` in a planned design of so many images per class.

    With one image per class, those of all classes tell how images vary, as in `image_units`.
    """
    runs = (parts.run + parts.run_class / n_classes + parts.residual / (n_classes * images)) / n_seeds
    units, unit_df = parts.image / (n_classes * images), n_classes * (images - 1)
    if images == 1:
        units, unit_df = (parts.image + parts.class_) / n_classes, n_classes - 1
    return _planned(runs, n_arms * (n_seeds - 1), units, unit_df)


def difference_error(
    parts: Components, n_arms: int, n_seeds: int, n_first: float, n_second: float, images: float
) -> tuple[float, float]:
    """Return the same for `estimate_difference` of two groups of classes."""
    classes = 1 / n_first + 1 / n_second
    runs = (parts.run_class + parts.residual / images) * classes / n_seeds
    units = (parts.class_ + parts.image / images) * classes
    return _planned(runs, n_arms * (n_seeds - 1), units, n_first + n_second - 2)


def _planned(runs: float, run_df: float, units: float, unit_df: float) -> tuple[float, float]:
    if run_df < 1:
        return float(np.sqrt(runs + units)), 0.0
    unsure = runs**2 / run_df + units**2 / unit_df
    return float(np.sqrt(runs + units)), float((runs + units) ** 2 / unsure) if unsure > 0 else float(run_df)


def equivalence_power(margin: float, se: float, df: float) -> float:
    """Return the probability that two one-sided tests show a true difference of 0 to be within `margin`."""
    room = np.maximum(margin / se - _thresholds(df), 0)
    return float((2 * ndtr(room) - 1).mean())


@lru_cache(maxsize=1)
def _thresholds(df: float) -> np.ndarray:
    """Return what a test asks of the estimate, in true standard errors, over the distribution of its own standard error."""
    return stdtrit(df, 1 - LEVEL) * np.sqrt(chdtri(df, _QUANTILES) / df)


def smallest_margin(se: float, df: float) -> float:
    """Return the smallest equivalence margin that a true difference of 0 satisfies with probability 0.8; infinite without df."""
    if not (df > 0 and se > 0):
        return 0.0 if df > 0 else float("inf")
    high = se
    while equivalence_power(high, se, df) < POWER:
        high *= 2
    missing = lambda margin: equivalence_power(margin, se, df) - POWER  # noqa: E731
    return float(brentq(missing, 0, high, xtol=1e-9 * se, rtol=1e-9))


def smallest_detectable(se: float, df: float) -> float:
    """Return the true effect that a one-sided test finds with probability 0.8 (noncentral t); infinite without df."""
    return se * float(nctdtrinc(df, 1 - POWER, stdtrit(df, 1 - LEVEL))) if df > 0 else float("inf")
