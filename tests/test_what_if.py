"""A claim tested again with other settings, in Python: against the ledger and against sums done by hand."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from refusal import assert_one_line

from pretraining_gain.errors import InputError
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.claims.ledger import NOT_TESTABLE, SUPPORTED, UNRESOLVED, read_ledger
from pretraining_gain.tell.claims.what_if import Settings, change_numbers, main, recompute, single_changes
from pretraining_gain.tell.claims.what_if_data import facts, plain_verdicts, what_if_tables
from pretraining_gain.tell.results.evaluation import load_evaluation

ALL = [claim.id for claim in CLAIMS]


@pytest.fixture(scope="module", autouse=True)
def read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evidence, "load", cache(Evidence.load))
        yield


@pytest.mark.parametrize("claim", ALL)
def test_unchanged_settings_give_the_committed_ledger(claim):
    found = recompute(Settings(study="mini", claim=claim)).verdict.model_dump()
    [book] = [verdict.model_dump() for verdict in read_ledger("mini").verdicts if verdict.claim == claim]
    for one, other in zip(found.pop("tests"), book.pop("tests"), strict=True):
        assert one == {name: pytest.approx(value, abs=1e-6) if isinstance(value, float) else value for name, value in other.items()}
    assert found.pop("detectable") == pytest.approx(book.pop("detectable"), abs=1e-6)
    assert found == book


def test_species_and_seeds_that_are_left_out_are_out_of_the_sums():
    folder = ROOT / "results" / "mini"
    counts, runs = (pd.read_csv(folder / f"{name}.csv", keep_default_na=False) for name in ("class_counts", "runs"))
    counts = counts.merge(runs[["run_id", "downstream", "arm", "seed"]], on="run_id")
    classes = pd.read_csv(ROOT / "src/pretraining_gain/metadata/caltech101_animals.csv", keep_default_na=False)
    kept = classes.loc[~classes["supercategory"].isin(["Mammals", "Birds"]), "class_id"]
    counts = counts[(counts["downstream"] == "caltech101_animals") & counts["class_id"].isin(kept)]
    right = counts[counts["seed"].isin([500, 502])].groupby("arm")[["n_correct", "n_images"]].sum()
    top1 = right["n_correct"] / right["n_images"]
    tests = recompute(Settings(study="mini", claim="C6", without=["Mammals", "Birds"], seeds=[500, 502])).verdict.tests
    assert [test.what for test in tests] == ["non_animal-k4 − scratch", "random-k8 − scratch"]
    for test, arm in zip(tests, ["non_animal-k4", "random-k8"], strict=True):
        assert test.effect == pytest.approx(top1[arm] - top1["scratch"], abs=1e-12)
        assert (test.n_seeds, test.n_classes, test.n_images) == (2, len(kept), right.loc[arm, "n_images"] / 2)


def test_a_wide_margin_makes_equal_and_a_narrow_one_does_not():
    verdicts = [recompute(Settings(study="mini", claim="C8", margin=margin)).verdict.verdict for margin in (0.5, 0.001)]
    assert verdicts[0] == SUPPORTED
    assert verdicts[1] != SUPPORTED


def test_a_threshold_replaces_the_bound_of_greater():
    [test] = recompute(Settings(study="mini", claim="C1", threshold=0.95)).verdict.tests
    assert test.bound == 0.95
    assert test.p_for > 0.5


def test_groups_of_species_have_their_gains():
    evaluation = load_evaluation("mini", "caltech101_animals")
    groups = recompute(Settings(study="mini", claim="C4")).groups.set_index("group")
    mammals = np.isin(evaluation.labels, evaluation.species.index[evaluation.species["supercategory"] == "Mammals"])
    top1 = {arm: evaluation.correct[arm][:, mammals].mean() for arm in ("all-k10", "scratch")}
    assert groups.at["Mammals", "mean"] == pytest.approx(top1["all-k10"] - top1["scratch"])
    assert (groups["low"] < groups["mean"]).all()
    assert (groups["mean"] < groups["high"]).all()


def test_a_claim_about_groups_ends_where_one_group_is_left():
    others = ["Arachnids", "Insects", "Mammals", "Mollusks", "Ray-finned Fishes", "Reptiles", "Animalia"]
    found = recompute(Settings(study="mini", claim="C4", without=others))
    assert (found.verdict.verdict, found.verdict.tests) == (NOT_TESTABLE, [])
    assert found.groups["group"].tolist() == ["Birds"]


def test_a_claim_with_a_part_that_no_species_can_test_is_not_supported():
    given = {"study": "mini", "claim": "C4", "margin": 0.5}
    assert recompute(Settings(**given)).verdict.verdict == SUPPORTED
    left = recompute(Settings(**given, without=["Mammals"])).verdict  # the claim says that these are not favoured
    assert (left.verdict, len(left.tests)) == (UNRESOLVED, 1)
    assert left.rule.endswith("; but 1 of 2 parts cannot be tested")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"claim": "C99"}, ["claim 'C99' is unknown", "C14"]),
        ({"without": ["Dragons"]}, ["group 'Dragons' is unknown", "Mammals"]),
        ({"level": "genus"}, ["level", "supercategory"]),
        ({"seeds": [7]}, ["seed 7 is unknown", "500, 501, 502"]),
        ({"seeds": []}, ["seeds"]),
        ({"margin": 0.0}, ["margin"]),
        ({"claim": "C10", "without": ["Mammals", "Birds", "Amphibians"]}, ["no species is left"]),
        ({"study": "paper"}, ["no results of study 'paper'"]),
    ],
)
def test_settings_that_are_not_accepted_are_one_line(given, parts):
    with pytest.raises(InputError) as caught:
        recompute(Settings(**{"study": "mini", "claim": "C1"} | given))
    assert_one_line(str(caught.value), *parts)


def test_the_command_prints_the_verdict(capsys):
    assert main(["--study", "mini", "--claim", "C8", "--margin", "0.5"]) == 0
    assert "supported: |random-k" in capsys.readouterr().out


def test_the_command_refuses_in_one_line(capsys):
    assert main(["--study", "mini", "--claim", "C8", "--without", "Dragons"]) == 1
    assert_one_line(capsys.readouterr().err, "what_if: group 'Dragons' is unknown")


@pytest.fixture(scope="module")
def tables():
    return what_if_tables("mini")


@pytest.mark.parametrize("target", ["caltech101_animals", "cifar10_animals"])
def test_every_image_of_every_run_is_published(tables, target):
    for downstream, arms in tables["targets"][target]["arms"].items():
        evaluation = load_evaluation("mini", downstream)
        assert {arm: list(one) for arm, one in arms.items()} == evaluation.seeds_of
        for arm, one in arms.items():
            for row, text in zip(evaluation.correct[arm], one.values(), strict=True):
                bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=len(row))
                assert np.array_equal(bits, row)
        assert tables["targets"][target]["images"] == np.bincount(evaluation.labels).tolist()


def test_the_plain_table_states_the_books_verdicts(tables):
    plain, book = plain_verdicts(tables), [verdict for verdict in read_ledger("mini").verdicts if verdict.tests]
    assert plain["verdict"].tolist() == [verdict.verdict for verdict in book]
    for row, verdict in zip(plain.to_dict("records"), book, strict=True):
        test = verdict.tests[verdict.decisive]
        wanted = [100 * value for value in (test.effect, test.low, test.high)]
        assert [row[name] for name in ("effect", "from", "to")] == pytest.approx(wanted, abs=1e-4)
    claim = tables["claims"][0]
    none = {"effect": 0.0, "low": 0.0, "detectable": None}
    changed = [one | none for one in claim["book"]["tests"]]
    [row] = plain_verdicts({"claims": [claim | {"book": claim["book"] | {"tests": changed}}]}).to_dict("records")
    assert (row["effect"], row["from"]) == (0, 0)
    assert np.isnan(row["detectable"])
    assert "seeds 500–509, margin 2.7 points on Caltech-101 animals" in facts(tables)


def test_single_changes_are_those_that_recomputing_finds():
    changes = single_changes("mini").set_index("change")
    book = {one.claim: one.verdict for one in read_ledger("mini").verdicts}
    for claim in ALL:
        asked = {"study": "mini", "claim": claim}
        after = recompute(Settings(**asked, seeds=[500, *range(502, 510)])).verdict.verdict
        assert (f"{claim}: " in changes.loc["seed 501 left out", "which"]) == (after != book[claim])
    number = changes["verdicts that change"]
    wanted = {"changed_by_margin": number[["margin halved", "margin doubled"]].max()}
    wanted["changed_by_omission"] = number.drop(["margin halved", "margin doubled"]).max()
    assert change_numbers(changes.reset_index()) == wanted


def test_a_claim_has_the_seeds_that_all_its_targets_have(monkeypatch):
    """A target that trains with a frozen backbone has two of the ten seeds; without one of these, one is left."""
    evidence = Evidence.load("mini")
    frozen = evidence.evaluations["caltech101_animals_frozen"]
    fewer = {arm: rows[:2] for arm, rows in frozen.correct.items()}
    frozen = replace(frozen, correct=fewer, seeds_of={arm: seeds[:2] for arm, seeds in frozen.seeds_of.items()})
    evaluations = {**evidence.evaluations, "caltech101_animals_frozen": frozen}
    monkeypatch.setattr(Evidence, "load", lambda study: replace(evidence, evaluations=evaluations))
    seeds = {one["id"]: one["seeds"] for one in what_if_tables("mini")["claims"]}
    assert (seeds["C14"], seeds["C6"]) == ([500, 501], [*range(500, 510)])
    with pytest.raises(InputError, match="seed 502 is unknown; accepted: 500, 501"):
        recompute(Settings(study="mini", claim="C14", seeds=[500, 502]))
    assert recompute(Settings(study="mini", claim="C14", seeds=[501])).verdict.tests[0].n_seeds == 1
    assert "seed 502 left out" in single_changes("mini")["change"].tolist()
