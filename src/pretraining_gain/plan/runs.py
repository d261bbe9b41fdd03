"""List the runs that a study means: pretrainings, and finetunings from scratch, from weights and from pretrainings."""

from __future__ import annotations

from functools import cache
from typing import Any

from pretraining_gain.plan.parts import Design
from pretraining_gain.plan.pools import POOLS, SCRATCH
from pretraining_gain.plan.run import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import class_table_path


def pretraining_runs(study_name: str) -> list[Run]:
    """List the pretrainings of a study (name or path) without repeats: arms × seeds, of the paper's design, then of the others."""
    return list(dict.fromkeys(start for _, start in _starts(study_name) if start.pool in POOLS))


def finetuning_runs(study_name: str) -> list[Run]:
    """List the finetunings of a study (name or path) without repeats: each downstream from scratch and from each of its starts."""
    return list(dict.fromkeys(run for _, run in _finetunings(study_name)))


def design_arms(study_name: str, design: Design, target: str) -> dict[str, Run]:
    """Map each arm of a design on a target to the paper's run of the same pool and size, which the study may not do.

    None where the design changes none of its arms there.
    """
    runs = [run for of, run in _finetunings(study_name) if of == design and run.downstream == target]
    published = {run.arm: run.model_copy(update={"design": ""}) for run in runs}
    return published if any(name != run.arm for name, run in published.items()) else {}


def _finetunings(name: str) -> list[tuple[Design | None, Run]]:
    starts = _starts(name)
    return [
        (design, start.model_copy(update={"downstream": target.name}))
        for target in load_study(name).downstreams
        for design, start in starts
        if target.takes(start.pool, start.seed) and (not design or not design.downstreams or target.name in design.downstreams)
    ]


def _starts(name: str) -> list[tuple[Design | None, Run]]:
    """List the starts of finetunings with their design (None: the paper's): scratch, weights, the paper's arms, other
    designs' arms."""
    study = load_study(name)
    table = class_table_path(study.source.class_table or "") if study.source else None
    return _starts_of(name, id(study), table.stat().st_mtime_ns if table and table.is_file() else 0)


@cache  # as the book asks for the runs of a study some hundred times
def _starts_of(name: str, _study: int, _table_mtime_ns: int) -> list[tuple[Design | None, Run]]:
    study = load_study(name)
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
