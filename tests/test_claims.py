"""The claims ledger: verdicts follow from results, and chapters from verdicts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial

import jsonschema
import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import MAIN, ROOT, keep_results_in, simulate_results, simulated
from statsmodels.stats.multitest import multipletests

from pretraining_gain.errors import InputError
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell import statistics
from pretraining_gain.tell.book.rerun import parameters_of
from pretraining_gain.tell.claims.book import book_settings
from pretraining_gain.tell.claims.declarations import CLAIMS, Claim, claim_named
from pretraining_gain.tell.claims.evidence import Evidence, Outcome, evaluate, margin_of, outcome_of, species_of
from pretraining_gain.tell.claims.ledger import (
    Ledger,
    judge,
    ledger_path,
    ledger_paths,
    read_ledger,
    schema,
    unanswered,
    verdict_on,
)
from pretraining_gain.tell.claims.parts import (
    ARMS,
    CONTRADICTED,
    EQUAL,
    GREATER,
    NO_DIFFERENCE,
    NOT_RUN,
    NOT_TESTABLE,
    SHARE,
    SUPPORTED,
    UNRESOLVED,
    Arm,
    Part,
    scaled_gaps,
)
from pretraining_gain.tell.claims.planned import (
    ALONE,
    NAMED,
    margin_numbers,
    margins_by_representation,
    planned_detectable,
)
from pretraining_gain.tell.claims.what_if import Settings, recompute
from pretraining_gain.tell.claims.what_if_data import what_if_tables
from pretraining_gain.tell.figures.sight import figure_sight
from pretraining_gain.tell.results.designs import (
    assigned_effects,
    design_curves,
    finetuned_both_ways,
    freezing_by_domain,
)
from pretraining_gain.tell.results.evaluation import View, load_evaluation
from pretraining_gain.tell.results.gains import arm_accuracy
from pretraining_gain.tell.software.costs import Costs
from pretraining_gain.tell.statistics import Estimate


def estimate(mean: float, se: float = 0.01) -> Estimate:
    return Estimate(mean, se, df=30, n_seeds=3, n_classes=10, n_images=500)


def greater(what: str, found: Estimate, bound: float = 0.0) -> Outcome:
    return outcome_of(Part(what, GREATER, ARMS, {}, bound), found, 0.03)


def equal(what: str, found: Estimate, margin: float) -> Outcome:
    return outcome_of(Part(what, EQUAL, ARMS, {}, margin), found, margin)


def test_no_difference_between_species_that_gain_and_others_is_one_half():
    of_half = outcome_of(Part("share", GREATER, SHARE, {}, 0.5), estimate(0.5), 0.03)
    assert of_half.p_different == pytest.approx(1)
    assert outcome_of(Part("share", GREATER, SHARE, {}, 0.5), estimate(0.6), 0.03).p_different < 1e-6


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([greater("a", estimate(0.05))], SUPPORTED),
        ([greater("a", estimate(-0.05))], CONTRADICTED),
        ([greater("a", estimate(0.01, se=0.03))], UNRESOLVED),
        ([greater("a", estimate(0.05), bound=0.05)], UNRESOLVED),
        ([equal("a", estimate(0.0), margin=0.03)], SUPPORTED),
        ([equal("a", estimate(0.0, se=0.05), margin=0.03)], UNRESOLVED),  # not significant is not equal
        ([equal("a", estimate(0.08), margin=0.03)], CONTRADICTED),
        ([equal("a", estimate(-0.08), margin=0.03)], CONTRADICTED),
        ([greater("a", estimate(0.05)), greater("b", estimate(0.01, se=0.03))], UNRESOLVED),
        ([greater("a", estimate(0.05)), greater("b", estimate(-0.05))], CONTRADICTED),
        ([greater(name, estimate(-0.019)) for name in "abcdef"], UNRESOLVED),  # p is 0.034 alone, not among six
        ([greater("a", estimate(-0.019))], CONTRADICTED),
        ([greater("a", estimate(0.012, se=0.005))], NO_DIFFERENCE),  # clear, and smaller than the margin
        ([greater("a", estimate(-0.012, se=0.005))], NO_DIFFERENCE),
        ([greater("a", estimate(0.05)), greater("b", estimate(0.0, se=0.005))], NO_DIFFERENCE),
        ([greater("a", estimate(-0.05)), greater("b", estimate(0.0, se=0.005))], CONTRADICTED),
        ([greater("a", estimate(0.02)), greater("b", estimate(0.0, se=0.005))], NO_DIFFERENCE),
        ([greater("a", estimate(0.01, se=0.03)), greater("b", estimate(0.0, se=0.005))], UNRESOLVED),
        ([greater("a", estimate(0.018, se=0.006))], NO_DIFFERENCE),
        ([greater(name, estimate(0.018, se=0.006)) for name in "abcdef"], SUPPORTED),  # not so among six
        ([], NOT_TESTABLE),
    ],
)
def test_a_verdict_follows_from_its_parts(parts, verdict):
    assert verdict_on(CLAIMS[0], load_study("mini"), parts).verdict == verdict


def test_a_p_value_that_is_far_out_is_not_stated():
    [part] = [greater("a", estimate(0.5))]
    assert verdict_on(CLAIMS[0], load_study("mini"), [part]).rule == "a > 0 (p < 0.0001)"


@pytest.fixture(scope="module")
def mini() -> Evidence:
    """Simulated results of `mini`, for tests that need no files of them."""
    with pytest.MonkeyPatch.context() as patch:
        keep_results_in(simulated("mini"), patch)
        return Evidence.load("mini")


def planted(evidence: Evidence, gains: dict[str, float], frozen_loss: float = 0.0) -> Evidence:
    """The same images and arms, but with these accuracies: 1/0 by the same evenly spread draws, so that arms are paired."""
    rng, planted = np.random.default_rng(0), {}
    target, inside = (evidence.target(domain).downstream for domain in ("out_of_domain", "in_domain"))
    for name in (target.name, inside.name, evidence.study.finetuned_the_other_way(target).name):
        one = evidence.evaluations[name]
        even = (np.arange(len(one.labels)) + 0.5) / len(one.labels)
        runs = len(evidence.study.seeds)
        draws = rng.permuted(np.tile(even, (runs, 1)), axis=1) + rng.normal(0, 0.002, (runs, 1))
        loss = frozen_loss if name not in (target.name, inside.name) else 0.0
        correct = {arm: draws < 0.3 + gains.get(arm, 0.0) - loss for arm in ("scratch", *RISING) if arm in one.correct}
        planted[name] = replace(one, correct=correct)
    return replace(evidence, evaluations=planted, margins=dict.fromkeys(planted, 0.03))


RISING = {"animal-k2": 0.10, "animal-k4": 0.18, "animal-k6": 0.24, "non_animal-k2": 0.05, "non_animal-k4": 0.1,
          "random-k2": 0.05, "random-k4": 0.1, "random-k6": 0.15, "random-k8": 0.2, "all-k10": 0.4}  # fmt: skip


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {claim.id: judge(claim, evidence).verdict for claim in CLAIMS}


def test_planted_truths_are_found_and_their_opposites_contradicted(mini):
    found = verdicts(planted(mini, RISING, frozen_loss=0.1))
    true = ("C1", "C5", "C6", "C7", "C8", "C13", "C14", "C15", "C16")
    assert {claim: found[claim] for claim in true} == dict.fromkeys(true, SUPPORTED)
    assert found["C10"] == NO_DIFFERENCE  # random is planted equal to non_animal
    assert found["C17"] == CONTRADICTED  # the smallest sets are planted five points above scratch
    assert found["C2"] == found["C3"] == NOT_TESTABLE  # most families have one species
    assert found["C9"] == NOT_TESTABLE  # CIFAR-10 has more animals than others
    found = verdicts(planted(mini, {arm: -gain / 2 for arm, gain in RISING.items()}, frozen_loss=-0.1))
    false = ("C1", "C5", "C6", "C7", "C13", "C14", "C15", "C16")
    assert {claim: found[claim] for claim in false} == dict.fromkeys(false, CONTRADICTED)


def test_the_margin_is_a_share_of_the_gain_of_all_classes(mini):
    answers = mini.target("out_of_domain").correct
    gain = answers["all-k10"].mean() - answers["scratch"].mean()
    assert mini.margins["caltech101_animals"] == pytest.approx(0.25 * gain)
    absolute = mini.target("out_of_domain").study.model_copy(update={"margin_share": None, "margin": 0.02})
    assert margin_of(replace(mini.target("out_of_domain"), study=absolute)) == 0.02


@pytest.mark.parametrize(
    ("change", "verdicts"),
    [
        ({"downstreams": ["caltech101_animals"]}, {"C10": NOT_TESTABLE, "C12": NOT_TESTABLE, "C14": NOT_RUN, "C8": NOT_TESTABLE}),
        ({"arms": {"all": [10]}}, {"C7": NOT_RUN, "C13": NOT_RUN, "C17": NOT_RUN, "C11": NOT_RUN}),
    ],
)
def test_a_claim_that_a_study_lacks_arms_or_targets_for_is_no_error(change, verdicts):
    study = load_study("mini")
    if "downstreams" in change:
        change = {"downstreams": [one for one in study.downstreams if one.name in change["downstreams"]]}
    study = study.model_copy(update=change)
    assert {claim: unanswered(claim_named(claim), study)[0] for claim in verdicts} == verdicts


def test_claims_that_one_test_decides_are_counted_once(mini, mini_results):
    numbers = Ledger.of(View(study="mini")).numbers()
    verdicts = [judge(claim, mini) for claim in CLAIMS]
    for words in ("supported", "contradicted", "not resolvable"):
        deciding = {(one.tests[one.decisive].target, one.tests[one.decisive].what) for one in verdicts if one.verdict == words}
        assert int(numbers[f"n_{words.replace(' ', '_')}"]) == len(deciding)


def test_a_claim_that_holds_by_less_than_the_margin_is_not_supported_after_the_correction():
    ledger = read_ledger(MAIN)
    tested = [one for one in ledger.verdicts if one.decisive is not None]
    passed = multipletests([one.tests[one.decisive].p_for for one in tested], method="holm")[0]
    still = [one.claim for one, holds in zip(tested, passed, strict=True) if holds and one.verdict == "supported"]
    assert int(ledger.numbers()["n_supported_across"]) == len(still) < sum(passed)


def test_two_claims_that_one_test_supports_are_one_after_the_correction_too():
    ledger = read_ledger(MAIN)
    again = next(one for one in ledger.verdicts if one.verdict == "supported").model_copy(update={"claim": "C99"})
    doubled = ledger.model_copy(update={"verdicts": [*ledger.verdicts, again]})
    names = ("n_supported", "n_supported_across")
    assert [doubled.numbers()[name] for name in names] == [ledger.numbers()[name] for name in names]


def test_the_correction_over_claims_takes_each_claims_least_clear_part():
    ledger = read_ledger(MAIN)
    one = next(verdict for verdict in ledger.verdicts if verdict.verdict == "supported" and len(verdict.tests) == 1)
    just = one.model_copy(update={"tests": [one.tests[0].model_copy(update={"p_for": 0.03})]})
    parts = [one.tests[0].model_copy(update={"what": f"part with p = {p}", "p_for": p}) for p in (1e-4, 0.9)]
    other = one.model_copy(update={"claim": "C99", "verdict": "no relevant difference", "tests": parts, "decisive": 0})
    both = ledger.model_copy(update={"verdicts": [just, other]})  # Holm's: 0.03 times two, as the other's is 0.9
    assert both.numbers()["n_supported_across"] == "0"


def test_the_random_curve_is_read_at_its_expected_animals():
    gaps = scaled_gaps(load_study("mini"), "field")
    assert {k: {arm.name: weight for arm, weight in gap.items()} for k, gap in gaps.items()} == {
        2: {"random-k2": pytest.approx(1 / 3), "random-k4": pytest.approx(2 / 3), "animal-k2": -1.0},
        4: {"random-k6": pytest.approx(2 / 3), "random-k8": pytest.approx(1 / 3), "animal-k4": -1.0},
        6: {"all-k10": 1.0, "animal-k6": -1.0},
    }


def test_all_claims_are_asked_of_the_three_studies_and_the_ledger_fits_its_schema(own_mini_results):
    simulate_results("toy")
    for name in ("mini", "toy", "paper"):
        Ledger.of(View(study=name), "mini").write()
        ledger = read_ledger(name)
        assert [verdict.claim for verdict in ledger.verdicts] == [claim.id for claim in CLAIMS]
        assert (NOT_RUN in {verdict.verdict for verdict in ledger.verdicts}) == (name == "paper")
        jsonschema.validate(json.loads(ledger_path(name).read_text()), json.loads(schema()))
    planned = {verdict.claim: verdict.detectable for verdict in ledger.verdicts}
    assert [0 < planned[claim] < 0.5 for claim in ("C1", "C2", "C4", "C5", "C7", "C14")] == [True] * 6
    broken = json.loads(ledger_path("mini").read_text())
    broken["verdicts"][0]["verdict"] = "proven"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json.loads(schema()))


def test_one_seed_states_no_spread_of_runs(results, small_study):
    simulate_results(small_study)
    ledger = Ledger.of(View(study=small_study))
    assert ledger.runs == {}
    assert not [name for name in ledger.numbers() if "run_sd" in name]


def test_a_ledger_comes_along_with_the_results_that_it_is_of(own_mini_results):
    """Elsewhere than beside results of one's own, the committed ones are read, of tables and ledgers alike."""
    with pytest.raises(InputError, match=r"claims ledger .*claims\.json cannot be read"):
        read_ledger("mini")  # it is of other results
    shutil.rmtree(own_mini_results)
    committed = ROOT / "results" / "mini" / "claims.json"
    assert ledger_path("mini") == ledger_paths()["mini"] == committed


