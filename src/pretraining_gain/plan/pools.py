"""Pools of source classes, one declaration each, and the seeded subsets drawn from them (paper, D.1).

To add a pool, add one entry to `POOLS`: studies accept it, figures draw it, the price and the playground include it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field

from pretraining_gain.errors import InputError

#: Finetuning without pretraining: no pool, but drawn and priced like one.
SCRATCH = "scratch"
#: What numpy, torch and the columns of a table all accept.
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


@dataclass(frozen=True)
class Pool:
    """Source classes to draw subsets from, and how their curve looks.

    `draws` marks the rows of the source's class table to draw from. `takes` says how many of them a subset has: any
    number, the whole pool, or half of it plus every class outside it. `stream` is part of the random seed: never change
    or reuse one. `figures` are the numbers of the paper's figures that show the pool.
    """

    name: str
    label: str
    colour: str
    marker: str
    stream: int
    draws: Callable[[pd.DataFrame], pd.Series]
    takes: Literal["any", "whole", "half"] = "any"
    dash: str = "solid"
    figures: tuple[str, ...] = ()
    counted: str = ""

    def title(self, k: int) -> str:
        """Return the pool in words with its number of classes, e.g. `4 animal classes`."""
        return self.counted.format(k=f"{k:,}") if self.counted else f"{k:,} {self.label}"

    def sizes(self, table: pd.DataFrame) -> tuple[int, int]:
        """Return the smallest and the largest possible subset; equal where only one size is possible."""
        size = int(self.draws(table).sum())
        if self.takes == "half":
            size = len(table) - size + size // 2
        return (1 if self.takes == "any" else size), size

    def expected_animals(self, table: pd.DataFrame, k: int) -> float:
        """Return the expected number of animals among k classes of the pool."""
        drawn = self.draws(table)
        animals = table["animal"]
        if self.takes == "half":
            return float(animals[~drawn].sum() + animals[drawn].mean() * (drawn.sum() // 2))
        return float(k * animals[drawn].mean())


def _any_class(table: pd.DataFrame) -> pd.Series:
    return pd.Series(True, index=table.index)


# Colours are from Okabe and Ito's palette, which readers with any colour vision can tell apart.
_POOLS = (
    Pool("animal", "animal classes", "#0072B2", "circle", 1, lambda table: table["animal"], figures=("3", "4", "6")),
    Pool("non_animal", "non-animal classes", "#D55E00", "square", 2, lambda table: ~table["animal"], figures=("3", "4")),
    Pool("random", "random classes", "#009E73", "diamond", 3, _any_class, figures=("3", "4", "6")),
    Pool("all", "all classes", "#CC79A7", "star", 0, _any_class, "whole", figures=("3", "4", "6"),
         counted="all {k} classes"),
    # Not the paper's: chance decides which animals are in, so which target species the source represents.
    Pool("half_animal", "non-animals and half of the animals", "#56B4E9", "triangle-up", 4, lambda table: table["animal"], "half",
         counted="{k} classes, half of the animals among them"),
)  # fmt: skip
POOLS: dict[str, Pool] = {pool.name: pool for pool in _POOLS}
FROM_SCRATCH = Pool(
    SCRATCH, "from scratch", "#767676", "x", -1, lambda table: ~_any_class(table), dash="dash",
    figures=("3", "4"), counted="from scratch",
)  # fmt: skip


#: Colours and markers of published weights, in a study's order.
_LOOKS = (("#E69F00", "hexagon"), ("#332288", "pentagon"), ("#882255", "cross"), ("#117733", "triangle-down"))


def starts(weights: Iterable[str] = ()) -> dict[str, Pool]:
    """Return everything that finetuning can start from, in the order of the figures: the pools, a study's weights, scratch."""
    looks = zip(weights, cycle(_LOOKS))
    named = {
        name: Pool(name, f"weights {name}", colour, marker, -1, FROM_SCRATCH.draws, counted=f"weights {name}")
        for name, (colour, marker) in looks
    }
    return POOLS | named | {SCRATCH: FROM_SCRATCH}


def shown_in(figure: str) -> list[str]:
    """Return the names of the pools (and `scratch`) that the figure of this number shows, in drawing order."""
    return [name for name, pool in starts().items() if figure in pool.figures]


def known_pool(name: str) -> str:
    """Return `name` if it is a pool; raise `InputError` otherwise."""
    if name not in POOLS:
        raise InputError(f"pool {name!r} is unknown; accepted: {', '.join(POOLS)}")
    return name


PoolName = Annotated[str, AfterValidator(known_pool)]
#: How the subsets of a pool are drawn (see `sample_classes`).
Subsets = Literal["nested", "independent", "balanced"]


@dataclass(frozen=True)
class ClassSubset:
    """k source classes. Label i of the pretraining head means `class_ids[i]`; ids are sorted."""

    pool: str
    seed: int
    class_ids: tuple[int, ...]


#: Seeds that share a shuffle where draws are balanced.
_ROUND = 10


def sample_classes(table: pd.DataFrame, pool: str, k: int, seed: int, subsets: Subsets = "nested") -> ClassSubset:
    """Draw k classes from `pool` without replacement.

    Randomness: a generator seeded with (seed, the pool's stream), so nothing else shifts the draw. The k classes are
    the first k of one shuffle: for one seed, subsets of a pool are nested in k [assumed; the paper does not say].
    `independent` subsets have one shuffle per k. `balanced`: seeds 10j to 10j + 9 share a shuffle, and each begins a tenth
    of it further on, so that they draw all classes about equally often; nested, too. Of a pool that takes half, seeds 2j and
    2j + 1 draw opposite halves of one shuffle. Raises `InputError` when k is not possible.
    """
    declared = POOLS[known_pool(pool)]
    fewest, most = declared.sizes(table)
    if not fewest <= k <= most:
        raise InputError(f"k={k} is not possible for pool {pool!r}; accepted: {fewest} to {most}")
    ids, drawn = table["class_id"].to_numpy(), declared.draws(table).to_numpy()
    if declared.takes == "half":
        shuffled = np.random.default_rng([seed // 2, declared.stream]).permutation(ids[drawn])
        half = len(shuffled) // 2
        chosen = np.concatenate([ids[~drawn], shuffled[-half:] if seed % 2 else shuffled[:half]])
    else:
        round_, place = divmod(seed, _ROUND) if subsets == "balanced" else (seed, 0)
        key = [round_, declared.stream] + ([k] if subsets == "independent" else [])
        shuffled = np.random.default_rng(key).permutation(ids[drawn])
        chosen = np.roll(shuffled, -(len(shuffled) * place // _ROUND))[:k]
    return ClassSubset(pool, seed, tuple(int(i) for i in np.sort(chosen)))
