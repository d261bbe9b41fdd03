"""What a run asks of a machine follows from its study and the number of its devices."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT, change_study

from pretraining_gain.plan.costs import device_hours
from pretraining_gain.plan.resources import resources_of
from pretraining_gain.plan.runs import Run, finetuning_runs, pretraining_runs


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch):
    for name in ("DEVICES", "THREADS"):
        monkeypatch.delenv(f"PRETRAINING_GAIN_{name}", raising=False)


@pytest.mark.parametrize("run", [*pretraining_runs("toy")[:2], *finetuning_runs("toy")[::8]], ids=str)
def test_a_study_priced_on_a_cpu_core_asks_for_one_and_no_gpu(run):
    asked = resources_of(run)
    assert (asked.gpu, asked.cores) == (0, 1)
    assert 10 < asked.runtime_min <= 15
    assert 1000 < asked.mem_mb <= 4000


def test_the_paper_asks_for_a_gpu_and_for_twice_its_price():
    run = Run(study="paper", pool="all")
    asked = resources_of(run)
    assert (asked.gpu, asked.cores) == (1, 4)
    assert asked.runtime_min == pytest.approx(10 + 2 * 60 * device_hours(run), abs=1)
    assert 6000 < asked.mem_mb < 32000  # its images stay on disk


def test_a_gpu_run_with_its_images_in_memory_asks_for_one_core(small_study):
    """So that several small runs share a GPU of a machine with few cores (make GPU_RUNS=4)."""
    change_study(small_study, {"device: one CPU core": "device: H100"})
    asked = resources_of(Run(study=small_study))
    assert (asked.gpu, asked.cores) == (1, 1)


def test_images_in_memory_count(small_study):
    before = resources_of(Run(study=small_study)).mem_mb
    change_study(small_study, {"train_images_per_class: 8": "train_images_per_class: 80000"})
    assert resources_of(Run(study=small_study)).mem_mb - before > 24 * 80_000 * 3 * 32**2 / 1e6


def test_more_devices_share_the_time_and_have_cores_and_memory_each(monkeypatch):
    run = Run(study="paper", pool="all")
    one = resources_of(run)
    monkeypatch.setenv("PRETRAINING_GAIN_DEVICES", "4")
    four = resources_of(run)
    assert (four.gpu, four.cores) == (4, 16)
    assert four.runtime_min - 10 == pytest.approx((one.runtime_min - 10) / 4, abs=1)
    assert one.mem_mb < four.mem_mb <= 4 * one.mem_mb


def test_cores_of_a_cpu_run_are_its_threads_and_devices(monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DEVICES", "2")
    monkeypatch.setenv("PRETRAINING_GAIN_THREADS", "3")
    asked = resources_of(Run(study="toy"))
    assert (asked.cores, asked.gpu) == (6, 0)


def test_a_further_attempt_asks_for_more_time_and_memory():
    first, third = (resources_of(Run(study="paper"), attempt) for attempt in (1, 3))
    assert (third.runtime_min, third.mem_mb) == (3 * first.runtime_min, 3 * first.mem_mb)
    assert (third.gpu, third.cores) == (first.gpu, first.cores)


def test_a_wrong_number_of_devices_stops_the_workflow(monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DEVICES", "0")
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--dry-run", "--", "results"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert "snakemake: PRETRAINING_GAIN_DEVICES='0'; accepted" in done.stderr