def test_other_settings_than_the_books_do_not_replace_its_ledger(own_mini_results):
    notebook = ROOT / "notebooks" / "13_claims.ipynb"
    assert {one.name: one.default for one in parameters_of(notebook, {}) if one.name != "study"} == book_settings()
    assert "ledger.publish(globals(), book_settings())" in nbformat.read(notebook, 4).cells[2].source
    given = {"study": "mini"} | book_settings()
    assert Ledger.from_parameters(given).publish(given, book_settings()) == "wrote claims.json"
    path = own_mini_results / "mini" / "claims.json"
    path.write_text(before := path.read_text() + " ")
    for name, value in {"vote_cut": 0.5, "well_represented": 30, "variances_from": "toy"}.items():
        other = given | {name: value}
        said = Ledger.from_parameters(other).publish(other, book_settings())
        assert said.startswith(f"claims.json not written: it has {{{name!r}: {value!r}}}; accepted for the book: ")
    assert path.read_text() == before


def test_designs_have_their_curves_beside_the_papers(mini, mini_results):
    out, inside = mini.target("out_of_domain"), mini.target("in_domain")
    curves = design_curves(out, "mini", arm_accuracy(out))
    assert set(curves["panel"]) == {"matched_images", "matched_steps"}
    images = curves[curves["panel"] == "matched_images"].set_index(["way", "pool", "k"])
    assert len(images) == 2 * 4
    assert images["mean"].between(0, 1).all()
    assert len(freezing_by_domain(finetuned_both_ways([out, inside], partial(load_evaluation, "mini")))) == 2 * 2 * 2


