"""Pools of source classes and seeded subsets drawn from them (paper, D.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError

Pool = Literal["all", "animal", "non_animal", "random"]
POOLS: tuple[str, ...] = get_args(Pool)


@dataclass(frozen=True)
class ClassSubset:
    """k source classes. Label i of the pretraining head means `class_ids[i]`; ids are sorted."""

    pool: Pool
    seed: int
    class_ids: tuple[int, ...]


def pool_class_ids(table: pd.DataFrame, pool: Pool) -> np.ndarray:
    """Ids that `pool` may draw: shape (pool size,), sorted. `random` draws from all classes."""
    if pool in ("all", "random"):
        keep = np.ones(len(table), dtype=bool)
    elif pool in ("animal", "non_animal"):
        keep = table["animal"].to_numpy() == (pool == "animal")
    else:
        raise InputError(f"pool {pool!r} is unknown; accepted: {', '.join(POOLS)}")
    return table["class_id"].to_numpy()[keep]


def sample_classes(table: pd.DataFrame, pool: Pool, k: int, seed: int) -> ClassSubset:
    """Draw k classes from `pool` without replacement.

    Randomness: an own generator from (seed, pool), so nothing else shifts the draw. The k classes are the first k of
    one shuffle: for one seed, subsets of a pool are nested in k [assumed; the paper does not say].
    Raises `InputError` when k is not in 1..pool size.
    """
    ids = pool_class_ids(table, pool)
    if not 1 <= k <= len(ids):
        raise InputError(f"k={k} is not possible for pool {pool!r}; accepted: 1 to {len(ids)}")
    shuffled = np.random.default_rng([seed, POOLS.index(pool)]).permutation(ids)
    return ClassSubset(pool, seed, tuple(int(i) for i in np.sort(shuffled[:k])))
