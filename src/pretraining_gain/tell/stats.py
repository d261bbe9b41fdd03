"""Means with uncertainty: a hierarchical bootstrap over seeds, classes and images, paired where the values are."""

from __future__ import annotations

import numpy as np
import pandas as pd

LEVEL = 0.95


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

    Estimand: the mean over seeds, over all images of a group's classes, of what `values` (S, N) holds for seed and
    image: 1/0 for correct, or the paired difference of two arms on the same image. `labels` (N,) are class ids and
    `group_of_class` maps class id to group. Each draw resamples seeds; then, when `resample_classes`, the classes of
    each group (the species stand for others like them; else they are the ones meant); then images within classes.
    With few seeds such intervals are somewhat too narrow. Randomness: `seed` only.
    Returns one row a group in order of appearance: group, mean, low, high, n_classes, n_images.
    """
    rng = np.random.default_rng(seed)
    n_seeds = len(values)
    seed_weights = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=draws) / n_seeds
    by_image = seed_weights @ values
    sums: dict[object, list[np.ndarray]] = {}
    for class_id, group in group_of_class.items():
        members = np.flatnonzero(labels == class_id)
        if len(members):
            weights = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
            drawn = np.einsum("dn,dn->d", weights, by_image[:, members])
            sums.setdefault(group, []).append(np.stack([drawn, np.full(draws, float(len(members)))]))
    rows = []
    for group, per_class in sums.items():
        stacked = np.stack(per_class)  # (classes, 2, draws): sum of values, number of images
        if resample_classes:
            picks = rng.multinomial(len(stacked), np.full(len(stacked), 1 / len(stacked)), size=draws)
            totals = np.einsum("dc,ctd->td", picks, stacked)
        else:
            totals = stacked.sum(axis=0)
        members = np.isin(labels, group_of_class.index[group_of_class == group])
        low, high = np.quantile(totals[0] / totals[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        rows.append(
            {
                "group": group,
                "mean": values[:, members].mean(),
                "low": low,
                "high": high,
                "n_classes": len(stacked),
                "n_images": int(members.sum()),
            }
        )
    return pd.DataFrame(rows)
