"""Compare the toy study figure by figure, one run after the other, with the workflow, which shares runs."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from pretraining_gain.bench.measure import Contestant, compare, n_cores
from pretraining_gain.bench.parts import OURS, Given
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root, results_root
from pretraining_gain.plan.costs import Plan
from pretraining_gain.tell.software.price import figure_runs

ALONE, NAME = "each figure by itself", "bench_study"


def study(given: Given) -> list[dict[str, Any]]:
    """Compare both ways on the toy study with one seed. Figure by figure has this process, all its threads and no notebooks;
    the workflow has one process of one thread per core, notebooks and tables included."""
    shared, exact = derived_study(given), derived_study(given, frozen_views=False)
    plan = Plan.of(str(shared))
    contestants = [
        Contestant(ALONE, lambda: figure_by_figure(exact), 1),
        Contestant(OURS, lambda: run_workflow(shared), 1),
    ]
    where = f"toy, one seed: {sum(map(len, figure_runs(plan).values()))} runs by figure, {len(plan.runs())} in all"
    effort, notes = replace(given.effort, rounds=2, warm_up=False), ["images are drawn in memory, on a CPU"]
    return [compare("study", where, contestants, ALONE, effort, unit="studies", aims=[(OURS, ALONE, 3.0)], notes=notes)]


def derived_study(given: Given, frozen_views: bool = True) -> Path:
    """Write the toy study with one seed; without `frozen_views`, a frozen backbone sees every image anew in each epoch."""
    study = yaml.safe_load((project_root() / "notebooks" / "studies" / "toy.yml").read_text(encoding="utf-8"))
    study |= {"name": NAME, "seeds": [0]}
    for recipe in (study["pretrain"], *(target["recipe"] for target in study["downstreams"])):
        if not frozen_views:
            recipe["changes"].pop("frozen_views", None)
        if given.scale.study_epochs:
            recipe["changes"] |= {"epochs": given.scale.study_epochs, "lr_step_epochs": 1}
    path = given.photographs.scratch / f"{NAME}{'' if frozen_views else '_exact'}.yml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def figure_by_figure(path: Path) -> None:
    """Train for each figure the runs that it needs, as if there were no other figure; keep nothing."""
    for runs in figure_runs(Plan.of(str(path))).values():
        with (
            tempfile.TemporaryDirectory() as folder,
            patch.dict(os.environ, PRETRAINING_GAIN_RESULTS=folder),
            redirect_stderr(io.StringIO()),
        ):
            for run in runs:
                (finetune if run.downstream else pretrain)(run)


def run_workflow(path: Path) -> None:
    """Make all runs and tables of a study from nothing, by the Snakefile. Raise `InputError` when the workflow fails."""
    shutil.rmtree(results_root() / NAME, ignore_errors=True)
    options = ["--cores", str(n_cores()), "--nolock", "--config", f"study={path}", "--", "results"]
    left_out = ("PRETRAINING_GAIN_THREADS", "OMP_NUM_THREADS")
    own = {name: value for name, value in os.environ.items() if name not in left_out} | {"PRETRAINING_GAIN_DEVICE": "cpu"}
    command = [sys.executable, "-m", "snakemake", *options]
    done = subprocess.run(command, cwd=project_root(), env=own, capture_output=True, text=True)
    shutil.rmtree(project_root() / "book" / "executed" / NAME, ignore_errors=True)
    if done.returncode:
        raise InputError(f"the workflow failed: {' '.join(done.stderr.split())[-300:]}")
