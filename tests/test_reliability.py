"""Summaries of the reliability campaigns: totals add up, and a missing file is named with how to make it."""

from __future__ import annotations

import json

import pytest
from refusal import refused

from pretraining_gain.tell.software.reliability import CAMPAIGNS, kills_table, load, numbers, slurm_table


def test_totals_add_up_over_runs_and_workflow():
    table, found = kills_table("runs"), numbers()
    assert table["runs"].sum() == found["kills_kills"]
    assert table["workflow"].sum() == found["workflow_kills"]
    assert found["kills"] == found["kills_kills"] + found["workflow_kills"]


@pytest.mark.parametrize("order", ["killed in", "runs", "workflow"])
def test_the_table_can_be_ordered(order):
    assert kills_table(order)[order].is_monotonic_increasing


def test_facts_of_the_cluster_are_flattened():
    assert "jobs: cancelled" in slurm_table().index


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("damaged", [True, False])
def test_a_missing_or_damaged_summary_is_named(results, campaign, damaged):
    path = results / "reliability" / f"{campaign}.json"
    path.parent.mkdir(parents=True)
    (path.parent / "kills.json").write_text("{")
    if damaged:
        path.write_text("{")
    with refused(f"campaign {campaign!r} cannot be read", f"--out {path}", unchanged=results):
        load(campaign)


def test_an_unknown_order_is_refused(results):
    folder = results / "reliability"
    folder.mkdir(parents=True)
    for name in ("kills", "workflow"):
        (folder / f"{name}.json").write_text(json.dumps({"kills_by_phase": {"training": 1}}))
    with refused("ordered_by='moment'", "accepted: killed in, runs, workflow", unchanged=results):
        kills_table("moment")