def test_representation_by_chance_is_each_species_against_itself(mini_results):
    """Plant what a source class brings: species are right always when theirs is in the source, in every second image if not."""
    one = load_evaluation("mini", "cifar10_animals")
    arm, table = "half_animal-k7", one.classes
    keys = load_class_table("cifar10")["key"]
    correct = np.tile(np.arange(len(one.labels)) % 2 == 0, (10, 1))
    for row, seed in enumerate(one.seeds_of[arm]):
        held = set(keys[list(Run(study="mini", pool="half_animal", k=7, seed=seed).subset.class_ids)])
        correct[row] |= table["represented_by"].isin(held).loc[one.labels].to_numpy()
    [(species, effect)] = assigned_effects([replace(one, correct=one.correct | {arm: correct})]).values()
    assert (effect.mean, effect.n_classes, effect.n_seeds) == (pytest.approx(0.5), 6, 5)
    assert species["mean"].tolist() == pytest.approx([0.5] * 6)
    assert (species["mean"] - species["low"]).tolist() == pytest.approx((species["high"] - species["mean"]).tolist())
    assert pd.Series(species["name"]).is_unique
    another = load_evaluation("mini", "cifar10_animals_full")  # of the same domain: the first counts
    decided = replace(one, correct=one.correct | {arm: correct})
    assert assigned_effects([replace(another, correct={}, runs=another.runs[:0]), decided, another])["in domain"][1] == effect


