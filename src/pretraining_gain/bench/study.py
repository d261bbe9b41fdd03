"""(6) The toy study with one seed: each figure by itself, one run after the other, against ours, which shares runs."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from pretraining_gain.bench.given import Given
from pretraining_gain.bench.measure import Contestant, Effort, compare
from pretraining_gain.bench.records import Cost, Goal, Part
from pretraining_gain.bench.threads import n_cores
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root, results_root
from pretraining_gain.plan.costs import Plan

NAIVE, OURS, AT_LEAST = "each figure by itself", "ours", 3.0
NAME = "bench_study"
_SETTINGS = "PRETRAINING_GAIN_RESULTS"


def study(given: Given) -> Part:
    """The naive way has this process and all its threads, and starts no notebook. Ours is the workflow itself, with as many
    processes of one thread as there are cores, notebooks and tables included."""
    path, without_views = derived_study(given), derived_study(given, frozen_views=False)
    plan, ours = Plan.of(str(path)), Workflow(path)
    n_naive, n_ours = sum(map(len, plan.figure_runs().values())), len(plan.runs())
    result = compare(
        "study",
        [
            Contestant(NAIVE, lambda: naive(without_views), 1, explain=list),
            Contestant(OURS, ours.run, 1, explain=ours.where_time_went),
        ],
        Effort(given.scale.study_s, 2, warm_up=False),
        setting=f"toy, one seed: {n_naive} runs by figure, {n_ours} in all",
        reference=NAIVE,
        unit="studies",
        goals=[Goal(contestant=OURS, reference=NAIVE, at_least=AT_LEAST)],
        notes=[
            f"changed in the study: {', '.join(given.scale.study_changes.values())}; images are drawn in memory, on a CPU"
        ],
    )
    return Part(comparisons=[result])


def derived_study(given: Given, frozen_views: bool = True) -> Path:
    """The toy study with the scale's changes, as a file; without `frozen_views` each epoch of a frozen backbone is anew."""
    text = (project_root() / "notebooks" / "studies" / "toy.yml").read_text(encoding="utf-8")
    for old, new in ({"name: toy\n": f"name: {NAME}\n"} | given.scale.study_changes).items():
        if old not in text:
            raise InputError(
                f"the toy study has no {old!r}; accepted: changes of what stands in notebooks/studies/toy.yml"
            )
        text = text.replace(old, new)
    if not frozen_views:
        text = re.sub(r"frozen_views: \d+", "frozen_views: 0", text)
    path = given.photographs.scratch / f"{NAME}{'' if frozen_views else '_exact'}.yml"
    path.write_text(text, encoding="utf-8")
    return path


def naive(path: Path) -> None:
    """Train for each figure what it needs, as if no other figure were there."""
    for runs in Plan.of(str(path)).figure_runs().values():
        with _results_apart(), redirect_stderr(io.StringIO()):
            for run in runs:
                (finetune if run.downstream else pretrain)(run)


@contextmanager
def _results_apart() -> Iterator[None]:
    before = os.environ[_SETTINGS]
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_SETTINGS] = folder
        try:
            yield
        finally:
            os.environ[_SETTINGS] = before


@dataclass
class Workflow:
    """All runs and tables of a study by the project's own Snakefile, from nothing each time."""

    path: Path
    wall_s: float = 0.0

    def run(self) -> None:
        """Raises `InputError` when the workflow fails."""
        shutil.rmtree(results_root() / NAME, ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            str(n_cores()),
            "--nolock",
            "--config",
            f"study={self.path}",
        ]
        own = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PRETRAINING_GAIN_THREADS", "OMP_NUM_THREADS")
        }
        own |= {"PRETRAINING_GAIN_DEVICE": "cpu", "PRETRAINING_GAIN_PRECISION": "auto"}
        started = time.perf_counter()
        done = subprocess.run([*command, "--", "results"], cwd=project_root(), env=own, capture_output=True, text=True)
        self.wall_s = time.perf_counter() - started
        shutil.rmtree(project_root() / "book" / "executed" / NAME, ignore_errors=True)
        if done.returncode:
            raise InputError(f"the workflow failed: {' '.join(done.stderr.split())[-300:]}")

    def where_time_went(self) -> list[Cost]:
        """Of all cores' time in the last repetition: what runs spent on training and evaluating, by their records, and the rest."""
        whole = self.wall_s * n_cores()
        costs = [json.loads(file.read_text())["cost"] for file in sorted((results_root() / NAME).glob("*/*.json"))]
        training = sum(cost["train_wall_time_s"] for cost in costs)
        evaluating = sum(cost.get("eval_wall_time_s") or 0.0 for cost in costs)
        parts = {
            f"training, {len(costs)} runs of one thread": training,
            "evaluating": evaluating,
            "starting Python, torch, notebooks and the workflow; drawing images; tables; idle cores": whole
            - training
            - evaluating,
        }
        return [Cost(what=what, share=seconds / whole, seconds=seconds) for what, seconds in parts.items()]
