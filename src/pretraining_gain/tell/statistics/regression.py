"""Regress the top-1 of many pretrainings on how many classes of each kind they saw (after Jain et al. 2023).

The counts of a subset add to its size, so the kind that is left out is the reference: an effect is of classes of one kind
in place of classes of the reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, pearsonr
from statsmodels.api import OLS, add_constant

_COLUMNS = ["mean", "low", "high"]
OWN_KIND, OTHER_KINDS, OWN_MINUS_OTHER = "its own kind", "animals of other kinds", "own kind − other kinds"


def effects_of_counts(top1: np.ndarray, counts: pd.DataFrame) -> pd.DataFrame:
    """Estimate by least squares what one class of each kind changes in `top1` (S,), in place of one of the reference.

    `counts` (S, K): classes of each kind but the reference. Returns mean, low and high (95 % interval over subsets) by kind.
    """
    fitted = _fit(top1, counts)
    return pd.concat([fitted.params, fitted.conf_int()], axis=1).set_axis(_COLUMNS, axis=1).drop("const")


def effect_of_exchange(top1: np.ndarray, counts: pd.DataFrame, weights: pd.Series) -> pd.Series:
    """Estimate the sum of the effects of `effects_of_counts`, by their `weights` (kind -> weight), from the same fit.

    Returns mean, low and high (95 % interval over subsets).
    """
    tested = _fit(top1, counts).t_test([0.0, *weights[counts.columns]])
    return pd.Series([*tested.effect, *tested.conf_int()[0]], _COLUMNS)


def _fit(top1: np.ndarray, counts: pd.DataFrame) -> Any:
    return OLS(top1, add_constant(counts.astype(float))).fit()


def predict_held_out(top1: np.ndarray, counts: pd.DataFrame) -> pd.DataFrame:
    """Fit on the first four fifths of the subsets and predict the rest.

    Rows: `correlation` of predicted and held-out top-1; `r2`, the share of squared error that the regression saves against
    predicting the mean of the fitted subsets. Columns: mean, low, high (95 % interval over the held-out subsets), n_held_out.
    """
    n_fitted = len(top1) - len(top1) // 5
    design = add_constant(counts.astype(float), has_constant="add")
    predicted = np.asarray(OLS(top1[:n_fitted], design[:n_fitted]).fit().predict(design[n_fitted:]))
    held, mean = top1[n_fitted:], top1[:n_fitted].mean()

    def saved(held: np.ndarray, predicted: np.ndarray, axis: int = -1) -> Any:
        return 1 - ((held - predicted) ** 2).sum(axis=axis) / ((held - mean) ** 2).sum(axis=axis)

    found = pearsonr(held, predicted)
    spread = bootstrap((held, predicted), saved, paired=True, method="percentile", rng=np.random.default_rng(0))
    rows = [[found.statistic, *found.confidence_interval()], [saved(held, predicted), *spread.confidence_interval]]
    return pd.DataFrame(rows, index=["correlation", "r2"], columns=_COLUMNS).assign(n_held_out=len(held))


def effects_of_own_kind(means: np.ndarray, counts: pd.DataFrame, kind_of_class: pd.Series, animals: list[str]) -> pd.DataFrame:
    """Estimate what one class of a species' own kind changes in its top-1, what one of the other animals, and the difference.

    `means` (S, C): top-1 of each run on each species, whose kinds are `kind_of_class` (C,); `counts` (S, K) as above;
    `animals`: its columns of animals. One model of all species, each with its own level; errors are clustered by run and by
    species, so that the intervals are over subsets and species. Rows: `OWN_KIND`, `OTHER_KINDS`, `OWN_MINUS_OTHER`.
    """
    n_runs, n_classes = means.shape
    own = np.stack([counts.get(kind, pd.Series(0.0, counts.index)) for kind in kind_of_class], axis=1)
    other = counts[animals].sum(axis=1).to_numpy()[:, None] - own
    rest = [np.repeat(counts[[name]].to_numpy(), n_classes, axis=1) for name in counts if name not in animals]
    columns = [column - column.mean(axis=0) for column in (own, other, *rest)]
    groups = np.indices((n_runs, n_classes)).reshape(2, -1).T
    model = OLS((means - means.mean(axis=0)).ravel(), np.stack([column.ravel() for column in columns], axis=1))
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    contrasts = np.eye(3, len(columns))
    contrasts[2, :2] = 1, -1
    contrasts[2, 2:] = 0
    tested = fitted.t_test(contrasts)
    found = np.column_stack([tested.effect, tested.conf_int()])
    return pd.DataFrame(found, index=[OWN_KIND, OTHER_KINDS, OWN_MINUS_OTHER], columns=_COLUMNS)