def test_species_of_no_stated_family_are_not_compared_within_families(mini):
    [part] = CLAIMS[1].parts(mini.study)
    target = mini.evaluations[part.downstream]
    unstated = target.species.index[:2]
    relabelled = target.species.assign(family=target.species["family"].mask(target.species.index.isin(unstated), NOT_STATED))
    assert set(target.species.index) - set(species_of(part, replace(target, relabelled=relabelled)).index) == set(unstated)


@pytest.fixture
def added():
    def few_animals_help(study, target):
        yield Part("two animals − scratch", GREATER, ARMS, {Arm(target, "animal-k2"): 1.0, Arm(target, "scratch"): -1.0})

    claim = Claim("C99", "Few animal classes help.", "3", "figure_3", "difference in top-1", few_animals_help)
    CLAIMS.append(claim)
    yield claim
    CLAIMS.remove(claim)


def test_ledger_page_and_price_follow_from_the_one_entry_of_a_claim(own_mini_results, added):
    Ledger.of(View(study="mini")).write()
    [test] = read_ledger("mini").verdicts[-1].tests
    assert test.what == "two animals − scratch"
    [part] = what_if_tables("mini")["claims"][-1]["parts"]
    assert (part["downstream"], part["weights"]) == ("caltech101_animals", {"animal-k2": 1.0, "scratch": -1.0})
    assert Costs.from_parameters({"study": "mini"}).by_claim().at["C99", "runs"] == 30
    assert recompute(Settings(study="mini", claim="C99")).verdict.tests[0].effect == pytest.approx(test.effect, abs=1e-6)


