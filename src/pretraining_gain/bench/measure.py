"""Compare contestants in interleaved rounds, so that machine noise affects all of them alike; pair ratios within rounds.

Results are plain dictionaries in the form of `results/bench/<device>.json`, which `tell.software.performance` reads.
"""

from __future__ import annotations

import cProfile
import os
import platform
import pstats
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from scipy.stats import ttest_rel

from pretraining_gain.plan.resources import allowed_cores

_PROFILE_LINES = 12
_AGREE = 1.25  # rounds agree if their largest ratio is at most this many times their smallest

Work = Callable[[], object]
#: A contestant, another one, and how many times as fast the first should be in the median.
Aim = tuple[str, str, float]


@dataclass(frozen=True)
class Effort:
    """Two rounds in any case, `rounds` if `budget_s` allows, twice as many if rounds disagree; or exactly `rounds`, without a
    warm-up.

    `synchronize` waits for the device; `on_cpu`: processor time is a fair second clock.
    """

    rounds: int = 5
    budget_s: float = 60
    exactly: bool = False
    on_cpu: bool = False
    synchronize: Work = lambda: None


def compare(
    name: str, setting: str, ways: Mapping[str, Work], items: int, effort: Effort, *aims: Aim,
    notes: Sequence[str] = (), prepare: Work = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Time the contestants in turns, in an order that shifts by one each round; profile those of a missed aim.

    One repetition of each of `ways` does its work on `items`; the first is the reference. `prepare` runs before each repetition
    and is not timed. Ratios are of wall time or, on a CPU where rounds disagree, of processor time, on which other programs have
    less influence. An aim is undecided (None) if rounds disagree and their ratios lie on both sides of it.
    """
    started, slowest, names = time.perf_counter(), 0.0, [*ways]
    rounds: list[dict[str, tuple[float, float]]] = []  # wall time and processor time of each contestant

    def repeat(one: str) -> tuple[float, float]:
        prepare()
        return timed(ways[one], effort.synchronize)

    def ratios(own: str, other: str, clock: int) -> list[float]:
        return [times[other][clock] / times[own][clock] for times in rounds]

    def agree(clock: int) -> bool:
        return all(_agree(ratios(one, names[0], clock)) for one in names)

    def go_on() -> bool:
        if effort.exactly or len(rounds) < 2:
            return len(rounds) < effort.rounds
        in_time = time.perf_counter() - started + slowest < effort.budget_s
        return in_time and len(rounds) < effort.rounds * (1 if agree(0) else 2)

    for one in [] if effort.exactly else names:
        repeat(one)
    while go_on():
        begun, turn = time.perf_counter(), len(rounds) % len(names)
        rounds.append({one: repeat(one) for one in [*names[turn:], *names[:turn]]})
        slowest = max(slowest, time.perf_counter() - begun)
    clock = int(effort.on_cpu and not agree(0))
    print(f"bench: {name}, {setting}: {len(rounds)} rounds, {time.perf_counter() - started:.0f} s", file=sys.stderr)

    outcomes, targets, missed = [], [], set()
    for one in names:
        wall, busy = (list(column) for column in zip(*(times[one] for times in rounds), strict=True))
        outcome = {"contestant": one, "items": items, "seconds": wall, "processor_seconds": busy}
        outcome |= {"items_per_s": spread([items / second for second in wall]), "ratio": spread(ratios(one, names[0], clock))}
        outcomes.append(outcome)
    for own, other, at_least in aims:
        found = ratios(own, other, clock)
        met = spread(found)["median"] >= at_least if _agree(found) or not min(found) < at_least <= max(found) else None
        missed |= {own, other} if met is False else set()
        targets.append({"contestant": own, "reference": other, "at_least": at_least, "ratio": spread(found), "met": met})
    profiles = {one: profile(ways[one], prepare) for one in names if one in missed}
    record = {"name": name, "setting": setting, "reference": names[0], "rounds": len(rounds), "notes": notes}
    record |= {"profiles": profiles, "clock": ("wall time", "processor time")[clock]}
    return record | {"outcomes": outcomes, "targets": targets}


def timed(work: Work, synchronize: Work) -> tuple[float, float]:
    """Return wall time and processor time of one repetition in seconds, up to the end of the work that it started on the device."""

    def clocks() -> tuple[float, float]:
        synchronize()
        ended = os.times()  # of children that have ended, e.g. loader workers
        return time.perf_counter(), time.process_time() + ended.children_user + ended.children_system

    wall, busy = clocks()
    work()
    wall_after, busy_after = clocks()
    return wall_after - wall, max(busy_after - busy, 1e-9)


def _agree(values: Sequence[float]) -> bool:
    return max(values) <= _AGREE * min(values)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, smallest and largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """Return the mean difference over two or more seeds with its 95 % t interval."""
    low, high = map(float, ttest_rel(values, reference).confidence_interval())
    return {"mean": statistics.mean(values) - statistics.mean(reference), "low": low, "high": high}


def profile(work: Work, prepare: Work) -> list[dict[str, Any]]:
    """Return the functions in which the calling thread spent most of one repetition; waiting is a function, too."""
    prepare()
    measured = cProfile.Profile()
    measured.runcall(work)
    own = {place: entry[2] for place, entry in pstats.Stats(measured).stats.items()}  # type: ignore[attr-defined]
    whole, found = sum(own.values()) or 1e-9, []
    for (file, line, name), seconds in sorted(own.items(), key=lambda item: -item[1])[:_PROFILE_LINES]:
        what = name if file == "~" else f"{Path(file).name}:{line} {name}"
        found.append({"what": what, "share": seconds / whole, "seconds": seconds})
    return found


def this_computer() -> dict[str, Any]:
    """Return processor, cores, memory in GB, system and Python version."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    facts = {"processor": processor, "cores": allowed_cores(), "memory_gb": round(psutil.virtual_memory().total / 1e9, 1)}
    return facts | {"system": f"{platform.system()} {platform.machine()}", "python": platform.python_version()}
