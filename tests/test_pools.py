"""Pools: seeded subsets, and that one new entry is enough for a new pool."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT, change_study, simulate_results

from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.pools import POOLS, Pool, sample_classes
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.playground.choices import Choice
from pretraining_gain.playground.controls import Controls
from pretraining_gain.tell.figures.subsets import subset_curves
from pretraining_gain.tell.results.evaluation import load_evaluation
from pretraining_gain.tell.results.gains import arm_accuracy
from pretraining_gain.tell.software.price import figure_runs

IMAGENET = load_class_table("imagenet1k")


@pytest.mark.parametrize(
    ("pool", "k", "subsets", "drawn"),
    [
        ("animal", 3, "nested", (10, 313, 377)),
        ("animal", 3, "independent", (35, 204, 317)),
        ("non_animal", 3, "nested", (492, 813, 907)),
        ("random", 4, "nested", (21, 111, 511, 960)),
        ("random", 4, "independent", (276, 709, 878, 887)),
    ],
)
def test_subsets_never_change(pool, k, subsets, drawn):
    """Draws of the first release: another draw would make results from before incomparable."""
    assert sample_classes(IMAGENET, pool, k, 1, subsets).class_ids == drawn


@pytest.mark.parametrize("pool", ["animal", "non_animal", "random"])
@pytest.mark.parametrize("k", [15, 150, 390])
def test_ten_seeds_of_balanced_draws_take_every_class_about_equally_often(pool, k):
    drawn = Counter(i for seed in range(100, 110) for i in sample_classes(IMAGENET, pool, k, seed, "balanced").class_ids)
    times = [drawn[i] for i in IMAGENET.loc[POOLS[pool].draws(IMAGENET), "class_id"]]
    assert max(times) - min(times) <= 1
    assert sum(times) == 10 * k
    larger = sample_classes(IMAGENET, pool, k + 5, 103, "balanced").class_ids
    assert set(sample_classes(IMAGENET, pool, k, 103, "balanced").class_ids) < set(larger)


@pytest.mark.parametrize("pool", ["animal", "non_animal", "random"])
def test_subsets_are_nested_sorted_and_seeded(pool):
    small, large = (sample_classes(IMAGENET, pool, k, seed=3).class_ids for k in (50, 200))
    assert set(small) < set(large)
    assert list(small) == sorted(small)
    assert small != sample_classes(IMAGENET, pool, 50, seed=4).class_ids


def test_half_of_the_animals_are_drawn_and_the_other_half_by_the_next_seed():
    one, other, third = (set(sample_classes(IMAGENET, "half_animal", 801, seed).class_ids) for seed in (4, 5, 6))
    assert len(one) == len(other) == 602 + 199
    assert one | other == set(range(1000))
    assert one & other == set(range(398, 1000))
    assert third not in (one, other)
    with pytest.raises(InputError, match="accepted: 801 to 801"):
        sample_classes(IMAGENET, "half_animal", 500, 0)


@pytest.mark.parametrize(("pool", "ids"), [("animal", range(398)), ("non_animal", range(398, 1000)), ("random", range(1000))])
def test_pools_of_imagenet(pool, ids):
    assert list(IMAGENET.loc[POOLS[pool].draws(IMAGENET), "class_id"]) == list(ids)


def test_random_draws_from_all_classes_about_evenly():
    animals = [sum(i < 398 for i in sample_classes(IMAGENET, "random", 100, seed).class_ids) for seed in range(50)]
    assert 37 < sum(animals) / 50 < 43  # expected 39.8, standard error about 0.66


def test_each_pool_has_a_random_stream_to_itself():
    assert len({pool.stream for pool in POOLS.values()}) == len(POOLS)


@pytest.fixture
def study_with_a_new_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Declare a pool of the classes with even ids, and copy the toy study with it as one of its arms."""
    even = Pool("even", "even classes", "#F0E442", "cross", 99, lambda table: table["class_id"] % 2 == 0, figures=("3", "4"))
    monkeypatch.setitem(POOLS, "even", even)
    path = tmp_path / "evens.yml"
    path.write_text((ROOT / "notebooks" / "studies" / "toy.yml").read_text())
    change_study(str(path), {"name: toy": "name: evens", "  random: [12]": "  random: [12]\n  even: [4]"})
    return str(path)


def test_a_new_pool_is_priced_with_its_classes(study_with_a_new_pool):
    assert {i % 2 for i in Run(study=study_with_a_new_pool, pool="even", k=4).subset.class_ids} == {0}
    figures = figure_runs(Plan.of(study_with_a_new_pool))
    assert "even" in {run.pool for run in figures["Figure 3"]}
    assert "even" not in {run.pool for run in figures["Figures 6 and B4"]}


def test_a_new_pool_is_drawn_in_figure_3_with_its_own_style(study_with_a_new_pool, results):
    simulate_results(study_with_a_new_pool)
    figure = subset_curves(arm_accuracy(load_evaluation(study_with_a_new_pool, "field")))
    [curve] = [trace for trace in figure.data if trace.name == "even classes"]
    assert (curve.line.color, curve.marker.symbol) == ("#F0E442", "cross")


def test_a_new_pool_is_offered_by_the_playground(study_with_a_new_pool):
    controls = Controls(Choice(study="toy"), on_change=lambda: None)
    assert ("even classes", "even") in controls.pool.options


def test_a_pool_that_is_not_declared_is_refused(study_with_a_new_pool, monkeypatch):
    monkeypatch.delitem(POOLS, "even")
    with pytest.raises(InputError, match="pool 'even' is unknown; accepted: animal, non_animal"):
        load_study(study_with_a_new_pool)
