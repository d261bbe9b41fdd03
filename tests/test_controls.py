"""Controls at reduced size: planted effects come out, and tests err no more often than their level."""

from __future__ import annotations

from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy.stats import binom

from pretraining_gain.errors import InputError
from pretraining_gain.plan.code import PACKAGE, inputs_of
from pretraining_gain.tell.claims.declarations import CLAIMS, claim_named
from pretraining_gain.tell.claims.evidence import Evidence
from pretraining_gain.tell.claims.parts import SHARE, SPREAD
from pretraining_gain.tell.figures.controls import figure_power
from pretraining_gain.tell.validation import controls as controls_module
from pretraining_gain.tell.validation.calibration import GAIN, calibrate, scenarios
from pretraining_gain.tell.validation.controls import Controls, Effort, Finished, difference_components
from pretraining_gain.tell.validation.permutations import permutation_rows
from pretraining_gain.tell.validation.simulator import Liability, fit_liability, paper_arms
from pretraining_gain.tell.validation.tables import ControlTables

REPETITIONS = 120
#: Claims that `mini` cannot test: its families have one species each, and its source has more animals than others.
UNTESTABLE = ("C2", "C3", "C9")
#: The largest rate of errors at a level of 5 % that chance allows in one of a thousand tests.
MOST = binom.ppf(0.999, REPETITIONS, 0.05) / REPETITIONS


