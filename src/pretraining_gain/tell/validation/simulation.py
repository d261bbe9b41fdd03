"""Predictions of two arms drawn from a known world: do the intervals hold the truth, do the tests err as often as said?

`python -m pretraining_gain.tell.validation.simulation --calibration [REPETITIONS]` prints the table of `calibration`;
`--paper-size` prints what intervals for a table of the paper's size cost: seconds and peak memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from pretraining_gain.commands import CommandLine, whole_number
from pretraining_gain.tell.statistics import (
    Components,
    Estimate,
    bootstrap_means,
    design_error,
    difference_error,
    estimate_correlation,
    estimate_difference,
    estimate_mean,
    estimate_share_positive,
    group_spread,
    smallest_detectable,
    smallest_margin,
    unbiased_components,
)
from pretraining_gain.tell.validation.paper_size import paper_size


@dataclass(frozen=True)
class World:
    """A study's evaluation as a threshold model: an arm gets an image right when its liability is above 0.

    The liability adds normal deviates, with these standard deviations, of class and image (shared by both arms: what
    makes pairing pay), of class in the pretrained arm (true gains differ), and, for each arm by itself, of image, seed,
    seed×class and, with standard deviation 1, the residual of seed and image. `top1` is the scratch arm's expected top-1
    over all that is random, `gain` what the pretrained arm has more, `bonus` what it has still more in the first half of
    the classes. Class sizes run evenly over `images`. The defaults give the variance components seen in `mini`.
    """

    n_seeds: int = 3
    n_classes: int = 36
    images: tuple[int, int] = (20, 50)
    top1: float = 0.3
    gain: float = 0.1
    bonus: float = 0.0
    class_: float = 0.5
    class_gain: float = 0.2
    image: float = 1.3
    image_by_arm: float = 0.5
    seed: float = 0.0
    seed_class: float = 0.1

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) class ids 0..n_classes-1, sorted."""
        sizes = np.linspace(*self.images, self.n_classes).round().astype(int)
        # Large and small classes alternate, so that both halves have both.
        order = np.argsort(np.arange(self.n_classes) % 2, kind="stable")
        return np.repeat(np.arange(self.n_classes), sizes[np.argsort(order)])

    @property
    def first_half(self) -> np.ndarray:
        return np.arange(self.n_classes // 2)

    @property
    def thresholds(self) -> np.ndarray:
        """(C, 2): the mean liability of the scratch and of the pretrained arm, by class."""
        spread = np.sqrt(self._without_classes**2 + self.class_**2 + np.array([0, self.class_gain**2]))
        extra = np.where(np.arange(self.n_classes) < self.n_classes // 2, self.bonus, 0.0)
        top1 = np.stack([np.full(self.n_classes, self.top1), self.top1 + self.gain + extra], axis=1)
        return ndtri(top1) * spread

    @property
    def _without_classes(self) -> float:
        return float(np.sqrt(1 + self.image**2 + self.image_by_arm**2 + self.seed**2 + self.seed_class**2))

    def draw_classes(self, rng: np.random.Generator) -> np.ndarray:
        """(C, 2): the liability of each class in each arm, less what seeds and images add."""
        shared, by_arm = rng.standard_normal((2, self.n_classes))
        effects = np.stack([self.class_ * shared, self.class_ * shared + self.class_gain * by_arm], axis=1)
        return self.thresholds + effects

    def true_gains(self, classes: np.ndarray) -> np.ndarray:
        """(C,): expected gain of classes as `draw_classes` gives them, over seeds and images."""
        top1 = ndtr(classes / self._without_classes)
        return top1[:, 1] - top1[:, 0]


def simulate(
    world: World, rng: np.random.Generator, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Paired differences (S, N) in {-1, 0, 1} of a pretrained and a scratch arm, and labels (N,).

    `classes`: what `World.draw_classes` gave, to evaluate the same species again; else new ones are drawn.
    """
    classes = world.draw_classes(rng) if classes is None else classes
    labels, shape = world.labels, (world.n_seeds, world.n_classes)
    image = world.image * rng.standard_normal(len(labels))
    correct = []
    for arm in range(2):
        seeds = world.seed * rng.standard_normal((world.n_seeds, 1)) + world.seed_class * rng.standard_normal(shape)
        images = image + world.image_by_arm * rng.standard_normal(len(labels))
        residual = rng.standard_normal((world.n_seeds, len(labels)))
        correct.append((classes[:, arm] + seeds)[:, labels] + images + residual > 0)
    return correct[1].astype(float) - correct[0], labels


SEEDS_DIFFER = {"no": (0.0, 0.0), "moderate": (0.07, 0.12), "dominating": (0.4, 0.12)}
CLASSES_DIFFER = {"no": 0.0, "moderate": 0.35}
DRAWS = 1000


def scenarios() -> dict[str, World]:
    """The grid: seeds, classes, and how much gains differ by seed and by class; 20 to 50 images a class."""
    return {
        f"{n_seeds} seeds, {n_classes} classes; {seeds} seed spread, {gains} class spread": World(
            n_seeds, n_classes, seed=seed, seed_class=seed_class, class_gain=class_gain
        )
        for n_seeds in (3, 5)
        for n_classes in (10, 36, 100)
        for seeds, (seed, seed_class) in SEEDS_DIFFER.items()
        for gains, class_gain in CLASSES_DIFFER.items()
    }


def calibration(
    repetitions: int, seed: int, worlds: dict[str, World] | None = None, *, bootstrap: bool = True
) -> pd.DataFrame:
    """How often intervals hold the truth and tests err or find, in `worlds` (default: `scenarios`).

    One row a scenario and quantity: scenario, quantity, coverage (of 95 % intervals), false_positive_rate (at 5 %), power
    (of an effect planted at the smallest size that 80 % power promises), repetitions; NaN where not asked. The coverage of
    intervals for many groups at once is their average. Randomness: `seed` only.
    """
    rows = []
    for number, (name, world) in enumerate((worlds or scenarios()).items()):
        rng = np.random.default_rng([seed, number])
        design = Design.of(world, rng)
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(repetitions):
            for key, value in _repetition(world, design, rng, bootstrap):
                found.setdefault(key, []).append(value)
        by_quantity: dict[str, dict[str, float]] = {}
        for (quantity, measure), values in found.items():
            by_quantity.setdefault(quantity, {})[measure] = float(np.mean(values))
        rows += [{"scenario": name, "quantity": quantity, **rates} for quantity, rates in by_quantity.items()]
    columns = ["scenario", "quantity", "coverage", "false_positive_rate", "power"]
    return pd.DataFrame(rows).reindex(columns=columns).assign(repetitions=repetitions)


@dataclass(frozen=True)
class Design:
    """What a plan says of a world before it is run: by quantity, the effect that is found and the margin that is satisfied
    with probability 0.8. `spread`: the margin for the spread of `groups` (class to group), a sixth as many as classes."""

    sizes: dict[str, tuple[float, float]]
    groups: pd.Series
    spread: float

    @classmethod
    def of(cls, world: World, rng: np.random.Generator) -> Design:
        """From the variance components of the same world with 200 seeds, averaged over 20 draws."""
        many = [unbiased_components(*simulate(replace(world, n_seeds=200), rng)) for _ in range(20)]
        parts = Components(*np.maximum(np.mean(many, axis=0), 0))
        sizes, half = np.bincount(world.labels), world.n_classes // 2
        whole, first, rest = (part.sum() ** 2 / (part**2).sum() for part in (sizes, sizes[:half], sizes[half:]))
        errors = {
            "mean, fixed classes": design_error(parts, world.n_seeds, len(sizes), sizes.mean(), classes="fixed"),
            "mean, random classes": design_error(parts, world.n_seeds, whole, sizes.mean(), classes="random"),
            "difference of groups": difference_error(parts, world.n_seeds, first, rest, sizes.mean()),
        }
        planned = {name: (smallest_detectable(*error), smallest_margin(*error)) for name, error in errors.items()}
        groups = pd.Series(np.arange(world.n_classes) * max(2, world.n_classes // 6) // world.n_classes)
        margins = [group_spread(*simulate(world, rng), groups, margin=1).smallest_margin for _ in range(20)]
        return cls(planned, groups, float(np.median(margins)))


def _repetition(
    world: World, design: Design, rng: np.random.Generator, bootstrap: bool
) -> Iterator[tuple[tuple[str, str], float]]:
    """One draw of `world`: ((quantity, measure), whether so) of each."""
    classes = world.draw_classes(rng)
    values, labels = simulate(world, rng, classes)
    true_gains = world.true_gains(classes)
    fixed, first, rest = true_gains[labels].mean(), world.first_half, np.arange(world.n_classes)[world.n_classes // 2 :]
    estimates = {
        "mean, fixed classes": (estimate_mean(values, labels, classes="fixed"), fixed),
        "mean, random classes": (estimate_mean(values, labels, classes="random"), world.gain),
        "difference of groups": (estimate_difference(values, labels, first, rest), world.bonus),
    }
    for quantity, (estimate, truth) in estimates.items():
        for test, measure, value in _judge(estimate, truth, design.sizes[quantity]):
            yield (quantity + test, measure), value
    yield from _nothing_there(world, values, labels, design, rng)
    if bootstrap:
        yield from _bootstrapped(
            values, labels, design.groups, true_gains, (fixed, world.gain), int(rng.integers(2**31))
        )


def _judge(estimate: Estimate, truth: float, sizes: tuple[float, float]) -> Iterator[tuple[str, str, float]]:
    """Whether the interval holds `truth`, tests err at it, and an effect of the size planned is found.

    For equivalence: whether a truth at the margin planned passes for within, and a truth of 0 does. The truth
    is moved by adding a constant to the values, which moves the estimate and nothing else.
    """

    def moved(to: float) -> Estimate:
        return replace(estimate, mean=estimate.mean - truth + to)

    effect, margin = sizes
    yield "", "coverage", _holds(estimate.interval(), truth)
    yield "", "false_positive_rate", ((estimate.p_above(truth) < 0.05) + (estimate.p_below(truth) < 0.05)) / 2
    yield "", "power", moved(effect).p_above() < 0.05
    yield ": equivalence", "false_positive_rate", moved(margin).p_equivalent(margin) < 0.05
    yield ": equivalence", "power", moved(0).p_equivalent(margin) < 0.05


def _nothing_there(
    world: World, values: np.ndarray, labels: np.ndarray, design: Design, rng: np.random.Generator
) -> Iterator[tuple[tuple[str, str], float]]:
    """Tests of what is not so: a covariate and groups drawn by lot, groups at the margin, and a majority without gain."""
    unrelated = pd.Series(rng.standard_normal(world.n_classes))
    for name, rank in {"correlation": False, "rank correlation": True}.items():
        correlation = estimate_correlation(values, labels, unrelated, rank=rank)
        yield (name, "coverage"), _holds(correlation.interval(), 0.0)
        yield (name, "false_positive_rate"), correlation.p_above() < 0.05
    spread = group_spread(values, labels, design.groups, design.spread)
    yield ("spread of groups", "false_positive_rate"), spread.p_different < 0.05
    yield ("spread of groups: equivalence", "power"), spread.p_equivalent < 0.05
    planted = np.where(design.groups % 2, 1.0, -1.0)
    planted *= design.spread / planted.std()
    at_margin = group_spread(values + planted[labels], labels, design.groups, design.spread)
    yield ("spread of groups: equivalence", "false_positive_rate"), at_margin.p_equivalent < 0.05
    share = estimate_share_positive(*simulate(replace(world, gain=0), rng))
    yield ("share of classes that gain", "false_positive_rate"), share.p_above(0.5) < 0.05


def _bootstrapped(
    values: np.ndarray,
    labels: np.ndarray,
    groups: pd.Series,
    true_gains: np.ndarray,
    truths: tuple[float, float],
    seed: int,
) -> Iterator[tuple[tuple[str, str], float]]:
    """Coverage of the bootstrap's intervals: over all classes, fixed and random; of single classes; of groups of classes."""
    everything, each = pd.Series("all", index=groups.index), pd.Series(groups.index)
    asked = {
        "bootstrap, fixed classes": (everything, False, truths[0]),
        "bootstrap, random classes": (everything, True, truths[1]),
        "bootstrap, single classes": (each, False, true_gains),
        "bootstrap, groups of classes": (groups, True, truths[1]),
    }
    for quantity, (group, random, truth) in asked.items():
        table = bootstrap_means(values, labels, group, resample_classes=random, draws=DRAWS, seed=seed % 2)
        yield (quantity, "coverage"), ((table["low"] <= truth) & (truth <= table["high"])).mean()


def _holds(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def main() -> None:
    """Print what was asked for on the command line."""
    parser = CommandLine("tell.validation.simulation", "Checks of the statistics on simulated predictions.")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--paper-size", action="store_true", help="cost of the intervals of a table of the paper's size")
    asked.add_argument(
        "--calibration", type=whole_number, metavar="REPETITIONS", help="table of coverage, error rates and power, as CSV"
    )
    given = parser.parse_args()
    if given.paper_size:
        print(*(f"{name}: {value}" for name, value in paper_size().items()), sep="\n")
    else:
        print(calibration(given.calibration, seed=0).to_csv(index=False, float_format="%.4f"), end="")


if __name__ == "__main__":
    main()
