"""The campaigns' summaries as the book shows them: sums that add up, and a missing one named with how to make it."""

from __future__ import annotations

import json

import pytest
from refusal import refused

from pretraining_gain.tell.software.reliability import CAMPAIGNS, kills_table, load, numbers, slurm_table


def test_the_table_of_kills_adds_up_and_nothing_was_lost():
    table, found = kills_table("runs"), numbers()
    assert table["runs"].sum() == found["kills_kills"] >= 50
    assert table["workflow"].sum() == found["workflow_kills"]
    assert table["runs"].is_monotonic_increasing
    assert found["kills"] == table[["runs", "workflow"]].to_numpy().sum()
    assert found["lost"] == found["differing"] == 0


def test_the_cluster_cut_off_three_jobs_and_ended_as_a_local_run_does():
    summary = load("slurm")
    assert summary["equal_to_local"] is True and summary["study"] == "toy"
    jobs = summary["jobs"]
    assert set(summary["cut_off"]) == {"cancelled", "timed_out", "warned"} and jobs["cancelled"] == 1
    assert jobs.get("timeout", 0) + jobs["failed"] == 2  # a job may be told a minute before its limit, and end by itself
    assert jobs["completed"] == summary["runs"] == jobs["submitted"] - 3
    assert "jobs: cancelled" in slurm_table().index


def test_what_is_missing_or_damaged_is_named(results):
    folder = results / "reliability"
    folder.mkdir(parents=True)
    (folder / "kills.json").write_text("{")
    with refused("campaign 'kills' cannot be read", f"python -m tests.faults --out {folder / 'kills.json'}", unchanged=results):
        load("kills")
    for campaign in CAMPAIGNS[1:]:
        with refused(f"campaign {campaign!r} cannot be read", f"--out {folder / campaign}.json", unchanged=results):
            load(campaign)
    (folder / "kills.json").write_text(json.dumps({"kills_by_phase": {"training": 1}}))
    (folder / "workflow.json").write_text(json.dumps({"kills_by_phase": {}}))
    with refused("ordered_by='moment'", "accepted: killed in, runs, workflow", unchanged=results):
        kills_table("moment")


@pytest.mark.parametrize("order", ["killed in", "runs", "workflow"])
def test_the_table_can_be_ordered(order):
    assert kills_table(order)[order].is_monotonic_increasing
