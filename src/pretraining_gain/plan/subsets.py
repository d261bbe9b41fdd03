"""Pools of source classes and seeded subsets drawn from them (paper, D.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.errors import InputError

#: `half_animal` is not the paper's: all that are no animals, and half of the animals, so that chance decides which
#: species are represented (new pools go to the end: a pool's place is part of its random seed).
Pool = Literal["all", "animal", "non_animal", "random", "half_animal"]
POOLS: tuple[str, ...] = get_args(Pool)
#: What numpy, torch and the columns of a table all take.
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


@dataclass(frozen=True)
class ClassSubset:
    """k source classes. Label i of the pretraining head means `class_ids[i]`; ids are sorted."""

    pool: Pool
    seed: int
    class_ids: tuple[int, ...]


def pool_class_ids(table: pd.DataFrame, pool: Pool) -> np.ndarray:
    """Ids that `pool` may draw: shape (pool size,), sorted. `random` and `half_animal` draw from all classes."""
    if pool in ("animal", "non_animal"):
        keep = table["animal"].to_numpy() == (pool == "animal")
    elif pool in POOLS:
        keep = np.ones(len(table), dtype=bool)
    else:
        raise InputError(f"pool {pool!r} is unknown; accepted: {', '.join(POOLS)}")
    return table["class_id"].to_numpy()[keep]


def accepted_ks(table: pd.DataFrame, pool: Pool) -> tuple[int, int]:
    """The fewest and the most classes that can be drawn from `pool`; equal where the pool has one size only."""
    size = len(pool_class_ids(table, pool))
    if pool == "half_animal":
        size -= -(-int(table["animal"].sum()) // 2)
    return (size if pool in ("all", "half_animal") else 1), size


def sample_classes(
    table: pd.DataFrame, pool: Pool, k: int, seed: int, subsets: Literal["nested", "independent"] = "nested"
) -> ClassSubset:
    """Draw k classes from `pool` without replacement.

    Randomness: an own generator from (seed, pool), so nothing else shifts the draw. The k classes are the first k of
    one shuffle: for one seed, subsets of a pool are nested in k [assumed; the paper does not say]; `independent`
    subsets have a shuffle for each k. Of `half_animal`, seeds 2j and 2j + 1 draw opposite halves of one shuffle.
    Raises `InputError` when k is not possible.
    """
    ids = pool_class_ids(table, pool)
    fewest, most = accepted_ks(table, pool)
    if not fewest <= k <= most:
        raise InputError(f"k={k} is not possible for pool {pool!r}; accepted: {fewest} to {most}")
    if pool == "half_animal":
        animals = np.random.default_rng([seed // 2, POOLS.index(pool)]).permutation(pool_class_ids(table, "animal"))
        half = len(animals) // 2
        drawn = np.concatenate([pool_class_ids(table, "non_animal"), animals[-half:] if seed % 2 else animals[:half]])
    else:
        key = [seed, POOLS.index(pool)] + ([k] if subsets == "independent" else [])
        drawn = np.random.default_rng(key).permutation(ids)[:k]
    return ClassSubset(pool, seed, tuple(int(i) for i in np.sort(drawn)))
