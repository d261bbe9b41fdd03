"""Top-1 beside speed: the same recipe through several loops, one round a seed, on the same held-out images."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scipy.special import stdtrit

from pretraining_gain.bench.measure import Contestant
from pretraining_gain.bench.records import Accuracy, Difference
from pretraining_gain.errors import InputError


@dataclass
class Seeded:
    """A loop that trains with the next seed each time it works, and keeps its top-1."""

    name: str
    train: Callable[[int], float]
    seeds: Sequence[int]
    top1: list[float] = field(default_factory=list)

    def contestant(self, items: int) -> Contestant:
        return Contestant(self.name, self._next, items)

    def _next(self) -> None:
        again = len(self.top1) % len(self.seeds)  # a profile asks once more than there are seeds
        self.top1.append(self.train(self.seeds[again]))


def accuracy(name: str, setting: str, loops: Sequence[Seeded], reference: str, images: int) -> Accuracy:
    """What the loops reached, and how far from the reference with the same seed."""
    seeds = list(loops[0].seeds)
    top1 = {loop.name: loop.top1[: len(seeds)] for loop in loops}
    return Accuracy(
        name=name,
        setting=setting,
        reference=reference,
        seeds=seeds,
        images=images,
        top1=top1,
        seed_sd={loop: statistics.stdev(values) for loop, values in top1.items()},
        differences=differences(top1, reference),
    )


def differences(top1: Mapping[str, Sequence[float]], reference: str) -> dict[str, Difference]:
    """Mean difference from the reference over seeds, with a 95 % t interval. Raises `InputError` for a single seed."""
    found = {}
    for name, values in top1.items():
        if name == reference:
            continue
        if len(values) < 2 or len(values) != len(top1[reference]):
            raise InputError(
                f"top-1 of {name!r} with {len(values)} seed(s); accepted: 2 or more, those of {reference!r}"
            )
        paired = [mine - theirs for mine, theirs in zip(values, top1[reference], strict=True)]
        mean, se = statistics.mean(paired), statistics.stdev(paired) / len(paired) ** 0.5
        reach = float(stdtrit(len(paired) - 1, 0.975)) * se
        found[name] = Difference(mean=mean, low=mean - reach, high=mean + reach)
    return found
