"""List the runs that a study means: pretrainings, and finetunings from scratch, from weights and from pretrainings."""

from __future__ import annotations

from typing import Any

from pretraining_gain.plan.parts import Design
from pretraining_gain.plan.pools import POOLS, SCRATCH
from pretraining_gain.plan.run import Run
from pretraining_gain.plan.studies import Study


def pretraining_runs(study: Study, name: str | None = None) -> list[Run]:
    """List the pretrainings of the study without repeats: arms × seeds, of the paper's design and then of the others."""
    return list(dict.fromkeys(start for _, start in _starts(study, name or study.name) if start.pool in POOLS))


def finetuning_runs(study: Study, name: str | None = None) -> list[Run]:
    """List the finetunings of the study without repeats: each downstream from scratch and from each of its starts."""
    return list(dict.fromkeys(_finetunings(study, _starts(study, name or study.name))))


def design_runs(study: Study, design: Design, name: str | None = None) -> list[Run]:
    """List the finetunings of one design, including those that it shares with the paper's own."""
    return _finetunings(study, [(of, start) for of, start in _starts(study, name or study.name) if of == design])


def design_arms(study: Study, design: Design, target: str, name: str | None = None) -> dict[str, Run]:
    """Return, by its name, each arm of a design on a target: a run of the paper's arm of the same pool and size."""
    runs = [run for run in design_runs(study, design, name) if run.downstream == target]
    return {run.arm: run.model_copy(update={"design": ""}) for run in runs}


def _finetunings(study: Study, starts: list[tuple[Design | None, Run]]) -> list[Run]:
    return [
        start.model_copy(update={"downstream": target.name})
        for target in study.downstreams
        for design, start in starts
        if target.takes(start.pool, start.seed) and (not design or not design.downstreams or target.name in design.downstreams)
    ]


def _starts(study: Study, name: str) -> list[tuple[Design | None, Run]]:
    """List the starts of finetunings with their design (None: the paper's): scratch, weights, the paper's arms, other
    designs' arms."""
    any_target: dict[str, Any] = {"study": name, "downstream": study.downstreams[0].name}
    starts: list[tuple[Design | None, Run]] = [
        (None, Run(seed=seed, pool=pool, **any_target)) for pool in (SCRATCH, *study.weights) for seed in study.seeds
    ]
    for design in (None, *study.designs):
        seeds = design.seeds if design and design.seeds else study.seeds
        for pool, ks in (design or study).arms.items():
            given: dict[str, Any] = {"study": name, "pool": pool, "design": design.name if design else ""}
            starts += [(design, Run(k=k, seed=seed, **given)) for k in ks for seed in seeds]
    return starts
