"""Anchors of the controls: real training runs in the toy world with its dials turned, beside what is simulated for them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from pretraining_gain.plan.representation import NONE
from pretraining_gain.plan.studies import SCRATCH, load_study
from pretraining_gain.tell.results import Evaluation, load_evaluation
from pretraining_gain.tell.stats import Estimate, estimate_difference
from pretraining_gain.tell.worlds import Measured, Planted, Scene, measure

STUDY = "controls"


def anchor_table(simulations: int, seed: int) -> pd.DataFrame:
    """What the source shows, and how much more the species that it has gain than the others: run, and simulated.

    One row a design and target of study `controls`. Estimand of `effect` (with interval and `se`): mean gain of the species
    whose class the source has minus that of the others, species random, as in claim C2. `simulated`: mean of the same
    estimate over studies drawn from a threshold model fitted to that target, with the groups' top-1 as measured;
    `simulated_se`: the standard deviation of these estimates; `se_low`, `se_high`: the range of 95 % of their own standard
    errors. Randomness: `seed`.
    """
    study = load_study(STUDY)
    evaluations = [measure(load_evaluation(STUDY, target.name)) for target in study.downstreams]
    titles = {f"all-k{study.source.n_classes}": "every source image shows its species"}
    titles |= {f"all-k{study.source.n_classes}-{design.name}": design.title for design in study.designs}
    rows = []
    for (arm, title), measured in product(titles.items(), evaluations):
        if arm in measured.evaluation.correct:
            real = _difference(measured.evaluation, measured.evaluation.correct)
            drawn = _simulated(measured, arm, simulations, seed)
            rows.append({"the source shows": title, "target": measured.evaluation.downstream.title} | _row(real(arm), drawn))
    return pd.DataFrame(rows)


def _difference(evaluation: Evaluation, correct: dict[str, np.ndarray]):
    """Arm -> estimate of represented minus other species, in these predictions of an evaluation's images."""
    grades = evaluation.species["representation"]
    first, second = set(grades.index[grades != NONE]), set(grades.index[grades == NONE])

    def estimate(arm: str) -> Estimate:
        gains = correct[arm].astype(float) - correct[SCRATCH]
        return estimate_difference(gains, evaluation.labels, first, second)

    return estimate


def _simulated(measured: Measured, arm: str, simulations: int, seed: int) -> list[Estimate]:
    """The estimate in studies drawn anew, with both groups' top-1 in both arms as measured."""
    evaluation, rng = measured.evaluation, np.random.default_rng(seed)
    named = (evaluation.species["representation"] != NONE).to_numpy()
    top1 = {}
    for name in (SCRATCH, arm):
        by_class = np.bincount(measured.index, evaluation.correct[name].mean(axis=0)) / np.bincount(measured.index)
        top1[name] = np.where(named, by_class[named].mean(), by_class[~named].mean())
    scene = Scene(measured, Planted(top1, classes="random"), len(evaluation.seeds))
    return [_difference(evaluation, scene.draw(rng))(arm) for _ in range(simulations)]


def _row(real: Estimate, drawn: list[Estimate]) -> dict[str, float]:
    low, high = real.interval()
    means, errors = [np.array([getattr(one, part) for one in drawn]) for part in ("mean", "se")]
    se_low, se_high = np.quantile(errors, [0.025, 0.975])
    shown = {"effect": real.mean, "low": low, "high": high, "se": real.se}
    return shown | {"simulated": means.mean(), "simulated_se": means.std(ddof=1), "se_low": se_low, "se_high": se_high}
