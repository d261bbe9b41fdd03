"""Check the estimators on simulated studies: coverage of intervals, false positive rate and power of tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import chi2

from pretraining_gain.tell import statistics
from pretraining_gain.tell.statistics import LEVEL, Answers, Estimate
from pretraining_gain.tell.validation.simulator import Liability, Simulator

GAIN = 0.1
#: Simulated studies from which it is known what a design resolves.
PILOTS = 40
#: The two arms that are compared, and how many others tell how much runs vary.
WEIGHTS, OTHERS = {"pretrained": 1.0, "scratch": -1.0}, 6
#: Standard deviations of seed and of seed × class, and of the liability of a class in one arm.
SEEDS_DIFFER = {"no": (0.0, 0.0), "moderate": (0.07, 0.12), "dominating": (0.4, 0.12)}
CLASSES_DIFFER = {"no": 0.0, "moderate": 0.25}


def scenarios() -> dict[str, Simulator]:
    """Return simulators of eight arms, by name: 3 and 10 seeds, 10 to 100 classes of 20 to 50 images, and how much seeds and
    the gains of classes differ. The other deviates are about as large as fitted to the studies run here."""
    found = {}
    for n_seeds, n_classes, seeds, gains in product((3, 10), (10, 36, 100), SEEDS_DIFFER, CLASSES_DIFFER):
        seed, seed_class = SEEDS_DIFFER[seeds]
        liability = Liability(0.5, CLASSES_DIFFER[gains], 1.3, 0.5, seed, seed_class)
        sizes = np.linspace(20, 50, n_classes).round().astype(int)
        # Small and large classes alternate, so that both halves have both.
        labels = np.repeat(np.arange(n_classes), sizes.reshape(2, -1).T.ravel())
        name = f"{n_seeds} seeds, {n_classes} classes; {seeds} seed spread, {gains} class spread"
        top1 = {"scratch": 0.3, "pretrained": 0.3 + GAIN} | {f"other {i}": 0.3 + GAIN / 2 for i in range(OTHERS)}
        found[name] = Simulator(labels, liability, top1, n_seeds, "random")
    return found


def calibrate(simulator: Simulator, repetitions: int, seed: int) -> pd.DataFrame:
    """Measure how often intervals hold the truth, and tests err or find what is there.

    One row per quantity: coverage (of 95 % intervals), false_positive_rate (at 5 %), power (at the effect or margin that
    the design resolves with probability 0.8), repetitions; NaN where a measure does not apply. Randomness: `seed`.
    """
    rng = np.random.default_rng(seed)
    n_classes = len(np.unique(simulator.labels))
    groups = pd.Series(np.arange(n_classes) * max(2, n_classes // 6) // n_classes)  # a sixth as many groups as classes
    pilots = [Answers(simulator.draw(rng), simulator.labels) for _ in range(PILOTS)]
    estimates = [_estimates(pilot) for pilot in pilots]
    planned = {}
    for quantity in estimates[0]:
        se = float(np.sqrt(np.mean([one[quantity].se ** 2 for one in estimates])))
        df = float(np.mean([one[quantity].df for one in estimates]))
        planned[quantity] = statistics.smallest_detectable(se, df), statistics.smallest_margin(se, df)
    spreads = [statistics.group_spread(pilot, WEIGHTS, groups, margin=1).smallest_margin for pilot in pilots]
    between = float(np.median(spreads))
    found = [row for _ in range(repetitions) for row in _repetition(simulator, planned, groups, between, rng)]
    table = pd.DataFrame(found, columns=["quantity", "measure", "rate"])
    rates = table.pivot_table(index="quantity", columns="measure", values="rate", sort=False)
    return rates.reset_index().rename_axis(columns=None).assign(repetitions=repetitions)


def _estimates(answers: Answers) -> dict[str, Estimate]:
    first, rest = np.array_split(answers.ids, 2)
    pairs = pd.Series(answers.ids % (len(answers.ids) // 2), index=answers.ids)  # families of one class of either half
    return {
        "mean, fixed classes": statistics.estimate_mean(answers, WEIGHTS),
        "mean, random classes": statistics.estimate_mean(answers, WEIGHTS, random_classes=True),
        "difference of groups": statistics.estimate_difference(answers, WEIGHTS, first, rest),
        "difference within families": statistics.estimate_difference(answers, WEIGHTS, first, rest, pairs),
    }


def _repetition(
    simulator: Simulator, planned: dict[str, tuple[float, float]], groups: pd.Series, between: float, rng: np.random.Generator
) -> Iterator[tuple[str, str, float]]:
    """Simulate one study; yield quantity, measure, and 1 or 0 for yes or no.

    `planned`: by quantity, the effect and the margin that the design resolves; `between`: that margin of the spread of `groups`.
    """
    classes, labels = simulator.draw_classes(rng), simulator.labels
    answers, expected = Answers(simulator.draw(rng, classes), labels), simulator.expected_top1(classes)
    true_gains = expected[1] - expected[0]
    truths = {"mean, fixed classes": true_gains[labels].mean(), "mean, random classes": GAIN}
    for quantity, estimate in _estimates(answers).items():
        truth, (effect, margin) = truths.get(quantity, 0.0), planned[quantity]
        centred, at_effect, at_margin = (replace(estimate, mean=estimate.mean - truth + by) for by in (0, effect, margin))
        yield quantity, "coverage", _covers(estimate, truth)
        yield quantity, "false_positive_rate", float(((centred.p_above() < LEVEL) + (centred.p_below() < LEVEL)) / 2)
        yield quantity, "power", float(at_effect.p_above() < LEVEL)
        yield f"{quantity}: equivalence", "false_positive_rate", float(at_margin.p_equivalent(margin) < LEVEL)
        yield f"{quantity}: equivalence", "power", float(centred.p_equivalent(margin) < LEVEL)
        if _runs_agree(answers):  # an analysis of the two arms alone would be too sure here
            yield f"{quantity}: runs happen to agree", "coverage", _covers(estimate, truth)
    spread = statistics.group_spread(answers, WEIGHTS, groups, between)
    yield "spread of groups", "false_positive_rate", float(spread.p_different < LEVEL)
    yield "spread of groups: equivalence", "power", float(spread.p_equivalent < LEVEL)
    pattern = np.where(groups % 2, 1.0, -1.0)
    shift = (pattern * between / pattern.std())[labels]
    moved = Answers({**answers.correct, "pretrained": answers.correct["pretrained"] + shift}, labels)
    apart = statistics.group_spread(moved, WEIGHTS, groups, between)
    yield "spread of groups: equivalence", "false_positive_rate", float(apart.p_equivalent < LEVEL)
    no_gain = replace(simulator, top1=dict.fromkeys(simulator.top1, 0.3))
    share = statistics.estimate_share_positive(Answers(no_gain.draw(rng), labels), WEIGHTS)
    yield "share of classes that gain", "false_positive_rate", float(share.p_above(0.5) < LEVEL)


def _runs_agree(answers: Answers) -> bool:
    """Return whether the runs of the compared arms vary so little that a third of studies would show less."""
    by_arm = {arm: values.mean(axis=1) for arm, values in answers.correct.items()}
    pooled = np.mean([runs.var(ddof=1) for runs in by_arm.values()])
    own, df = sum(by_arm[arm].var(ddof=1) for arm in WEIGHTS), sum(len(by_arm[arm]) - 1 for arm in WEIGHTS)
    return bool(own / 2 < pooled * chi2.ppf(1 / 3, df) / df)


def _covers(estimate: Estimate, truth: float) -> float:
    low, high = estimate.interval()
    return float(low <= truth <= high)