@pytest.fixture(scope="module")
def controls() -> Controls:
    """The controls of `mini`, from its committed results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRETRAINING_GAIN_RESULTS", str(ROOT / "results"))
        return Controls(Evidence.load("mini"), Effort(REPETITIONS, 20, REPETITIONS, 2))


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.id not in UNTESTABLE], ids=lambda claim: claim.id)
def test_planted_effects_come_out_on_average(controls, claim):
    one, rng = controls.experiment(claim), np.random.default_rng(1)
    effects = one.planted(0.1 if claim.id == "C1" else 0.08)
    drawn = [one.draw(one.simulator(effects), rng) for _ in range(30)]
    for number, (part, effect) in enumerate(zip(one.parts, effects, strict=True)):
        found = np.array([outcomes[number].effect for outcomes in drawn])
        if part.kind == SHARE:
            without = [one.draw(one.simulator(one.planted(0.0)), rng)[number].effect for _ in range(30)]
            assert np.mean(without) == pytest.approx(0.5, abs=0.1)
            assert found.mean() > 0.75  # of species, when the average species gains 10 points
        elif part.kind == SPREAD:
            assert found.mean() == pytest.approx(effect, abs=0.05)  # the estimate is cut at 0
        else:
            assert abs(found.mean() - effect) < 4 * found.std(ddof=1) / np.sqrt(len(found))


@pytest.mark.parametrize("domain", ["out_of_domain", "in_domain"])
def test_simulated_predictions_vary_as_the_real_ones(controls, domain):
    target = controls.targets[controls.evidence.target(domain).downstream.name, "arms"]
    real, labels = paper_arms(target.evaluation), target.evaluation.labels
    simulator = target.simulator({arm: float(correct.mean()) for arm, correct in real.items()}, len(real["scratch"]))
    drawn = np.array([difference_components(simulator.draw(np.random.default_rng(i)), labels) for i in range(20)])
    wanted = difference_components(real, labels)
    # A few seeds hardly tell how much seeds vary: the real variance must be one that a simulated study may show.
    assert abs(drawn[:, 0].mean() - wanted[0]) < 2 * drawn[:, 0].std(ddof=1)
    assert drawn[:, 1:3].mean(axis=0) == pytest.approx(wanted[1:3], rel=0.6)
    assert drawn[:, 3:].mean(axis=0) == pytest.approx(wanted[3:], rel=0.2)


def test_the_fit_finds_the_liability_that_made_the_predictions(controls):
    truth = Liability(class_=0.8, class_by_arm=0.3, image=1.5, image_by_arm=0.5, seed=0.2, seed_class=0.3)
    target = replace(controls.targets["caltech101_animals", "arms"], liability=truth)
    arms = paper_arms(target.evaluation)
    top1 = dict(zip(arms, np.linspace(0.25, 0.65, len(arms)), strict=True))  # as arms differ, so do their thresholds
    simulator = target.simulator(top1, 12, "random")
    fits = [fit_liability(simulator.draw(np.random.default_rng(i)), simulator.labels) for i in range(6)]
    assert np.mean([astuple(fit) for fit in fits], axis=0) == pytest.approx(astuple(truth), rel=0.15)


@pytest.mark.parametrize("name", ["C4", "C5", "C8", "C11", "C13"])
def test_verdicts_are_wrong_no_more_often_than_their_level(controls, name):
    rows = list(controls.false_positives(claim_named(name)))
    compares = {"no relevant difference"} if name in ("C5", "C11", "C13") else set()  # that an arm is better than another
    assert {row["error"] for row in rows} == {"supported", "contradicted"} | compares
    assert {row["claim"]: row["rate"] for row in rows if row["rate"] > MOST} == {}


@pytest.mark.parametrize("name", ["C1", "C13", "C14"])
def test_a_claim_of_one_part_is_found_with_the_promised_power(controls, name):
    rows = pd.DataFrame(controls.power(claim_named(name), 3)).set_index("scenario")
    low, high = binom.ppf([0.001, 0.999], REPETITIONS, [0.75, 0.85]) / REPETITIONS
    high = 1.0 if name == "C1" else high  # a share of species moves in steps, so its promise is at least that
    assert low <= rows.loc["detectable", "supported"] <= high


def test_shuffled_labels_give_nothing(controls):
    row = next(permutation_rows(claim_named("C4"), controls.evidence, REPETITIONS, 3))
    assert row["significant"] <= MOST


def test_the_simulated_truth_is_the_mean_of_many_draws():
    simulator = scenarios()["3 seeds, 10 classes; dominating seed spread, moderate class spread"]
    rng = np.random.default_rng(0)
    classes = simulator.draw_classes(rng)
    many = np.mean([simulator.draw(rng, classes)["pretrained"].mean(axis=0) for _ in range(600)], axis=0)
    by_class = pd.Series(many).groupby(simulator.labels).mean()
    assert by_class.to_numpy() == pytest.approx(simulator.expected_top1(classes)[1], abs=0.03)
    new = np.mean([simulator.expected_top1(simulator.draw_classes(rng)).mean(axis=1) for _ in range(2000)], axis=0)
    assert new[:2] == pytest.approx([0.3, 0.3 + GAIN], abs=0.01)


def test_draws_follow_from_the_seed():
    simulator = next(iter(scenarios().values()))
    draws = [simulator.draw(np.random.default_rng(seed))["scratch"] for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize("seeds", ["no", "moderate", "dominating"])
def test_intervals_cover_and_tests_err_as_promised(seeds):
    simulator = scenarios()[f"3 seeds, 36 classes; {seeds} seed spread, moderate class spread"]
    table = calibrate(simulator, REPETITIONS, seed=3).set_index("quantity")
    at = lambda probability, rate: binom.ppf(probability, REPETITIONS, rate) / REPETITIONS  # noqa: E731
    whole = table[~table.index.str.endswith("agree")]  # a third of the studies
    assert whole["coverage"].min() >= at(0.001, 0.93)
    assert table["false_positive_rate"].max() <= MOST
    assert table["power"].dropna().between(at(0.001, 0.75), at(0.999, 0.85)).all()


def test_an_effect_that_no_accuracy_has_is_refused(controls):
    with pytest.raises(InputError, match=r"claim C13: effects .* need a top-1 of"):
        controls.experiment(claim_named("C13")).simulator([0.9])


def test_a_share_of_species_that_no_gain_has_is_refused(controls):
    one = controls.experiment(claim_named("C1"))
    hard = replace(one, target=replace(one.target, top1=0.1))  # the largest gain would take more than all of it
    with pytest.raises(InputError, match=r"claim C1: no gain up to 0\.3 lets \d+% of species gain"):
        hard.detectable()


@pytest.mark.parametrize(
    ("state", "line", "again"),
    [("now", "", False), ("other", "", True), ("now", '{"state": "now", "key": "two", "rows": [{"ra', True)],
    ids=["same state", "other state", "line cut off by a kill"],
)
def test_finished_work_is_not_done_again(tmp_path, state, line, again):
    path, first, second = tmp_path / "finished.jsonl", [{"rate": 0.25, "claim": "C1"}], [{"rate": 0.5, "claim": "C1"}]
    assert Finished(path, "now").rows("one", lambda: first) == first
    path.write_text(path.read_text() + line)
    assert Finished(path, state).rows("two" if line else "one", lambda: second) == (second if again else first)
    assert Finished(path, "now").rows("one", lambda: second) == first


def test_the_code_behind_the_tables_follows_from_imports():
    modules = {str(path.relative_to(PACKAGE)) for path in inputs_of(Path(controls_module.__file__))}
    assert {"tell/claims/declarations.py", "tell/validation/simulator.py"} <= modules
    assert not [module for module in modules if module.startswith(("tell/figures", "tell/book", "compute"))]


@pytest.mark.parametrize(("book", "folder"), [("mini", "controls"), ("imagenet200", "controls-mini")])
def test_tables_of_another_study_do_not_replace_those_of_the_book(tmp_path, monkeypatch, book, folder):
    made = []
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path))
    monkeypatch.setattr(controls_module, "STUDY", book)
    monkeypatch.setattr(Controls, "run", lambda self, folder: made.append(folder))
    monkeypatch.setattr("sys.argv", ["controls", "--study", "mini"])
    assert controls_module.main() == 0
    assert made == [tmp_path / folder]


def test_tables_are_written_and_read_back(controls, tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path))
    monkeypatch.setattr(controls_module, "scenarios", lambda: dict([next(iter(scenarios().items()))]))
    small = Controls(controls.evidence, Effort(10, 4, 5, 2))
    small.run(tmp_path / "controls", [claim_named("C4"), claim_named("C13")])
    tables = ControlTables()
    assert list(tables.false_positive_table().index) == ["C4", "C13"]
    assert list(tables.promised_table().index) == ["C4", "C13"]
    assert set(tables.promised["repetitions"]) == {10, 4}
    assert len(tables.permutation_table()) == 1
    assert tables.numbers()["n_scenarios"] == len(tables.errors)
    assert set(tables.estimator_table()["measure"]) == {"coverage", "false positive rate", "power"}
    menu = figure_power(tables).layout.updatemenus[0]
    assert [button["label"] for button in menu.buttons] == ["C4", "C13"]
    assert list(ControlTables(claim="C13").curves["claim"].unique()) == ["C13"]
    with pytest.raises(InputError, match=r"no claim 'C2' of imagenet200; accepted: C4, C13$"):
        ControlTables(claim="C2").false_positive_table()
