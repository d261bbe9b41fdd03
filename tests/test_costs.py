"""The cost ledger: every run is in it once, and whatever is added up comes to the same."""

from __future__ import annotations

import pytest
from conftest import simulate_results

from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.claims import CLAIMS, Evidence
from pretraining_gain.tell.costs import ALL, Costs, arms_read, runs_read
from pretraining_gain.tell.results import load_costs


@pytest.fixture
def costs(results) -> Costs:
    simulate_results("toy")
    return Costs.from_parameters({"study": "toy"})


def test_the_ledger_has_each_planned_run_once(costs):
    planned = costs.plan.run_table()
    assert costs.runs["run_id"].tolist() == planned["run_id"].tolist() and costs.runs["run_id"].is_unique
    assert costs.runs["planned_min"].sum() == pytest.approx(60 * planned["device_hours"].sum())
    assert (costs.runs["config_hash"] == load_study("toy").config_hash).all() and costs.runs["changed"].eq("no").all()
    starts = set(costs.runs.loc[costs.runs["stage"] == "pretrain", "run_id"])
    assert set(costs.runs["pretraining"]) == {"", *starts}


@pytest.mark.parametrize("table", ["by_stage", "by_figure"])
def test_rows_add_up_to_all_runs(costs, table):
    shown = getattr(costs, table)().drop(columns="peak memory, MB", errors="ignore")
    rows, total = shown.drop(index=ALL), shown.loc[ALL]
    assert rows.sum().to_dict() == pytest.approx(total.to_dict())
    runs = costs.runs
    assert total["runs"] == len(runs) and total["device time, min"] == pytest.approx(runs["device_time_s"].sum() / 60)
    wall = runs["train_wall_time_s"].sum() + runs["eval_wall_time_s"].sum()
    assert total["wall time, min"] == pytest.approx(wall / 60)
    assert total["images"] == runs["train_images_seen"].sum() + runs["eval_images_seen"].sum()


def test_a_figure_costs_its_finetunings_and_each_of_their_pretrainings_once(costs):
    """Figures 1 and 2: three finetunings of all classes, three from scratch, and three pretrainings."""
    assert costs.by_figure().at["figure 1 and 2", "runs"] == 9
    both = runs_read(costs.runs, ["field"], ["all-k24", "scratch"])
    assert sorted(both["stage"]) == ["finetune"] * 6 + ["pretrain"] * 3
    expected = both["device_time_s"].sum() / 60
    assert costs.by_figure().at["figure 1 and 2", "device time, min"] == pytest.approx(expected)


def test_a_claim_costs_what_its_tests_compare(costs):
    read = arms_read(Evidence(costs.plan.study, "toy"))
    assert list(read) == [claim.id for claim in CLAIMS]
    assert read["C1"] == {"field": {"all-k24", "scratch"}, "clean": set(), "field_frozen": set()}
    assert read["C10"] == {"field": set(), "clean": {"random-k12", "non_animal-k12"}, "field_frozen": set()}
    assert read["C14"] == {"field": {"all-k24"}, "clean": set(), "field_frozen": {"all-k24"}}
    table = costs.by_claim(read)
    assert table.loc[["C1", "C10", "C14", ALL], "runs"].tolist() == [9, 12, 9, 66]
    same = runs_read(costs.runs, ["field", "field_frozen"], ["all-k24"])
    assert table.at["C14", "device time, min"] == pytest.approx(same["device_time_s"].sum() / 60)


def test_what_sharing_saves_is_what_would_be_run_again(costs):
    """Six arms and three seeds make 18 pretrainings, all of which serve two targets and three of which a third one."""
    saved = costs.saved()
    assert saved.at["a pretraining serves several finetunings", "runs"] == 18 + 3
    counted_twice = -costs.by_figure().loc["counted more than once"]
    assert saved.at["a run serves several figures or comparisons", "runs"] == counted_twice["runs"]
    assert saved.at["all classes are the last random subset", "runs"] == 3 * (2 + 1)  # two targets and a pretraining
    assert costs.numbers()["saved_random_runs"] == 9


def test_the_figure_shows_every_run(costs):
    figure = costs.figure()
    assert sum(len(trace.x) for trace in figure.data) == len(costs.runs)
    wall, device, _ = figure.layout.updatemenus[0].buttons
    drawn = [value for ys in device.args[0]["y"] for value in ys]
    assert sum(drawn) == pytest.approx(60 * costs.by_stage().at[ALL, "device time, min"])
    assert [list(ys) for ys in wall.args[0]["y"]] == [list(trace.y) for trace in figure.data]


def test_a_study_that_was_not_run_has_no_ledger(results):
    with pytest.raises(InputError, match=r"no results of study 'paper'.*costs\.csv is missing"):
        load_costs(load_study("paper"))
    assert Plan.of("paper").numbers()["n_runs"] > 0
