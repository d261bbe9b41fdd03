"""Summaries of the reliability campaigns: totals add up, and a missing file is named with how to make it."""

from __future__ import annotations

import json

import again
import pytest
from refusal import refused

from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root
from pretraining_gain.tell.book.rerun import repeatable_runs
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


@pytest.mark.slow
def test_runs_made_again_are_compared_and_what_differs_is_named(tmp_path, monkeypatch):
    """Copying a record stands for making it; of the last, one figure is changed on the way."""
    runs = [one for one in repeatable_runs("mini_convnext") if not one.run.design][:3]

    def copied(row: int) -> str:
        *_, comparison = runs[row].command.splitlines()
        made = comparison.split()[-1]
        change = "s/train_content_hash/another_hash/" if row == 2 else ""
        first = project_root() / made.replace("again", "results", 1)
        return f"mkdir -p $(dirname {made})\nsed '{change}' {first} > {made}\n{comparison}"

    planned = [one._replace(command=copied(row)) for row, one in enumerate(runs)]
    monkeypatch.setattr(again, "repeatable_runs", lambda _: planned)
    monkeypatch.chdir(tmp_path)
    seeds = [str(one.run.seed) for one in runs]
    for _ in range(2):  # the second time, all is there, and only compared
        again.main(["--study", "mini_convnext", "--seeds", *seeds, "--targets", "caltech101_animals", "--out", "again.json"])
        found = json.loads((tmp_path / "again.json").read_text())
        assert (found["runs"], found["same"]) == (3, 2)
        [(name, said)] = found["differing"].items()
        assert name == runs[2].name
        assert "differs" in said
        assert "train_content_hash" in said


@pytest.mark.slow
def test_a_run_that_cannot_be_made_again_is_named(tmp_path, monkeypatch):
    one = next(repeatable_runs("mini_convnext"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"{one.name} failed: .*no such thing"):
        again.make_again(one._replace(command=f"echo no such thing >&2; false\n{one.command.splitlines()[-1]}"))
    with pytest.raises(InputError, match="was made by other code"):
        again.make_again(one._replace(command=f"git checkout abc\n{one.command}"))
