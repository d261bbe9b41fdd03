"""The claims ledger: verdicts follow from results, and chapters from verdicts."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pandas as pd
import pytest
from conftest import simulate_results

from pretraining_gain.errors import InputError
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.claims.declarations import ARMS, CLAIMS, EQUAL, GREATER, Arm, Claim, Part, scaled_gaps
from pretraining_gain.tell.claims.evidence import Evidence, Outcome, outcome_of
from pretraining_gain.tell.claims.ledger import (
    CONTRADICTED,
    NOT_RUN,
    SUPPORTED,
    UNRESOLVED,
    Ledger,
    judge,
    ledger_path,
    read_ledger,
    schema,
    verdict_on,
)
from pretraining_gain.tell.claims.what_if import Settings, recompute
from pretraining_gain.tell.claims.what_if_data import what_if_tables
from pretraining_gain.tell.results.designs import assigned_effects, design_curves, freezing_by_domain
from pretraining_gain.tell.results.evaluation import View, load_evaluation
from pretraining_gain.tell.results.gains import arm_accuracy
from pretraining_gain.tell.software.costs import Costs
from pretraining_gain.tell.statistics import Estimate


def estimate(mean: float, se: float = 0.01) -> Estimate:
    return Estimate(mean, se, df=30, n_seeds=3, n_classes=10, n_images=500)


def found_by(part: Part, found: Estimate) -> Outcome:
    return outcome_of(part, found, np.zeros((3, 500)), np.zeros(500))


def greater(what: str, found: Estimate, bound: float = 0.0) -> Outcome:
    return found_by(Part(what, GREATER, ARMS, {}, bound), found)


def equal(what: str, found: Estimate, margin: float) -> Outcome:
    return found_by(Part(what, EQUAL, ARMS, {}, margin), found)


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([greater("a", estimate(0.05))], SUPPORTED),
        ([greater("a", estimate(-0.05))], CONTRADICTED),
        ([greater("a", estimate(0.01))], UNRESOLVED),
        ([greater("a", estimate(0.05), bound=0.05)], UNRESOLVED),
        ([equal("a", estimate(0.0), margin=0.03)], SUPPORTED),
        ([equal("a", estimate(0.0, se=0.05), margin=0.03)], UNRESOLVED),  # not significant is not equal
        ([equal("a", estimate(0.08), margin=0.03)], CONTRADICTED),
        ([equal("a", estimate(-0.08), margin=0.03)], CONTRADICTED),
        ([greater("a", estimate(0.05)), greater("b", estimate(0.01))], UNRESOLVED),
        ([greater("a", estimate(0.05)), greater("b", estimate(-0.05))], CONTRADICTED),
        ([greater(name, estimate(-0.019)) for name in "abcdef"], UNRESOLVED),  # p is 0.034 alone, not among six
        ([greater("a", estimate(-0.019))], CONTRADICTED),
        ([], NOT_RUN),
    ],
)
def test_a_verdict_follows_from_its_parts(parts, verdict):
    assert verdict_on(CLAIMS[0], parts).verdict == verdict


@pytest.fixture
def mini(mini_results) -> Evidence:
    return Evidence.load("mini")


def planted(evidence: Evidence, gains: dict[str, float], frozen_loss: float = 0.0) -> Evidence:
    """The same images and arms, but with these accuracies: 1/0 by the same uniform draws, so that arms are paired."""
    rng, planted = np.random.default_rng(0), {}
    target = evidence.out.downstream
    for name in (target.name, evidence.by_domain["in_domain"].downstream.name, evidence.study.finetuned_the_other_way(target).name):
        one = evidence.evaluations[name]
        draws = rng.random((3, len(one.labels))) + rng.normal(0, 0.002, (3, 1))
        loss = frozen_loss if one.downstream.name not in (target.name, evidence.by_domain["in_domain"].downstream.name) else 0.0
        correct = {arm: draws < 0.3 + gains.get(arm, 0.0) - loss for arm in one.correct if len(one.seeds_of[arm]) == 3}
        planted[name] = replace(one, correct=correct)
    return replace(evidence, evaluations=planted)


RISING = {"animal-k2": 0.10, "animal-k4": 0.18, "animal-k6": 0.24, "non_animal-k2": 0.05, "non_animal-k4": 0.1,
          "random-k2": 0.05, "random-k4": 0.1, "random-k6": 0.15, "random-k8": 0.2, "all-k10": 0.4}  # fmt: skip


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {claim.id: judge(claim, evidence).verdict for claim in CLAIMS}


def test_planted_truths_are_found_and_their_opposites_contradicted(mini):
    found = verdicts(planted(mini, RISING, frozen_loss=0.1))
    for claim in ("C1", "C5", "C6", "C7", "C8", "C13", "C14"):
        assert found[claim] == SUPPORTED, claim
    assert found["C9"] == CONTRADICTED  # animal-6 is planted far above non_animal-4
    assert found["C10"] == UNRESOLVED  # random is planted equal to non_animal
    falling = {arm: -gain / 2 for arm, gain in RISING.items()}
    found = verdicts(planted(mini, falling, frozen_loss=-0.1))
    for claim in ("C1", "C5", "C6", "C7", "C13", "C14"):
        assert found[claim] == CONTRADICTED, claim


def test_the_random_curve_is_read_at_its_expected_animals():
    gaps = scaled_gaps(load_study("mini"), "target")
    assert {k: {arm.name: weight for arm, weight in gap.items()} for k, gap in gaps.items()} == {
        2: {"random-k2": pytest.approx(1 / 3), "random-k4": pytest.approx(2 / 3), "animal-k2": -1.0},
        4: {"random-k6": pytest.approx(2 / 3), "random-k8": pytest.approx(1 / 3), "animal-k4": -1.0},
        6: {"all-k10": 1.0, "animal-k6": -1.0},
    }


def test_all_claims_are_asked_of_the_three_studies_and_the_ledger_fits_its_schema(mini):
    simulate_results("toy")
    for name, not_run in (("mini", set()), ("toy", set()), ("paper", {claim.id for claim in CLAIMS})):
        Ledger.of(View(study=name, draws=1), variances_from="mini").write()
        ledger = read_ledger(name)
        assert [verdict.claim for verdict in ledger.verdicts] == [f"C{i}" for i in range(1, 15)]
        assert {verdict.claim for verdict in ledger.verdicts if verdict.verdict == NOT_RUN} == not_run
        jsonschema.validate(json.loads(ledger_path(name).read_text()), json.loads(schema()))
    planned = {verdict.claim: verdict.detectable for verdict in ledger.verdicts}
    assert all(0 < planned[claim] < 0.5 for claim in ("C5", "C7", "C14"))
    assert planned["C3"] is None
    broken = json.loads(ledger_path("mini").read_text())
    broken["verdicts"][0]["verdict"] = "proven"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json.loads(schema()))


def test_a_ledger_that_cannot_be_read_is_named(results):
    with pytest.raises(InputError, match=r"claims ledger .*claims\.json cannot be read"):
        read_ledger("mini")
    ledger_path("mini").parent.mkdir(parents=True)
    ledger_path("mini").write_text('{"study": "mini"}')
    with pytest.raises(InputError, match=r"claims\.json cannot be read: .*verdicts"):
        read_ledger("mini")


def test_designs_have_their_curves_beside_the_papers(mini):
    curves = design_curves(mini.out, "mini", arm_accuracy(mini.out, draws=50))
    assert set(curves["panel"]) == {"matched_images", "matched_steps"}
    images = curves[curves["panel"] == "matched_images"].set_index(["way", "pool", "k"])
    assert len(images) == 2 * 4
    assert images["mean"].between(0, 1).all()
    assert len(freezing_by_domain("mini", [mini.out, mini.by_domain["in_domain"]])) == 2 * 2 * 2


def test_representation_by_chance_is_each_species_against_itself(mini):
    """Plant what a source class brings: species are right always when theirs is in the source, in every second image if not."""
    one = load_evaluation("mini", "cifar10_animals")
    arm, table = "half_animal-k7", one.classes
    keys = load_class_table("cifar10")["key"]
    correct = np.tile(np.arange(len(one.labels)) % 2 == 0, (4, 1))
    for row, seed in enumerate(one.seeds_of[arm]):
        held = set(keys[list(Run(study="mini", pool="half_animal", k=7, seed=seed).subset.class_ids)])
        correct[row] |= table["represented_by"].isin(held).loc[one.labels].to_numpy()
    [(species, effect)] = assigned_effects([replace(one, correct=one.correct | {arm: correct})]).values()
    assert (effect.mean, effect.n_classes, effect.n_seeds) == (pytest.approx(0.5), 6, 2)
    assert species["mean"].tolist() == pytest.approx([0.5] * 6)
    assert pd.Series(species["name"]).is_unique


def test_the_arms_that_a_claim_declares_are_all_that_its_tests_read(mini):
    for claim in CLAIMS:
        arms = claim.arms(mini.study)
        only = {}
        for name, one in mini.evaluations.items():
            correct = {arm: values for arm, values in one.correct.items() if Arm(name, arm) in arms}
            only[name] = replace(one, correct=correct)
        assert judge(claim, replace(mini, evaluations=only)) == judge(claim, mini), claim.id


@pytest.fixture
def added():
    def few_animals_help(study, target):
        yield Part("two animals − scratch", GREATER, ARMS, {Arm(target, "animal-k2"): 1.0, Arm(target, "scratch"): -1.0})

    claim = Claim("C99", "Few animal classes help.", "3", "figure_3", "difference in top-1", few_animals_help)
    CLAIMS.append(claim)
    yield claim
    CLAIMS.remove(claim)


def test_ledger_page_and_price_follow_from_the_one_entry_of_a_claim(mini, added):
    Ledger.of(View(study="mini", draws=1)).write()
    [test] = read_ledger("mini").verdicts[-1].tests
    assert test.what == "two animals − scratch"
    [part] = what_if_tables("mini")["claims"][-1]["parts"]
    assert part["weights"] == {"caltech101_animals/animal-k2": 1.0, "caltech101_animals/scratch": -1.0}
    assert Costs.from_parameters({"study": "mini"}).by_claim().at["C99", "runs"] == 9
    assert recompute(Settings(study="mini", claim="C99")).verdict.tests[0].effect == pytest.approx(test.effect, abs=1e-6)
