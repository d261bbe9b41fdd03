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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psutil
from scipy.special import stdtrit

from pretraining_gain.errors import InputError

_PROFILE_LINES = 12
_PACKAGES = (
    "torch torchvision accelerate numpy pillow simplejpeg timm opencv-python-headless scipy pandas plotly snakemake"
)


@dataclass(frozen=True)
class Contestant:
    """`work` does one repetition on `items`; `prepare` runs before each and is not timed."""

    name: str
    work: Callable[[], object]
    items: int
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Effort:
    """At most `rounds` rounds, none that would exceed `budget_s`, at least two; `synchronize` waits for the device."""

    rounds: int = 5
    budget_s: float = 60
    warm_up: bool = True
    synchronize: Callable[[], object] = lambda: None


Aim = tuple[str, str, float]


def compare(
    name: str, setting: str, contestants: list[Contestant], reference: str, effort: Effort, *aims: Aim, **facts: Any
) -> dict[str, Any]:
    """Time the contestants in turns, in an order that shifts by one each round; profile those of a missed aim.

    An aim is (contestant, reference, how many times as fast in the median); `facts` are `unit`, `absent` and `notes`.
    Raise `InputError` for fewer than two rounds.
    """
    if effort.rounds < 2:
        raise InputError(f"rounds={effort.rounds}; accepted: 2 or more, as one repetition gives no ratio")
    started, done, slowest = time.perf_counter(), 0, 0.0
    for one in contestants if effort.warm_up else ():
        timed(one, effort.synchronize)
    seconds: dict[str, list[float]] = {one.name: [] for one in contestants}
    while done < 2 or (done < effort.rounds and time.perf_counter() - started + slowest < effort.budget_s):
        begun, turn = time.perf_counter(), done % len(contestants)
        for one in [*contestants[turn:], *contestants[:turn]]:
            seconds[one.name].append(timed(one, effort.synchronize))
        done, slowest = done + 1, max(slowest, time.perf_counter() - begun)
    print(f"bench: {name}, {setting}: {done} rounds, {time.perf_counter() - started:.0f} s", file=sys.stderr)
    speeds = {one.name: [one.items / second for second in seconds[one.name]] for one in contestants}

    def ratio(own: str, other: str) -> dict[str, float]:
        return _spread([a / b for a, b in zip(speeds[own], speeds[other], strict=True)])

    found = {"name": name, "setting": setting, "unit": "images", "reference": reference, "rounds": done}
    found["outcomes"] = [
        {"contestant": one.name, "items": one.items, "seconds": seconds[one.name]}
        | {"items_per_s": _spread(speeds[one.name]), "ratio": ratio(one.name, reference)}
        for one in contestants
    ]
    found["targets"] = targets = [
        {"contestant": own, "reference": other, "at_least": at_least, "ratio": reached}
        | {"met": reached["median"] >= at_least}
        for own, other, at_least in aims
        if {own, other} <= speeds.keys() and (reached := ratio(own, other))
    ]
    missed = {one for target in targets if not target["met"] for one in (target["contestant"], target["reference"])}
    profiles = {one.name: profile(one) for one in contestants if one.name in missed}
    return found | {"absent": {}, "notes": [], "profiles": profiles} | facts


def timed(contestant: Contestant, synchronize: Callable[[], object]) -> float:
    """Return the seconds of one repetition, up to the end of the work that it started on the device."""
    contestant.prepare()
    synchronize()
    started = time.perf_counter()
    contestant.work()
    synchronize()
    return time.perf_counter() - started


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """Return the mean difference over two or more seeds with its 95 % t interval."""
    paired = [own - other for own, other in zip(values, reference, strict=True)]
    mean, se = statistics.mean(paired), statistics.stdev(paired) / len(paired) ** 0.5
    reach = float(stdtrit(len(paired) - 1, 0.975)) * se
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def profile(contestant: Contestant) -> list[dict[str, Any]]:
    """Return the functions in which the calling thread spent most of one repetition; waiting is a function, too."""
    contestant.prepare()
    measured = cProfile.Profile()
    measured.runcall(contestant.work)
    entries = [(entry[2], place) for place, entry in pstats.Stats(measured).stats.items()]  # type: ignore[attr-defined]
    whole = sum(seconds for seconds, _ in entries) or 1e-9
    return [
        {
            "what": name if file == "~" else f"{Path(file).name}:{line} {name}",
            "share": seconds / whole,
            "seconds": seconds,
        }
        for seconds, (file, line, name) in sorted(entries, reverse=True)[:_PROFILE_LINES]
    ]


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_computer() -> dict[str, Any]:
    """Return processor, cores, memory in GB, system and Python version."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    facts = {"processor": processor, "cores": n_cores(), "memory_gb": round(psutil.virtual_memory().total / 1e9, 1)}
    return facts | {"system": f"{platform.system()} {platform.machine()}", "python": platform.python_version()}


def versions() -> dict[str, str]:
    """Return the version of each package that may change a result, where it is installed."""
    installed = {one.metadata["Name"].lower(): one.version for one in distributions()}
    return {name: installed[name] for name in _PACKAGES.split() if name in installed}
