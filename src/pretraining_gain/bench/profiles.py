"""Where the time of a repetition goes, for the contestants that were slower than aimed at."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path

from pretraining_gain.bench.records import Cost

_LINES = 12


def by_function(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[Cost]:
    """The functions in which the calling thread spent most time, without what they called. What other threads and processes
    do shows as waiting."""
    before()
    profile = cProfile.Profile()
    profile.runcall(work)
    stats = pstats.Stats(profile)
    whole = sum(entry[2] for entry in stats.stats.values()) or 1e-9
    first = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:_LINES]
    return [Cost(what=_named(where), share=entry[2] / whole, seconds=entry[2]) for where, entry in first]


def _named(where: tuple[str, int, str]) -> str:
    """A function by its file and name, without the folders of this machine."""
    file, line, function = where
    return function if file == "~" else f"{Path(file).name}:{line} {function}"
