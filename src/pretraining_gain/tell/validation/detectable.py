"""The effect, or margin, that a planned design says it resolves with probability 0.8, planted to see whether it does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from pretraining_gain.tell.claims.declarations import ARMS, EQUAL, GROUPS, SHARE
from pretraining_gain.tell.claims.evidence import Outcome
from pretraining_gain.tell.statistics import (
    Components,
    design_error,
    difference_error,
    smallest_detectable,
    smallest_margin,
    unbiased_components,
)
from pretraining_gain.tell.validation.scenarios import CLEAR, Stage
from pretraining_gain.tell.validation.worlds import Scene

#: Seeds and draws from which the variance components of a world are known well, and draws for what has no plan.
MANY_SEEDS, DRAWS, PILOTS = 60, 15, 40


@dataclass(frozen=True)
class Detectable:
    """A stage with the margin that its design shows, and the effects that it finds; `size` the largest of these."""

    stage: Stage
    effects: list[float]
    size: float


def at_detectable(stage: Stage) -> Detectable:
    """What the plan promises to resolve, each part by itself with probability 0.8: claims of one part as a whole.

    Means of arms and differences of groups of species: from the design and the variance components. Shares and spreads
    have no formula for that: the median over draws of what the ledger says. What is said to be equal is truly equal.
    """
    flat = stage.scene(stage.planted(0.0))
    sizes = _sizes(stage, flat)
    margins = [size for part, size in zip(stage.parts, sizes, strict=True) if part.part.test == EQUAL]
    effects = [0.0 if part.part.test == EQUAL else size for part, size in zip(stage.parts, sizes, strict=True)]
    if stage.parts[0].part.kind == SHARE:
        effects = [_gain_for_share(stage, 0.5 + sizes[0])]
    found = stage.with_margin(max(margins)) if margins else stage
    return Detectable(found, stage.closing(effects), max(sizes))


def _sizes(stage: Stage, scene: Scene) -> list[float]:
    """For each part the effect, or margin, of power 0.8."""
    rng = np.random.default_rng(0)
    many = replace(scene, n_seeds=MANY_SEEDS)
    known = Stage.of(stage.claim.id, stage.study, stage.measured, MANY_SEEDS)
    drawn = [known.draw(many, rng) for _ in range(DRAWS)]
    sizes = []
    for number, part in enumerate(stage.parts):
        if part.part.kind == ARMS:
            parts = np.mean([unbiased_components(one[number].values, one[number].labels) for one in drawn], axis=0)
            sizes.append(_size(part, *design_error(_cut(parts), *_plan(stage), classes="fixed")))
        elif part.part.kind == GROUPS:
            sizes.append(_size(part, *_difference(stage, many, part)))
        else:
            pilots = [stage.draw(scene, rng)[number].detectable for _ in range(PILOTS)]
            sizes.append(float(np.median(pilots)))
    return sizes


def _size(part: Outcome, se: float, df: float) -> float:
    return smallest_margin(se, df) if part.part.test == EQUAL else smallest_detectable(se, df)


def _difference(stage: Stage, many: Scene, part: Outcome) -> tuple[float, float]:
    """Planned error of the difference of the gain of two groups of species."""
    rng, labels = np.random.default_rng(1), many.measured.evaluation.labels
    first, second = stage.arms
    draws = [many.draw(rng) for _ in range(4 * DRAWS)]  # classes are few and drawn anew each time
    values = [draw[second].astype(float) - draw[first] for draw in draws]
    parts = np.mean([unbiased_components(one, labels) for one in values], axis=0)
    species = stage.evidence.out.species
    chosen = part.part.between[0].mask(species)
    n_first = int(chosen.sum())
    return difference_error(_cut(parts), stage.n_seeds, n_first, len(species) - n_first, _plan(stage)[2])


def _cut(parts: np.ndarray) -> Components:
    return Components(*np.maximum(parts, 0))


def _plan(stage: Stage) -> tuple[int, int, float]:
    labels = stage.target.evaluation.labels
    n_classes = len(np.unique(labels))
    return stage.n_seeds, n_classes, len(labels) / n_classes


def _gain_for_share(stage: Stage, share: float) -> float:
    """The mean gain with which, on average, this share of species comes out above 0; the same draws at every trial."""

    def missing(gain: float) -> float:
        rng, scene = np.random.default_rng(2), stage.scene([gain])
        return float(np.mean([stage.draw(scene, rng)[0].effect for _ in range(2 * PILOTS)])) - share

    return float(brentq(missing, 0.0, 2 * CLEAR, xtol=5e-4))
