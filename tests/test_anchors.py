"""Anchors: networks trained in toy worlds with a planted effect, beside studies simulated with the same accuracies."""

from __future__ import annotations

import pytest

from pretraining_gain.tell.validation.anchors import AnchorView


def test_the_table_has_one_row_per_design_and_target_and_follows_from_the_seed():
    view = AnchorView(simulations=10, seed=1)
    table = view.table()
    assert not table.duplicated(["arm", "target"]).any()
    assert table["arm"].nunique() * table["target"].nunique() == len(table) == len(view.shown(table))
    assert view.table().equals(table)
    numbers = view.numbers(table)
    difference = numbers["clean_full_species_full"] - numbers["clean_full_family_full"]
    assert numbers["clean_full_planted"] == pytest.approx(difference)
