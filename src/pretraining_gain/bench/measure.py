"""Compare contestants in interleaved rounds, so that machine noise affects all of them alike; pair ratios within rounds.

Results are plain dictionaries in the form of `results/bench/<device>.json`, which `tell.software.performance` reads.
"""

from __future__ import annotations

import cProfile
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

from pretraining_gain.plan.resources import allowed_cores

_PROFILE_LINES = 12
_AGREE = 1.25  # rounds agree if their largest ratio is at most this many times their smallest
_PACKAGES = "torch torchvision accelerate numpy pillow simplejpeg timm scipy pandas plotly snakemake"


@dataclass(frozen=True)
class Contestant:
    """`work` does one repetition on `items`; `prepare` runs before each and is not timed."""

    name: str
    work: Callable[[], object]
    items: int
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Effort:
    """`least` rounds in any case (2 or more: one gives no ratio), `rounds` if `budget_s` allows, twice as many if rounds disagree.

    `synchronize` waits for the device; `on_cpu`: processor time is a fair second clock.
    """

    least: int = 2
    rounds: int = 5
    budget_s: float = 60
    warm_up: bool = True
    on_cpu: bool = False
    synchronize: Callable[[], object] = lambda: None


Aim = tuple[str, str, float]


def compare(
    name: str, setting: str, contestants: list[Contestant], reference: str, effort: Effort, *aims: Aim, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Time the contestants in turns, in an order that shifts by one each round; profile those of a missed aim.

    Ratios are of wall time or, on a CPU where rounds disagree, of processor time, on which other programs have less influence.
    An aim is (contestant, reference, how many times as fast in the median). It is undecided (None) if rounds disagree and
    their ratios lie on both sides of it.
    """
    started, done, slowest = time.perf_counter(), 0, 0.0
    times: dict[str, list[tuple[float, float]]] = {one.name: [] for one in contestants}
    items = {one.name: one.items for one in contestants}

    def ratios(own: str, other: str, clock: int) -> list[float]:
        pairs = zip(times[own], times[other], strict=True)
        return [items[own] / a[clock] / (items[other] / b[clock]) for a, b in pairs]

    def agree(clock: int) -> bool:
        return all(_agree(ratios(one, reference, clock)) for one in times)

    for one in contestants if effort.warm_up else ():
        timed(one, effort.synchronize)
    while done < effort.least or (
        time.perf_counter() - started + slowest < effort.budget_s and done < effort.rounds * (1 if agree(0) else 2)
    ):
        begun, turn = time.perf_counter(), done % len(contestants)
        for one in [*contestants[turn:], *contestants[:turn]]:
            times[one.name].append(timed(one, effort.synchronize))
        done, slowest = done + 1, max(slowest, time.perf_counter() - begun)
    clock = int(effort.on_cpu and not agree(0))
    print(f"bench: {name}, {setting}: {done} rounds, {time.perf_counter() - started:.0f} s", file=sys.stderr)

    outcomes, targets = [], []
    for one in contestants:
        wall, busy = (list(column) for column in zip(*times[one.name], strict=True))
        speeds, ratio = spread([one.items / second for second in wall]), spread(ratios(one.name, reference, clock))
        outcome = {"contestant": one.name, "items": one.items, "seconds": wall, "processor_seconds": busy}
        outcomes.append(outcome | {"items_per_s": speeds, "ratio": ratio})
    for own, other, at_least in (aim for aim in aims if {*aim[:2]} <= times.keys()):
        found = ratios(own, other, clock)
        met = spread(found)["median"] >= at_least if _agree(found) or not min(found) < at_least <= max(found) else None
        targets.append({"contestant": own, "reference": other, "at_least": at_least, "ratio": spread(found), "met": met})
    missed = {one for target in targets if target["met"] is False for one in (target["contestant"], target["reference"])}
    return {
        "name": name, "setting": setting, "reference": reference, "rounds": done,
        "clock": ("wall time", "processor time")[clock], "outcomes": outcomes, "targets": targets, "notes": notes,
        "profiles": {one.name: profile(one) for one in contestants if one.name in missed},
    }  # fmt: skip


def timed(contestant: Contestant, synchronize: Callable[[], object]) -> tuple[float, float]:
    """Return wall time and processor time of one repetition in seconds, up to the end of the work that it started on the device."""
    def clocks() -> tuple[float, float]:
        synchronize()
        ended = psutil.Process().cpu_times()  # with its children that have ended, e.g. loader workers
        busy = time.process_time() + float(getattr(ended, "children_user", 0) + getattr(ended, "children_system", 0))
        return time.perf_counter(), busy

    contestant.prepare()
    wall, busy = clocks()
    contestant.work()
    wall_after, busy_after = clocks()
    return wall_after - wall, max(busy_after - busy, 1e-9)


def _agree(values: Sequence[float]) -> bool:
    return max(values) <= _AGREE * min(values)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, smallest and largest."""
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
    found = []
    for seconds, (file, line, name) in sorted(entries, reverse=True)[:_PROFILE_LINES]:
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


def versions() -> dict[str, str]:
    """Return the version of each package that may change a result, where it is installed."""
    installed = {one.metadata["Name"].lower(): one.version for one in distributions()}
    return {name: installed[name] for name in _PACKAGES.split() if name in installed}