def one_image_of_each(evidence: Evidence) -> Evidence:
    few = {}
    for name, one in evidence.evaluations.items():
        labels, first = np.unique(one.labels, return_index=True)
        correct = {arm: right[:, first] for arm, right in one.correct.items()}
        few[name] = replace(one, labels=labels, image_ids=one.image_ids[first], correct=correct)
    return replace(evidence, evaluations=few)


def without_groups(evidence: Evidence) -> Evidence:
    unstated = dict.fromkeys(("supercategory", "family", "representation"), NOT_STATED)
    return replace(evidence, evaluations={
        name: replace(one, relabelled=one.species.assign(**unstated)) for name, one in evidence.evaluations.items()
    })  # fmt: skip


@pytest.mark.parametrize(("measured", "unknown"), [(one_image_of_each, ["C2", "C4", "C5"]), (without_groups, ["C2", "C4"])])
def test_variances_that_results_do_not_tell_leave_what_a_design_resolves_unknown(mini, monkeypatch, measured, unknown):
    evidence, study = measured(mini), load_study("paper")
    known = [claim.id for claim in CLAIMS if planned_detectable(claim, study, evidence) is not None]
    assert "C1" in known
    assert not set(unknown) & set(known)
    monkeypatch.setattr(Evidence, "if_run", lambda _: evidence)
    assert margin_numbers(margins_by_representation("paper", "mini"), "paper") == {}


