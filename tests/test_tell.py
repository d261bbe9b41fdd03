"""TELL: tables, intervals, gains, numbers and figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Watched, simulate_results, write_page

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.tell.book.paste import paste_figure
from pretraining_gain.tell.book.provenance import Provenance
from pretraining_gain.tell.claims.ledger import Ledger
from pretraining_gain.tell.figures.explorer import UNIT, explorer_tables, plain_table
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.results.correctness import Correctness
from pretraining_gain.tell.results.evaluation import View, load_evaluation
from pretraining_gain.tell.results.gains import (
    arm_accuracy,
    group_accuracy,
    pool_contrasts,
    species_gains,
    subset_numbers,
    taxa_numbers,
)
from pretraining_gain.tell.results.study import StudyResults
from pretraining_gain.tell.results.tables import class_counts
from pretraining_gain.tell.software.readme import results_mark


def test_class_counts_count():
    table = pd.DataFrame({"image_id": list("abcde"), "label": [0, 0, 2, 2, 2], "prediction": [0, 1, 2, 2, 0]})
    assert class_counts(Correctness.of(table)).to_dict("list") == {"class_id": [0, 2], "n_images": [2, 3], "n_correct": [1, 2]}


@pytest.fixture
def evaluation(mini_results):
    return load_evaluation("mini", "caltech101_animals")


@pytest.fixture
def shown(evaluation):
    return StudyResults(View.from_parameters({"study": "mini"}))


def test_a_planted_gain_is_found(evaluation):
    row = arm_accuracy(evaluation).set_index(["arm", "quantity"]).loc[("animal-k4", "gain")]
    assert 0.1 < row["low"] < 0.2 < row["high"]
    assert (len(row["by_seed"]), np.mean(row["by_seed"])) == (10, pytest.approx(row["mean"]))


def test_pairing_needs_both_arms(evaluation):
    assert evaluation.gain("scratch") == {"scratch": 0.0}
    del evaluation.correct["scratch"]
    with pytest.raises(InputError, match="no results of 'scratch'"):
        evaluation.gain("all-k10")


def test_pools_are_contrasted_where_they_have_equally_many_classes(evaluation):
    table = pool_contrasts(evaluation).set_index(["first", "second", "k"])
    pairs = {
        ("animal", "random", 2), ("animal", "random", 4), ("animal", "random", 6),
        ("animal", "non_animal", 2), ("animal", "non_animal", 4), ("non_animal", "random", 2), ("non_animal", "random", 4),
    }  # fmt: skip
    assert set(table.index) == pairs
    row, correct = table.loc[("animal", "non_animal", 4)], evaluation.correct
    assert row["mean"] == pytest.approx(correct["animal-k4"].mean() - correct["non_animal-k4"].mean())
    assert row["low"] < 0 < row["high"]  # both were simulated with the same gain


def test_species_gains_are_the_paired_means(evaluation):
    table = species_gains(evaluation, "all-k10")
    assert (len(table), table["name"].is_unique) == (36, True)
    row = table[table["name"] == "emu"].iloc[0]
    of_emu, correct = evaluation.labels == row["class_id"], evaluation.correct
    assert row["mean"] == pytest.approx(correct["all-k10"][:, of_emu].mean() - correct["scratch"][:, of_emu].mean())
    assert (row["representation"], row["supercategory"]) == ("in the source", "Birds")


def test_group_accuracies_add_up(evaluation):
    groups = group_accuracy(evaluation, "all-k10", "supercategory")
    wide = groups.pivot(index="group", columns="quantity", values="mean")
    assert np.allclose(wide["gain"], wide["pretrained"] - wide["scratch"])
    assert groups.drop_duplicates("group")["n_classes"].sum() == 36


def test_numbers_agree_with_the_tables(shown, evaluation):
    numbers = taxa_numbers(shown)
    assert numbers["n_species"] == numbers["n_represented"] + numbers["n_unrepresented"] == 36
    assert numbers["gain"] == pytest.approx(numbers["top1_pretrained"] - numbers["top1_scratch"])
    numbers = subset_numbers(shown)
    assert numbers["animal_share"] == 0.6
    assert numbers["out_top1_animal_k4"] == pytest.approx(evaluation.correct["animal-k4"].mean())


def test_each_quantity_has_one_value_everywhere():
    """Cover, tables, Beyond, explorer and ledger of the committed results give the same estimates and intervals."""
    view = View.from_parameters({"study": "mini"})
    results, ledger = StudyResults(view), Ledger.of(view)
    [best] = [verdict for verdict in ledger.verdicts if verdict.claim == "C5"]
    [part] = [test for test in best.tests if test.what == "all-k10 − scratch"]
    taxa, subsets, tables = taxa_numbers(results), subset_numbers(results), explorer_tables(view)
    wanted = pytest.approx((part.effect, part.low, part.high))
    assert tuple(taxa[f"gain{end}"] for end in ("", "_low", "_high")) == wanted
    assert tuple(subsets[f"out_gain_all_k10{end}"] for end in ("", "_low", "_high")) == wanted
    freezing = results.freezing.set_index(["target", "way", "quantity"])
    row = freezing.loc[("Caltech-101 animals", "everything trained", "gain of all classes")]
    assert tuple(row[["mean", "low", "high"]]) == wanted
    everything = tables["targets"][0]["arms"][0]
    assert [everything["all"][end][0] for end in ("low", "high")] == [round(one / UNIT) for one in (part.low, part.high)]
    [share] = ledger.verdicts[0].tests
    gains = results.species["mean"]
    assert taxa["n_helped"] == (gains > 1e-12).sum()
    assert share.effect == pytest.approx((taxa["n_helped"] + (gains.abs() <= 1e-12).sum() / 2) / taxa["n_species"])
    shown = plain_table(tables).set_index("species")["gain"]
    assert shown.to_dict() == pytest.approx((100 * results.species.set_index("name")["mean"]).to_dict(), abs=1e-4)


def test_figure_1_draws_each_species_in_points_under_each_grouping(shown):
    drawn = FIGURES["figure_1"].draw(shown)
    buttons = drawn.layout.updatemenus[0].buttons
    assert sorted(y for trace in drawn.data for y in trace.y) == pytest.approx(sorted(100 * shown.species["mean"]))
    assert [button.label for button in buttons] == ["by family", "by order", "by supercategory"]
    for button in buttons:
        assert [len(x) for x in button.args[0]["x"]] == [len(trace.x) for trace in drawn.data]


def test_figure_1_names_each_of_its_ticks_once_where_nothing_was_right(shown, evaluation, browser, tmp_path, monkeypatch):
    evaluation = replace(evaluation, correct={arm: np.zeros_like(right) for arm, right in evaluation.correct.items()})
    shown.evaluation = lambda _: evaluation
    pasted = []
    monkeypatch.setattr("pretraining_gain.tell.book.paste.glue", lambda *_, **__: None)
    monkeypatch.setattr("pretraining_gain.tell.book.paste.display", pasted.append)
    paste_figure("figure_1", FIGURES["figure_1"].draw(shown), "gains", Provenance.of_study_file("mini", ""))
    watched = Watched(browser)
    page = watched.open(write_page(tmp_path, pasted[0]._repr_mimebundle_()[0]["text/html"]))
    page.locator(".gain-figure[data-drawn]").wait_for()
    ticks = page.locator(".ytick text").all_text_contents()
    assert len(ticks) > 1
    assert len(set(ticks)) == len(ticks)
    assert watched.complaints == []


def test_figure_6_draws_random_subsets_at_their_expected_animals(shown):
    random = next(trace for trace in FIGURES["figure_6"].draw(shown).data if trace.name == "random classes")
    assert list(random.x) == pytest.approx([1.2, 2.4, 3.6, 4.8, 6.0])


def test_curves_have_the_same_points_on_every_axis(shown, evaluation):
    """Each axis has an x for each y of each trace; a random subset's realised animals are those of its seeds."""
    drawn = FIGURES["figure_3"].draw(shown)
    axes = {button.label: button.args[0]["x"] for button in drawn.layout.updatemenus[0].buttons}
    assert list(axes) == ["classes", "images", "gradient steps", "expected animals", "realised animals"]
    for xs in axes.values():
        assert [len(x) for x in xs] == [len(trace.y) for trace in drawn.data]
    line = [trace.name for trace in drawn.data].index("random classes")
    runs = evaluation.runs[(evaluation.runs["arm"] == "random-k4")].sort_values("seed")
    assert axes["classes"][line] == list(drawn.data[line].x) == [2, 4, 6, 8]
    assert axes["expected animals"][line] == pytest.approx([1.2, 2.4, 3.6, 4.8])
    assert axes["realised animals"][line][1] == pytest.approx(runs["animal_classes"].mean())
    assert axes["realised animals"][line + 1][10:20] == runs["animal_classes"].tolist()
    assert axes["images"][line][1] == runs["pretrain_images"].mean()
    assert np.allclose(np.reshape(drawn.data[line + 1].y, (4, 10)).mean(axis=1), drawn.data[line].y)


def test_results_elsewhere_leave_the_committed_ones_to_be_read(results):
    """With PRETRAINING_GAIN_RESULTS set to an empty place, a study is read as it came with the project, until it is made there."""
    name, target = "mini_convnext", "caltech101_animals"
    assert results_of(name) == ROOT / "results" / name
    assert results_of("toy_of_mine") == results / "toy_of_mine"
    committed = load_evaluation(name, target).correct["scratch"]
    simulate_results(name)
    assert results_of(name) == results / name
    assert load_evaluation(name, target).correct["scratch"].shape != committed.shape


def test_the_readmes_figure_is_of_the_committed_results(results):
    """Also where the results folder has none of that study."""
    assert results_mark().encode() in (ROOT / "book" / "_static" / "figure-3.png").read_bytes()
