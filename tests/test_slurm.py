"""The workflow on a real SLURM: a run that is cut off starts again, resumes, and ends as if undisturbed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import slurm
from cluster import cluster, why_not
from conftest import change_study


@pytest.mark.slurm
def test_jobs_that_are_cut_off_resume_and_end_as_local_runs_do(results, small_study, clean_pages, tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    # Long enough to be caught in the middle.
    change_study(small_study, {"epochs: 2, lr_step_epochs: 1": "epochs: 40, lr_step_epochs: 20"})
    slurm.run_locally(small_study, os.environ | {"PRETRAINING_GAIN_RESULTS": str(tmp_path / "local")})
    victims = slurm.choose(small_study)
    with cluster() as here:
        slurm.run_on(here, small_study, victims, tmp_path / "snakemake.log")
        ended = here.ended_jobs()
    assert ended["COMPLETED"] == 10
    assert ended["CANCELLED"] == 1
    assert ended["TIMEOUT"] + ended["FAILED"] >= 2  # one stopped, one out of time; more on a very busy machine
    for run in victims.values():
        assert json.loads(run.record_path.read_text())["cost"]["starts"] >= 2  # it resumed
    assert not list(Path(results).rglob("*.checkpoint.pt"))
    alone = slurm.outcomes(small_study, tmp_path / "local" / "small")
    assert len(alone) == 10
    assert slurm.outcomes(small_study, results / "small") == alone
