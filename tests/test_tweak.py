"""An analysis changed: in Python against the ledger and against sums done by hand."""

from __future__ import annotations

import base64
import json

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from refusal import assert_one_line

from pretraining_gain.errors import InputError
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.ledger import NOT_RUN, SUPPORTED, read_ledger
from pretraining_gain.tell.claims.single_changes import change_numbers, single_changes
from pretraining_gain.tell.claims.what_if import Settings, main, recompute
from pretraining_gain.tell.claims.what_if_data import facts, plain_verdicts, tweak_tables
from pretraining_gain.tell.results.evaluation import load_evaluation
from pretraining_gain.tell.statistics.bootstrap import bootstrap_means

ALL = [claim.id for claim in CLAIMS]


@pytest.mark.parametrize("claim", ALL)
def test_unchanged_it_gives_the_committed_ledger(claim):
    found = recompute(Settings(claim=claim)).verdict
    book = next(verdict for verdict in read_ledger("mini").verdicts if verdict.claim == claim)
    assert (found.verdict, found.rule, found.decisive) == (book.verdict, book.rule, book.decisive)
    for one, other in zip(found.tests, book.tests, strict=True):
        assert one.model_dump() == pytest.approx(other.model_dump(), abs=5.1e-7)


def test_species_and_seeds_that_are_left_out_are_out_of_the_sums():
    folder = ROOT / "results" / "mini"
    counts, runs = (pd.read_csv(folder / f"{name}.csv", keep_default_na=False) for name in ("class_counts", "runs"))
    counts = counts.merge(runs[["run_id", "downstream", "arm", "seed"]], on="run_id")
    classes = pd.read_csv(ROOT / "src/pretraining_gain/metadata/caltech101_animals.csv", keep_default_na=False)
    kept = classes.loc[~classes["supercategory"].isin(["Mammals", "Birds"]), "class_id"]
    counts = counts[(counts["downstream"] == "caltech101_animals") & counts["class_id"].isin(kept)]
    counts = counts[counts["seed"].isin([0, 2])]
    right = counts.groupby("arm")[["n_correct", "n_images"]].sum()
    top1 = right["n_correct"] / right["n_images"]
    found = recompute(Settings(claim="C6", without=["Mammals", "Birds"], seeds=[0, 2]))
    assert [test.what for test in found.verdict.tests] == ["non_animal-k4 − scratch", "random-k8 − scratch"]
    for test, arm in zip(found.verdict.tests, ["non_animal-k4", "random-k8"], strict=True):
        assert test.effect == pytest.approx(top1[arm] - top1["scratch"], abs=1e-12)
        assert (test.n_seeds, test.n_classes) == (2, len(kept)) and test.n_images == right.loc[arm, "n_images"] / 2
    assert found.bootstrap["mean"].tolist() == pytest.approx([test.effect for test in found.verdict.tests], abs=1e-12)
    for row in found.bootstrap.itertuples():
        assert row.low < row.mean < row.high


def test_margin_and_threshold_decide():
    assert recompute(Settings(claim="C8", margin=0.5)).verdict.verdict == SUPPORTED
    assert recompute(Settings(claim="C8", margin=0.001)).verdict.verdict != SUPPORTED
    tests = recompute(Settings(claim="C1", threshold=0.95)).verdict.tests
    assert tests[0].bound == 0.95 and tests[0].p_for > 0.5
    usual, wider = (recompute(Settings(claim="C8", margin=margin)).verdict.tests for margin in (None, 0.06))
    for one, other in zip(usual, wider, strict=True):
        assert one.p_for > other.p_for and (one.effect, one.low, one.high) == (other.effect, other.low, other.high)


