"""What a benchmark leaves: `results/bench/<device>.json`. Every ratio in it is paired, and has its spread."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Record):
    """Of the rounds of a comparison."""

    median: float
    low: float = Field(description="the smallest")
    high: float = Field(description="the largest")


class Outcome(_Record):
    """One contestant: the seconds of each round, and what follows from them."""

    contestant: str
    items: int = Field(description="worked on in one round")
    seconds: list[float]
    items_per_s: Spread
    ratio: Spread = Field(description="items per second against the reference's in the same round")


class Goal(_Record):
    """What is aimed at: `contestant` at least so many times as fast as `reference`, in the median."""

    contestant: str
    reference: str
    at_least: float


class Target(Goal):
    """A goal, and what became of it."""

    ratio: Spread
    met: bool


class Cost(_Record):
    """A line of a profile: where the time went."""

    what: str
    share: float = Field(description="of the time of the whole")
    seconds: float


class Comparison(_Record):
    """Contestants that did the same work in turns. `absent`: who could not run here, and why."""

    name: str
    setting: str
    unit: str
    reference: str
    rounds: int
    outcomes: list[Outcome]
    targets: list[Target] = []
    absent: dict[str, str] = {}
    notes: list[str] = []
    profiles: dict[str, list[Cost]] = Field(
        default={}, description="of a contestant that missed its goal, and of its reference"
    )


class Difference(_Record):
    """Mean over seeds of top-1 minus the reference's with the same seed, with a 95 % interval (t)."""

    mean: float
    low: float
    high: float


class Accuracy(_Record):
    """Top-1 of each contestant with each seed, on the same held-out images."""

    name: str
    setting: str
    reference: str
    seeds: list[int]
    images: int
    top1: dict[str, list[float]]
    seed_sd: dict[str, float]
    differences: dict[str, Difference]


class Part(_Record):
    """One part of the benchmark."""

    comparisons: list[Comparison]
    accuracies: list[Accuracy] = []
    notes: list[str] = []
    wall_time_s: float = 0.0


class Bench(_Record):
    """All that was measured on one machine. `parts`: by name; one that failed is in `failed`, with the reason."""

    schema_version: Literal[1] = 1
    device: str
    scale: str
    date: str
    commit: str
    changed: bool
    machine: dict[str, Any]
    versions: dict[str, str]
    images: str
    parts: dict[str, Part] = {}
    failed: dict[str, str] = {}
