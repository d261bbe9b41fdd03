"""Summaries of the reliability campaigns: totals add up, and a missing file is named with how to make it."""

from __future__ import annotations

import pytest
from refusal import refused

from pretraining_gain.errors import InputError
from pretraining_gain.tell.software.reliability import CAMPAIGNS, kills_table, load, numbers, slurm_table


@pytest.mark.parametrize("order", ["killed in", "runs", "workflow"])
def test_totals_add_up_over_the_table_in_any_order(order):
    table, found = kills_table(order), numbers()
    assert table[order].is_monotonic_increasing
    assert table[["runs", "workflow"]].to_numpy().sum() == found["kills"] == found["kills_kills"] + found["workflow_kills"]


def test_an_unknown_order_is_refused():
    with pytest.raises(InputError, match="ordered_by='moment'; accepted: killed in, runs, workflow"):
        kills_table("moment")


def test_facts_of_the_cluster_are_flattened():
    assert "jobs: cancelled" in slurm_table().index


@pytest.mark.parametrize("campaign", CAMPAIGNS)
@pytest.mark.parametrize("content", ["{", "{}", "[]", "3", None])
def test_a_missing_or_damaged_summary_is_named(results, campaign, content):
    path = results / "reliability" / f"{campaign}.json"
    path.parent.mkdir(parents=True)
    (path.parent / "kills.json").write_text("{")  # or the committed ones would be read
    if content:
        path.write_text(content)
    with refused(f"campaign {campaign!r} cannot be read", f"--out {path}", unchanged=results):
        load(campaign)
