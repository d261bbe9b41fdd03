"""Check the estimators on simulated studies: coverage of intervals, false positive rate and power of tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from pretraining_gain.tell import statistics
from pretraining_gain.tell.statistics import Estimate, group_spread
from pretraining_gain.tell.validation.simulator import Liability, Simulator

LEVEL = 0.05
GAIN = 0.1
#: Standard deviations of seed and of seed × class, and of the liability of a class in one arm.
SEEDS_DIFFER = {"no": (0.0, 0.0), "moderate": (0.07, 0.12), "dominating": (0.4, 0.12)}
CLASSES_DIFFER = {"no": 0.0, "moderate": 0.25}


def scenarios() -> dict[str, Simulator]:
    """Return simulators of two arms, by name: 3 and 5 seeds, 10 to 100 classes of 20 to 50 images, and how much seeds and
    the gains of classes differ. The other deviates are about as large as fitted to `mini`."""
    found = {}
    for n_seeds, n_classes, seeds, gains in product((3, 5), (10, 36, 100), SEEDS_DIFFER, CLASSES_DIFFER):
        seed, seed_class = SEEDS_DIFFER[seeds]
        liability = Liability(0.5, CLASSES_DIFFER[gains], 1.3, 0.5, seed, seed_class)
        sizes = np.linspace(20, 50, n_classes).round().astype(int)
        # Small and large classes alternate, so that both halves have both.
        labels = np.repeat(np.arange(n_classes), sizes.reshape(2, -1).T.ravel())
        name = f"{n_seeds} seeds, {n_classes} classes; {seeds} seed spread, {gains} class spread"
        top1 = {"scratch": 0.3, "pretrained": 0.3 + GAIN}
        found[name] = Simulator(labels, liability, top1, n_seeds, "random")
    return found


def calibrate(simulator: Simulator, repetitions: int, seed: int) -> pd.DataFrame:
    """Measure how often intervals hold the truth, and tests err or find what is there.

    One row per quantity: coverage (of 95 % intervals), false_positive_rate (at 5 %), power (at the effect or margin that
    the design resolves with probability 0.8), repetitions; NaN where a measure does not apply. Randomness: `seed`.
    """
    rng = np.random.default_rng(seed)
    plan = Plan.of(simulator, rng)
    found = [row for _ in range(repetitions) for row in _repetition(simulator, plan, rng)]
    table = pd.DataFrame(found, columns=["quantity", "measure", "rate"])
    rates = table.pivot_table(index="quantity", columns="measure", values="rate", sort=False)
    return rates.reset_index().rename_axis(columns=None).assign(repetitions=repetitions)


@dataclass(frozen=True)
class Plan:
    """The effect and the margin that a design resolves with probability 0.8, per quantity; a sixth as many groups as classes
    (class to group), and the margin for the spread between them."""

    sizes: dict[str, tuple[float, float]]
    groups: pd.Series
    spread: float

    @classmethod
    def of(cls, simulator: Simulator, rng: np.random.Generator) -> Plan:
        """Plan from the variance components of 20 simulated studies of 200 seeds."""
        many = replace(simulator, n_seeds=200)
        found = np.mean([statistics.unbiased_components(_gains(many, rng), many.labels) for _ in range(20)], axis=0)
        parts, sizes = statistics.Components(*np.maximum(found, 0)), np.bincount(simulator.labels)
        half, seeds, images = len(sizes) // 2, simulator.n_seeds, sizes.mean()
        effective, first, rest = (part.sum() ** 2 / (part**2).sum() for part in (sizes, sizes[:half], sizes[half:]))
        errors = {
            "mean, fixed classes": statistics.design_error(parts, seeds, len(sizes), images, classes="fixed"),
            "mean, random classes": statistics.design_error(parts, seeds, effective, images, classes="random"),
            "difference of groups": statistics.difference_error(parts, seeds, first, rest, images),
        }
        resolved = {
            name: (statistics.smallest_detectable(*error), statistics.smallest_margin(*error))
            for name, error in errors.items()
        }
        groups = pd.Series(np.arange(len(sizes)) * max(2, len(sizes) // 6) // len(sizes))
        pilots = [group_spread(_gains(simulator, rng), simulator.labels, groups, margin=1) for _ in range(20)]
        return cls(resolved, groups, float(np.median([pilot.smallest_margin for pilot in pilots])))


def _gains(simulator: Simulator, rng: np.random.Generator, classes: np.ndarray | None = None) -> np.ndarray:
    """Draw (S, N) in {-1, 0, 1}: the second arm minus the first, paired by image and seed."""
    first, second = simulator.draw(rng, classes).values()
    return second.astype(float) - first


def _repetition(simulator: Simulator, plan: Plan, rng: np.random.Generator) -> Iterator[tuple[str, str, float]]:
    """Simulate one study; yield quantity, measure, and 1 or 0 for yes or no."""
    classes, labels = simulator.draw_classes(rng), simulator.labels
    values, true_gains = _gains(simulator, rng, classes), np.diff(simulator.expected_top1(classes), axis=0)[0]
    ids = np.arange(len(true_gains))
    first, rest = np.split(ids, [len(ids) // 2])
    estimates = {
        "mean, fixed classes": (statistics.estimate_mean(values, labels, classes="fixed"), true_gains[labels].mean()),
        "mean, random classes": (statistics.estimate_mean(values, labels, classes="random"), GAIN),
        "difference of groups": (statistics.estimate_difference(values, labels, first, rest), 0.0),
    }
    for quantity, (estimate, truth) in estimates.items():
        effect, margin = plan.sizes[quantity]
        centred, at_effect, at_margin = (
            replace(estimate, mean=estimate.mean - truth + by) for by in (0, effect, margin)
        )
        yield quantity, "coverage", _covers(estimate, truth)
        yield quantity, "false_positive_rate", float(((centred.p_above() < LEVEL) + (centred.p_below() < LEVEL)) / 2)
        yield quantity, "power", float(at_effect.p_above() < LEVEL)
        yield f"{quantity}: equivalence", "false_positive_rate", float(at_margin.p_equivalent(margin) < LEVEL)
        yield f"{quantity}: equivalence", "power", float(centred.p_equivalent(margin) < LEVEL)
    unrelated = pd.Series(rng.standard_normal(len(ids)))
    for name, rank in {"correlation": False, "rank correlation": True}.items():
        correlation = statistics.estimate_correlation(values, labels, unrelated, rank=rank)
        yield name, "coverage", _covers(correlation, 0.0)
        yield name, "false_positive_rate", float(correlation.p_above() < LEVEL)
    spread = group_spread(values, labels, plan.groups, plan.spread)
    yield "spread of groups", "false_positive_rate", float(spread.p_different < LEVEL)
    yield "spread of groups: equivalence", "power", float(spread.p_equivalent < LEVEL)
    pattern = np.where(plan.groups % 2, 1.0, -1.0)
    apart = group_spread(values + (pattern * plan.spread / pattern.std())[labels], labels, plan.groups, plan.spread)
    yield "spread of groups: equivalence", "false_positive_rate", float(apart.p_equivalent < LEVEL)
    no_gain = replace(simulator, top1=dict.fromkeys(simulator.top1, 0.3))
    share = statistics.estimate_share_positive(_gains(no_gain, rng), labels)
    yield "share of classes that gain", "false_positive_rate", float(share.p_above(0.5) < LEVEL)


def _covers(estimate: Estimate, truth: float) -> float:
    low, high = estimate.interval()
    return float(low <= truth <= high)
