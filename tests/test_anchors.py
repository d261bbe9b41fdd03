"""Anchors of the controls: what networks did in the toy world with its dials turned, as committed."""

from __future__ import annotations

import pytest
from conftest import ROOT

from pretraining_gain.errors import InputError
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.validation.anchors import NULL_DESIGN, STUDY, AnchorView


def test_the_committed_anchors_are_those_of_the_present_code():
    study = load_study(STUDY)
    for stage, runs in (("pretrain", pretraining_runs(study)), ("finetune", finetuning_runs(study))):
        there = {path.name for path in (ROOT / "results" / STUDY / stage).glob("*.json")}
        assert {run.record_path.name for run in runs} <= there
    assert study.design(NULL_DESIGN).source_options == {"shares": "family", "strength": 1.0}


def test_the_planted_effect_shows_on_clean_pictures_only_and_the_simulation_varies_as_networks_do():
    view = AnchorView(simulations=60, seed=1)
    table = view.table()
    assert len(table) == 4 * 2 and len(view.shown(table)) == 8
    numbers = view.numbers(table)
    assert numbers["clean_full_planted_low"] > 0 and numbers["clean_full_planted"] > 0.05 > abs(numbers["field_planted"])
    assert numbers["clean_full_planted"] == pytest.approx(
        numbers["clean_full_species_full"] - numbers["clean_full_family_full"]
    )
    # where nothing is planted, nothing is found
    for key in ("clean_full_family_full", "clean_full_generic_full", "field_family_full"):
        assert numbers[f"{key}_low"] < 0 < numbers[f"{key}_high"]
    assert numbers["n_faithful"] >= 7
    again = view.table()
    assert again.equals(table)


def test_a_wrong_view_is_named():
    with pytest.raises(InputError, match="simulations"):
        AnchorView.from_parameters({"simulations": 0, "seed": 0})
