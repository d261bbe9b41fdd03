"""The workflow on a real SLURM: a run that is cut off starts again, resumes, and ends as if undisturbed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import slurm
from cluster import cluster, why_not
from conftest import change_study, do_runs


@pytest.mark.slurm
def test_jobs_that_are_cut_off_resume_and_end_as_local_runs_do(results, one_target, clean_pages, tmp_path, monkeypatch):
    if reason := why_not():
        pytest.skip(reason)
    # Long enough to be caught in the middle.
    change_study(one_target, {"epochs: 2, lr_step_epochs: 1": "epochs: 40, lr_step_epochs: 20", "  animal: [4]\n": ""})
    with monkeypatch.context() as patch:
        patch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path / "local"))
        do_runs(one_target)
    victims = slurm.choose(one_target)
    with cluster() as here:
        slurm.run_on(here, one_target, victims, tmp_path / "snakemake.log")
        ended = here.ended_jobs()
    assert ended["COMPLETED"] == 3
    assert ended["CANCELLED"] == 1
    assert ended["TIMEOUT"] + ended["FAILED"] >= 2  # one stopped, one out of time; more on a very busy machine
    for run in victims.values():
        assert json.loads(run.record_path.read_text())["cost"]["starts"] >= 2  # it resumed
    assert not list(Path(results).rglob("*.checkpoint.pt"))
    alone = slurm.outcomes(one_target, tmp_path / "local" / "small")
    assert len(alone) == 3
    assert slurm.outcomes(one_target, results / "small") == alone