@pytest.mark.slow
@pytest.mark.parametrize("claim", ["C3", "C4"])
def test_a_planned_spread_of_groups_meets_the_margin_that_the_results_do(claim):
    evidence = Evidence.load(MAIN)
    part = claim_named(claim).parts(evidence.study)[0]
    answers, weights = evidence.answers(part)
    groups = species_of(part, evidence.evaluations[part.downstream])[part.column]
    met = statistics.group_spread(answers, weights, groups, 0.03).smallest_margin
    parts, images = statistics.components(answers, weights), len(answers.labels) / len(groups)
    n_seeds, n_groups = answers.n_seeds(weights), groups.nunique()
    assert statistics.smallest_spread(parts, n_seeds, n_groups, len(groups), images) == pytest.approx(met, rel=0.1)
    assert statistics.smallest_spread(parts, n_seeds, n_groups, 4 * len(groups), images) < met / 1.9


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"effect": 0.03, "detectable": 0.02}, "about 4 times as many seeds and evaluation images, if the effect is as estimated"),
        ({"effect": -0.03, "detectable": 0.02}, "about 4 times as many seeds and evaluation images, if the effect is as estimated"),
        ({"detectable": 0.06}, "about 9 times as many seeds and evaluation images, if there is no difference"),
        ({"kind": "spread", "detectable": 0.04}, "about 4 times as many species in each group, if there is no difference"),
        ({"kind": "share", "test": "greater", "bound": 0.5, "effect": 0.6, "detectable": 0.2},
         "about 4 times as many species, if the effect is as estimated"),
        ({"effect": 0.0201, "detectable": 0.02}, "more than a hundred times as many seeds and evaluation images, if the effect is "
         "as estimated"),
        ({"effect": 0.02, "detectable": 0.01}, "more than a hundred times as many seeds and evaluation images, if the effect is "
         "as estimated"),
        ({"detectable": None}, ""),
        ({"effect": 0.0, "detectable": 0.01, "p_for": 0.01}, ""),
    ],
)  # fmt: skip
def test_what_would_resolve_a_claim_follows_from_its_decisive_part(mini, facts, said):
    made = {"test": "equal", "bound": 0.02, "effect": 0.0, "detectable": 0.01, "p_for": 0.5, "p_against": 0.5} | facts
    outcome = evaluate(claim_named("C8"), mini, detectable=False)[0].model_copy(update=made)
    assert verdict_on(claim_named("C8"), mini.study, [outcome] * 3).resolution() == said


def test_one_image_per_class_can_be_planned(mini):
    study = load_study("paper")
    images = study.downstreams[0].images.model_copy(update={"eval_images_per_class": 1})
    alone = study.model_copy(update={"downstreams": [study.downstreams[0].model_copy(update={"images": images})]})
    for claim in (claim_named("C5"), claim_named("C7")):
        assert planned_detectable(claim, study, mini) < planned_detectable(claim, alone, mini)


def test_more_seeds_and_more_well_represented_species_narrow_what_can_be_ruled_out():
    margins = margins_by_representation("paper", "mini")
    by_species = margins.pivot(index="represented", columns="n_seeds", values="margin")
    assert (by_species.diff().iloc[1:] < 0).all(axis=None)
    assert (by_species.diff(axis="columns").iloc[:, 1:] < 0).all(axis=None)
    numbers = margin_numbers(margins, "paper")
    too_few = by_species[3].loc[: numbers["sight_needed"] - 1]
    assert by_species.at[numbers["sight_needed"], 3] <= load_study("paper").margin < too_few.min()
    for rule in ("named", "alone"):
        assert by_species.at[numbers[f"sight_{rule}"], 3] == numbers[f"sight_margin_{rule}"]
    drawn = figure_sight(margins).layout  # on a logarithmic axis plotly takes a rule by its value and a note by its logarithm
    marked = {note.text: (rule.x0, round(10**note.x)) for note, rule in zip(drawn.annotations, drawn.shapes, strict=True)}
    assert marked == {rule: (numbers[f"sight_{name}"],) * 2 for name, rule in {"named": NAMED, "alone": ALONE}.items()}
    assert margins_by_representation("mini", "mini").empty
