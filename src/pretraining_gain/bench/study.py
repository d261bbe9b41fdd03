"""Compare the toy study figure by figure, one run after the other, with the workflow, which shares runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import yaml

from pretraining_gain.bench.measure import Contestant, compare, n_cores
from pretraining_gain.bench.parts import OURS, Found, Given
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root, results_root
from pretraining_gain.plan.costs import Plan
from pretraining_gain.tell.software.price import figure_runs

ALONE, NAME = "each figure by itself", "bench_study"


def study(given: Given, setting: Setting) -> Found:
    """Compare both ways on the toy study with one seed. Figure by figure has this process, all its threads and no notebooks;
    the workflow has one process of one thread per core, notebooks and tables included."""
    folder = given.photographs.scratch
    shared, exact = (derived_study(folder, setting.epochs, frozen_views) for frozen_views in (True, False))
    plan = Plan.of(str(shared))
    contestants = [
        Contestant(ALONE, lambda: figure_by_figure(exact), 1),
        Contestant(OURS, lambda: run_workflow(shared), 1),
    ]
    where = f"toy, one seed: {sum(map(len, figure_runs(plan).values()))} runs by figure, {len(plan.runs())} in all"
    effort, notes = replace(given.effort, rounds=2, warm_up=False), ["images are drawn in memory, on a CPU"]
    return [compare("study", where, contestants, ALONE, effort, (OURS, ALONE, 3.0), unit="studies", notes=notes)]


def derived_study(folder: Path, epochs: int = 0, frozen_views: bool = True) -> Path:
    """Write the toy study with one seed and, unless 0, other epochs; without `frozen_views`, each epoch augments anew."""
    study = yaml.safe_load((project_root() / "notebooks" / "studies" / "toy.yml").read_text(encoding="utf-8"))
    study |= {"name": NAME, "seeds": [0]}
    for recipe in (study["pretrain"], *(target["recipe"] for target in study["downstreams"])):
        if not frozen_views:
            recipe["changes"].pop("frozen_views", None)
        if epochs:
            recipe["changes"] |= {"epochs": epochs, "lr_step_epochs": 1}
    path = folder / f"{NAME}{'' if frozen_views else '_exact'}.yml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def figure_by_figure(path: Path) -> None:
    """Train for each figure the runs that it needs, as if there were no other figure; keep nothing."""
    for runs in figure_runs(Plan.of(str(path))).values():
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, PRETRAINING_GAIN_RESULTS=folder):
            for run in runs:
                (finetune if run.downstream else pretrain)(run)


def run_workflow(path: Path) -> None:
    """Make all runs and tables of a study from nothing, by the Snakefile. Raise `InputError` when the workflow fails."""
    shutil.rmtree(results_root() / NAME, ignore_errors=True)
    options = ["--cores", str(n_cores()), "--nolock", "--config", f"study={path}", "--", "results"]
    command = [sys.executable, "-m", "snakemake", *options]
    own = os.environ | {"PRETRAINING_GAIN_DEVICE": "cpu"}
    for limited in ("PRETRAINING_GAIN_THREADS", "OMP_NUM_THREADS"):
        own.pop(limited, None)
    done = subprocess.run(command, cwd=project_root(), env=own, capture_output=True, text=True)
    shutil.rmtree(project_root() / "book" / "executed" / NAME, ignore_errors=True)
    if done.returncode:
        raise InputError(f"the workflow failed: {' '.join(done.stderr.split())[-300:]}")
