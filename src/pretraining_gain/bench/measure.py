"""The one way in which this benchmark compares: contestants take turns, and ratios are taken within each round.

A machine that others use, too, is fast in one minute and slow in the next. Contestants that take turns share its moods.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from pretraining_gain.bench.profiles import by_function
from pretraining_gain.bench.records import Comparison, Cost, Goal, Outcome, Spread, Target
from pretraining_gain.errors import InputError

LEAST_ROUNDS = 2


@dataclass(frozen=True)
class Contestant:
    """`work` does one repetition on `items`; `before` makes things ready for it, and is not timed. `explain` says where the
    time of a repetition goes; without it, one more repetition is profiled."""

    name: str
    work: Callable[[], object]
    items: int
    before: Callable[[], object] = field(default=lambda: None)
    explain: Callable[[], list[Cost]] | None = None

    def profile(self) -> list[Cost]:
        return self.explain() if self.explain else by_function(self.work, self.before)


@dataclass(frozen=True)
class Effort:
    """How long a comparison may take and how often each contestant runs in it, if that fits. At least two rounds are done,
    however long they take."""

    budget_s: float
    rounds: int = 5
    warm_up: bool = True


def compare(
    name: str,
    contestants: Sequence[Contestant],
    effort: Effort,
    *,
    setting: str,
    reference: str,
    device: str = "cpu",
    unit: str = "images",
    goals: Sequence[Goal] = (),
    absent: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Let contestants take turns, in an order that shifts by one each round, after one warm-up each; a goal missed is
    explained by a profile. Raises `InputError` for fewer than two rounds, which give no spread."""
    if effort.rounds < LEAST_ROUNDS:
        raise InputError(f"rounds={effort.rounds}; accepted: {LEAST_ROUNDS} or more, as one repetition gives no ratio")
    started = time.perf_counter()
    for contestant in contestants if effort.warm_up else ():
        timed(contestant, device)
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    done, slowest = 0, 0.0
    while done < LEAST_ROUNDS or (done < effort.rounds and time.perf_counter() - started + slowest < effort.budget_s):
        begun, turn = time.perf_counter(), done % len(contestants)
        for contestant in [*contestants[turn:], *contestants[:turn]]:
            seconds[contestant.name].append(timed(contestant, device))
        done, slowest = done + 1, max(slowest, time.perf_counter() - begun)
    items = {contestant.name: contestant.items for contestant in contestants}
    outcomes = [outcome(one, items, seconds, reference) for one in seconds]
    targets = [judged(goal, items, seconds) for goal in goals if {goal.contestant, goal.reference} <= seconds.keys()]
    missed = {one for target in targets if not target.met for one in (target.contestant, target.reference)}
    _say(name, setting, outcomes, done, time.perf_counter() - started)
    return Comparison(
        name=name,
        setting=setting,
        unit=unit,
        reference=reference,
        rounds=done,
        outcomes=outcomes,
        targets=targets,
        absent=absent or {},
        notes=list(notes),
        profiles={one.name: one.profile() for one in contestants if one.name in missed},
    )


def timed(contestant: Contestant, device: str) -> float:
    """Seconds of one repetition, to the end of what it started on the device."""
    contestant.before()
    _synchronise(device)
    started = time.perf_counter()
    contestant.work()
    _synchronise(device)
    return time.perf_counter() - started


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def outcome(name: str, items: dict[str, int], seconds: dict[str, list[float]], reference: str) -> Outcome:
    speeds = [items[name] / second for second in seconds[name]]
    ratio = paired_ratio(name, reference, items, seconds)
    return Outcome(contestant=name, items=items[name], seconds=seconds[name], items_per_s=spread(speeds), ratio=ratio)


def judged(goal: Goal, items: dict[str, int], seconds: dict[str, list[float]]) -> Target:
    ratio = paired_ratio(goal.contestant, goal.reference, items, seconds)
    return Target(**goal.model_dump(), ratio=ratio, met=ratio.median >= goal.at_least)


def paired_ratio(name: str, reference: str, items: dict[str, int], seconds: dict[str, list[float]]) -> Spread:
    """Speed against the reference's in the same round. Raises `InputError` for a single repetition."""
    mine, theirs = seconds[name], seconds[reference]
    if min(len(mine), len(theirs)) < LEAST_ROUNDS or len(mine) != len(theirs):
        raise InputError(
            f"no ratio of {name!r} to {reference!r} from {len(mine)} and {len(theirs)} repetitions; "
            f"accepted: {LEAST_ROUNDS} or more of each, in the same rounds"
        )
    pairs = zip(mine, theirs, strict=True)
    return spread([items[name] / own / (items[reference] / other) for own, other in pairs])


def spread(values: Sequence[float]) -> Spread:
    if len(values) < LEAST_ROUNDS:
        raise InputError(f"no spread of {len(values)} repetition(s); accepted: {LEAST_ROUNDS} or more")
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


def _say(name: str, setting: str, outcomes: Sequence[Outcome], rounds: int, wall_s: float) -> None:
    print(f"bench: {name}, {setting} ({rounds} rounds, {wall_s:.0f} s)", file=sys.stderr)
    for one in outcomes:
        shown = (
            f"{one.items_per_s.median:10,.1f}/s  {one.ratio.median:6.2f} ({one.ratio.low:.2f} to {one.ratio.high:.2f})"
        )
        print(f"  {one.contestant:<40} {shown}", file=sys.stderr)