def test_a_claim_about_groups_ends_where_there_is_one_group_left():
    birds = ["Arachnids", "Insects", "Mammals", "Mollusks", "Ray-finned Fishes", "Reptiles", "Animalia"]
    found = recompute(Settings(claim="C4", without=birds))
    assert found.verdict.verdict == NOT_RUN and found.verdict.tests == []
    assert found.bootstrap["group"].tolist() == ["Birds"]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"claim": "C99"}, ["claim 'C99' is unknown", "C14"]),
        ({"claim": "C1", "without": ["Dragons"]}, ["group 'Dragons' is unknown", "Mammals"]),
        ({"claim": "C1", "level": "genus"}, ["level", "supercategory"]),
        ({"claim": "C1", "seeds": [7]}, ["seed 7 is unknown", "0, 1, 2"]),
        ({"claim": "C1", "seeds": []}, ["seeds"]),
        ({"claim": "C1", "margin": 0.0}, ["margin"]),
        ({"claim": "C1", "draws": 10}, ["draws"]),
        ({"claim": "C10", "without": ["Mammals", "Birds", "Amphibians"]}, ["no species is left"]),
        ({"study": "paper"}, ["no results of study 'paper'"]),
    ],
)
def test_settings_that_are_not_accepted_are_one_line(given, parts, capsys):
    with pytest.raises(InputError) as caught:
        recompute(Settings(**given))
    assert_one_line(str(caught.value), *parts)


def test_the_command_prints_the_verdict_or_one_line(capsys):
    assert main(["--claim", "C8", "--margin", "0.5", "--draws", "100"]) == 0
    said = capsys.readouterr().out
    assert "supported: |random-k2 − non_animal-k2| < 0.5" in said or "supported: |random-k4" in said
    assert main(["--claim", "C8", "--without", "Dragons"]) == 1
    assert_one_line(capsys.readouterr().err, "tweak: group 'Dragons' is unknown")


def test_exact_sums_are_of_the_same_draws():
    evaluation = load_evaluation("mini", "caltech101_animals")
    values, classes = evaluation.difference("all-k10"), evaluation.classes
    for groups, by_classes in ((classes["supercategory"], True), (classes["supercategory"], False)):
        options = {"resample_classes": by_classes, "draws": 300}
        single, double = (
            bootstrap_means(values, evaluation.labels, groups, **options, exact=exact) for exact in (False, True)
        )
        for end in ("low", "high"):
            assert single[end].to_numpy() == pytest.approx(double[end].to_numpy(), abs=2e-5)
            assert (single[end] != double[end]).any()


@pytest.fixture(scope="module")
def tables():
    return tweak_tables("mini")


def test_what_is_published_is_every_image_of_every_run_and_small(tables):
    assert len(json.dumps(tables)) < 100_000
    for domain, name in (("out_of_domain", "caltech101_animals"), ("in_domain", "cifar10_animals")):
        evaluation, target = load_evaluation("mini", name), tables["targets"][domain]
        assert target["images"] == np.bincount(evaluation.labels).tolist()
        for key, texts in target["arms"].items():
            downstream, arm = key.split("/")
            for row, text in zip(load_evaluation("mini", downstream).correct[arm], texts, strict=True):
                bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=len(row))
                assert np.array_equal(bits, row)
    assert [claim["id"] for claim in tables["claims"]] == ALL
    for claim in tables["claims"]:
        arms = {arm for part in claim["parts"] for arm in part["weights"]}
        assert arms <= set(tables["targets"][claim["domain"]]["arms"])


def test_the_plain_table_states_the_books_verdicts(tables):
    plain = plain_verdicts(tables)
    book = read_ledger("mini")
    assert plain["verdict"].tolist() == [verdict.verdict for verdict in book.verdicts]
    test = book.verdicts[5].tests[book.verdicts[5].decisive]
    wanted = [100 * value for value in (test.effect, test.low, test.high)]
    assert plain.loc[5, ["effect", "from", "to"]].tolist() == pytest.approx(wanted, abs=1e-4)
    assert "seeds 0, 1, 2, margin 3 points" in facts(tables) and "python -m pretraining_gain.tell.claims.what_if" in facts(tables)


def test_single_changes_are_those_that_recomputing_finds():
    changes = single_changes("mini").set_index("change")
    assert len(changes) == 6 and changes["verdicts that change"].between(0, len(ALL)).all()
    for change, settings in (("margin doubled", {"margin": 0.06}), ("seed 1 left out", {"seeds": [0, 2]})):
        for claim in ALL:
            before, after = (recompute(Settings(claim=claim, draws=100, **one)).verdict.verdict for one in ({}, settings))
            assert (f"{claim}: " in changes.loc[change, "which"]) == (before != after)
    numbers = change_numbers(changes.reset_index())
    assert numbers["most_changed"] == changes["verdicts that change"].max() and numbers["n_changes"] == 6
