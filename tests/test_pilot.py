"""The plan of analysis is older than the runs, states the pilot's results, and the study follows them."""

from __future__ import annotations

import json
import re
import subprocess

import pandas as pd
import pytest
from conftest import ROOT

from pretraining_gain.plan.studies import load_study
from pretraining_gain.revision import commits_of

STARTS = {"all 200 classes": "all", "scratch": "scratch"}


def test_the_plan_states_the_pilot_and_the_study_takes_the_rates_that_follow():
    pilot = pd.read_csv(ROOT / "results" / "imagenet200" / "pilot.csv")
    mean = 100 * pilot.groupby(["images", "start", "epochs", "lr"])["val_top1"].mean().unstack()
    plan = (ROOT / "book" / "plan-of-analysis.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (all 200 classes|scratch) \| (\d+) \| (.+) \|$", plan, flags=re.MULTILINE)
    study = load_study("imagenet200")
    assert len(rows) == 8
    for images, start, epochs, cells in rows:
        by_rate = mean.loc[(images, STARTS[start], int(epochs))].dropna()
        stated = [float(cell.strip("()")) for cell in cells.split(" | ")]
        assert all(abs(one - found) <= 0.05 + 1e-9 for one, found in zip(stated, by_rate, strict=True))
        taken = [rate for cell, rate in zip(cells.split(" | "), by_rate.index, strict=True) if cell[0] == "("]
        within_a_point = by_rate.index[by_rate >= by_rate.max() - 1]
        assert taken == [min(within_a_point, key=lambda rate: abs(rate - 0.1))]
        same = [one for one in study.downstreams if one.images == study.downstream(images).images]
        same = [one for one in same if one.recipe.resolve().epochs == int(epochs)]
        used = {one.recipe.from_scratch.get("lr", 0.1) if start == "scratch" else one.recipe.resolve().lr for one in same}
        assert used == set(taken)


def test_the_plan_was_committed_before_the_code_of_every_run():
    registered = commits_of("book/plan-of-analysis.md")
    if not registered:
        pytest.skip("needs the whole git history")
    records = [json.loads(path.read_bytes()) for path in (ROOT / "results" / "imagenet200").glob("*/*.json")]
    ran = {record["provenance"]["commit"] for record in records}
    assert ran
    for commit in ran:
        asked = ["git", "merge-base", "--is-ancestor", registered[-1][0], commit]
        assert subprocess.run(asked, cwd=ROOT).returncode == 0, commit
