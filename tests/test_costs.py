"""The cost ledger: it has every run once, and every way of adding up gives the same total."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from conftest import ROOT, change_study, simulate_results
from refusal import refused

from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.figures.costs import figure_costs
from pretraining_gain.tell.results.evaluation import load_table
from pretraining_gain.tell.software.costs import ALL, Costs
from pretraining_gain.tell.software.price import figure_table, figures_as_run, sharing_table


def needed(costs: Costs, downstreams: list[str], arms: list[str]) -> pd.DataFrame:
    """Return the finetunings of these arms on these downstreams, and their pretrainings."""
    finetunings = costs.runs["downstream"].isin(downstreams) & costs.runs["arm"].isin(arms)
    return costs.runs[finetunings | costs.runs["run_id"].isin(costs.runs.loc[finetunings, "pretraining"])]


@pytest.fixture
def costs(results) -> Costs:
    simulate_results("toy")
    return Costs.from_parameters({"study": "toy"})


def test_the_ledger_has_each_planned_run_once(costs):
    planned = costs.plan.run_table()
    assert costs.runs["run_id"].tolist() == planned["run_id"].tolist()
    assert costs.runs["run_id"].is_unique
    assert costs.runs["planned_min"].sum() == pytest.approx(60 * planned["device_hours"].sum())
    assert (costs.runs["config_hash"] == load_study("toy").config_hash).all()
    assert costs.runs["changed"].eq("no").all()
    starts = set(costs.runs.loc[costs.runs["stage"] == "pretrain", "run_id"])
    assert set(costs.runs["pretraining"]) == {"", *starts}


@pytest.mark.parametrize("table", ["by_stage", "by_figure"])
def test_rows_add_up_to_all_runs(costs, table):
    shown = getattr(costs, table)().drop(columns="peak memory, MB", errors="ignore")
    rows, total = shown.drop(index=ALL), shown.loc[ALL]
    assert rows.sum().to_dict() == pytest.approx(total.to_dict())
    runs = costs.runs
    assert total["runs"] == len(runs)
    assert total["device time, min"] == pytest.approx(runs["device_time_s"].sum() / 60)
    wall = runs["train_wall_time_s"].sum() + runs["eval_wall_time_s"].sum()
    assert total["wall time, min"] == pytest.approx(wall / 60)
    assert total["images"] == runs["train_images_seen"].sum() + runs["eval_images_seen"].sum()


def test_a_figure_costs_its_finetunings_and_each_of_their_pretrainings_once(costs):
    """Figures 1 and 2: three finetunings of all classes, three from scratch, and three pretrainings."""
    assert costs.by_figure().at["Figures 1, 2 and W2", "runs"] == 9
    both = needed(costs, ["field"], ["all-k24", "scratch"])
    assert sorted(both["stage"]) == ["finetune"] * 6 + ["pretrain"] * 3
    expected = both["device_time_s"].sum() / 60
    assert costs.by_figure().at["Figures 1, 2 and W2", "device time, min"] == pytest.approx(expected)


def test_a_claim_costs_what_its_tests_compare(costs):
    table = costs.by_claim()
    assert list(table.index) == [*(claim.id for claim in CLAIMS), ALL]
    assert table.loc[["C1", "C10", "C14", ALL], "runs"].tolist() == [9, 12, 9, 66]
    same = needed(costs, ["field", "field_frozen"], ["all-k24"])
    assert table.at["C14", "device time, min"] == pytest.approx(same["device_time_s"].sum() / 60)


def test_what_sharing_saves_is_what_would_be_run_again(costs):
    """Six arms and three seeds make 18 pretrainings, all of which serve two targets and three of which a third one."""
    saved = costs.saved()
    assert saved.at["a pretraining serves several finetunings", "runs"] == 18 + 3
    counted_twice = -costs.by_figure().loc["counted more than once"]
    assert saved.at["a run serves several figures or comparisons", "runs"] == counted_twice["runs"]
    assert saved.at["all classes are the last random subset", "runs"] == 3 * (2 + 1)  # two targets and a pretraining


def test_each_figure_alone_against_as_run(costs):
    """By hand: six pretrainings, two targets of 21 finetunings (scratch included), and one of 6, with three seeds each.

    Figures 3 and 4 need all of a target; Figure 6 four pretrainings on both; Figure B2 three
    arms and scratch, and all classes and scratch on the frozen copy; Figure W4 two arms of animals and scratch on both targets,
    and W5 three arms and scratch.
    """
    shown = costs.sharing()
    alone = [3 + 3 + 3, 18 + 21, 18 + 21, 12 + 2 * 12, 9 + 12 + 6, 6 + 2 * 9, 9 + 2 * 12]
    as_run = [9, 39 - 9, 21, 0, 6, 0, 0]
    assert shown["runs, alone"].tolist() == [*alone, 207]
    assert shown["runs, as run"].tolist() == [*as_run, 66]
    assert shown["runs, alone"].iloc[:-1].tolist() == costs.by_figure()["runs"].iloc[:7].tolist()
    total = costs.by_figure().loc[ALL]
    for what in ("images", "device time, min"):
        assert shown.at[ALL, f"{what}, as run"] == pytest.approx(total[what])
        assert shown[f"{what}, alone"].iloc[:-1].tolist() == pytest.approx(costs.by_figure()[what].iloc[:7].tolist())
    scratch = costs.runs[costs.runs["run_id"] == "field--scratch-s0-resnet10_w16"].iloc[0]
    field = 3 * scratch["device_time_s"] / 60  # three seeds, all alike in these simulated records
    inside = 3 * costs.runs.set_index("run_id").at["clean--scratch-s0-resnet10_w16", "device_time_s"] / 60
    saved = costs.saved().loc["a run from scratch serves all pools"]
    assert saved["runs"] == 3 * 3 + 3 * 3  # three further pools on each of two targets; the third has one pool
    assert saved["device time, min"] == pytest.approx(3 * field + 3 * inside)


def test_the_plan_says_beforehand_what_sharing_will_save():
    table = sharing_table(Plan.of("toy"))
    assert table.loc["all", ["runs, alone", "runs, as run"]].tolist() == [207, 66]
    plan = figure_table(Plan.of("toy"))
    assert table["hours, alone"].iloc[:-1].tolist() == pytest.approx(plan["hours_on_1"].iloc[:-1].tolist())
    assert table.at["all", "hours, as run"] == pytest.approx(plan.at["all", "hours_on_1"])
    assert table.at["all", "images, as run"] == plan.at["all", "images_seen"]


@pytest.mark.parametrize("study", ["toy", "mini", "paper", "paper_short", "paper_weights"])
def test_what_figures_add_is_every_run_once(study):
    plan = Plan.of(study)
    added = [run for runs in figures_as_run(plan).values() for run in runs]
    assert len(added) == len(set(added))
    assert set(added) == set(plan.runs())


def test_decoded_images_found_in_the_cache_are_counted_once_a_run():
    """Of mini's committed records, by another way: images of each run's training set, where the record says so."""
    costs = Costs.from_parameters({"study": "mini"})
    records = [json.loads(path.read_text()) for path in (ROOT / "results" / "mini").glob("*/*.json")]
    cached = [record["train_images"] for record in records if record["cost"]["from_cache"]]
    assert costs.decoded_before() == sum(cached) > 0
    assert costs.numbers()["n_from_cache"] == len(cached)


def test_the_figure_shows_every_run(costs):
    figure = figure_costs(costs)
    assert sum(len(trace.x) for trace in figure.data) == len(costs.runs)
    wall, device, _ = figure.layout.updatemenus[0].buttons
    drawn = [value for ys in device.args[0]["y"] for value in ys]
    assert sum(drawn) == pytest.approx(60 * costs.by_stage().at[ALL, "device time, min"])
    assert [list(ys) for ys in wall.args[0]["y"]] == [list(trace.y) for trace in figure.data]


@pytest.mark.parametrize("seeds", ["[0, 1]", "[1]"])
def test_costs_of_another_version_of_the_study_are_refused(results, small_study, seeds):
    simulate_results(small_study)
    change_study(small_study, {"seeds: [0]": f"seeds: {seeds}"})
    with refused("costs.csv and study 'small' differ in", "make reproduce", unchanged=results):
        Costs.from_parameters({"study": small_study})


def test_a_study_that_was_not_run_has_no_ledger(results):
    with pytest.raises(InputError, match=r"no results of study 'paper'.*costs\.csv is missing"):
        load_table("paper", "costs")
