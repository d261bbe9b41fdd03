"""Controls with a known answer, at reduced size: what is planted comes out, and verdicts err no more often than they say."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy.stats import t as t_distribution

from pretraining_gain.errors import InputError
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.figures.controls import power_curves
from pretraining_gain.tell.statistics import holm
from pretraining_gain.tell.statistics.variance import Sources
from pretraining_gain.tell.validation.control_tables import ControlTables
from pretraining_gain.tell.validation.controls import Controls, Effort, Finished, _components
from pretraining_gain.tell.validation.permutations import SHUFFLED, permutation_rows
from pretraining_gain.tell.validation.scenarios import Stage
from pretraining_gain.tell.validation.worlds import (
    INSIDE,
    OUT,
    Liability,
    Measured,
    Planted,
    Scene,
    measure,
    paper_arms,
)

REPETITIONS = 200
LUCK = 3 * np.sqrt(0.05 * 0.95 / REPETITIONS)


@pytest.fixture(scope="module")
def controls() -> Controls:
    """The controls of `mini` as it is committed."""
    made = Controls.of("mini", Effort(nulls=REPETITIONS, power=20, shuffles=100, estimators=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRETRAINING_GAIN_RESULTS", str(ROOT / "results"))
        assert set(made.measured) == {OUT, INSIDE}
    return made


def test_every_claim_has_worlds_with_the_planted_effects(controls):
    """Whatever is asked of a claim's parts, the mean over many draws is that."""
    for claim in CLAIMS:
        stage = Stage.of(claim.id, controls.evidence.study, controls.measured, 3)
        effects = stage.planted(0.08)
        scene, rng = stage.scene(effects), np.random.default_rng(1)
        drawn = np.array([[part.effect for part in stage.draw(scene, rng)] for _ in range(30)])
        if claim.id == "C1":
            assert drawn.mean() > 0.75  # a share of species: well above one half
        elif claim.id in ("C3", "C4"):
            assert drawn[:, 0].mean() == pytest.approx(0.08, abs=0.05)  # an estimate of a spread, cut at 0
        else:
            luck = 4 * drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
            assert (np.abs(drawn.mean(axis=0) - effects) < luck).all(), claim.id


def test_simulated_predictions_vary_as_the_real_ones(controls):
    for one in controls.measured.values():
        arms = paper_arms(one.evaluation)
        scene = Scene(one, Planted({arm: float(correct.mean()) for arm, correct in arms.items()}), 3)
        drawn = [_components(scene.draw(np.random.default_rng(i)), one.evaluation.labels) for i in range(20)]
        real = _components(arms, one.evaluation.labels)
        # Of three seeds, the variance between seeds is known to a factor of some: it must be one that a simulated study has.
        assert abs(np.mean(drawn, axis=0)[0] - real[0]) < 2 * np.std(drawn, axis=0, ddof=1)[0]
        assert np.mean(drawn, axis=0)[1:] == pytest.approx(real[1:], rel=0.6)
        assert np.mean(drawn, axis=0)[3:] == pytest.approx(real[3:], rel=0.2)


def test_the_fit_finds_the_world_that_made_the_predictions(controls):
    truth = Liability(class_=0.8, class_by_arm=0.3, image=1.5, image_by_arm=0.5, seed=0.2, seed_class=0.3)
    real = controls.measured[OUT]
    study = real.evaluation.study.model_copy(update={"seeds": list(range(12))})
    scene = Scene(
        Measured(real.evaluation, 0.4, truth), Planted(dict.fromkeys(paper_arms(real.evaluation), 0.4), "random"), 12
    )
    fits = []
    for i in range(6):
        drawn = scene.draw(np.random.default_rng(i))
        seeds = dict.fromkeys(drawn, study.seeds)
        evaluation = type(real.evaluation)(
            study,
            real.evaluation.downstream,
            seeds,
            real.evaluation.labels,
            real.evaluation.image_ids,
            drawn,
            pd.DataFrame(),
        )
        found = measure(evaluation).liability
        fits.append([found.class_, found.class_by_arm, found.image, found.image_by_arm, found.seed, found.seed_class])
    assert np.mean(fits, axis=0) == pytest.approx([0.8, 0.3, 1.5, 0.5, 0.2, 0.3], rel=0.15)


@pytest.mark.parametrize("claim", ["C2", "C5", "C9", "C11", "C13"])
def test_verdicts_err_no_more_often_than_they_say(controls, claim):
    rows = pd.DataFrame(controls.false_positives(claim))
    assert set(rows["error"]) == {"supported", "contradicted"}
    assert (rows["rate"] <= 0.05 + LUCK).all(), rows[["scenario", "error", "effects", "rate"]]


@pytest.mark.parametrize("claim", ["C2", "C13", "C14"])
def test_a_claim_of_one_part_is_found_as_often_as_its_plan_says(controls, claim):
    rows = pd.DataFrame(controls.power(claim, 3)).set_index("scenario")
    found = rows.loc["detectable", "supported"]
    assert 0.75 - 3 * np.sqrt(0.16 / REPETITIONS) <= found <= 0.85 + 3 * np.sqrt(0.16 / REPETITIONS)
    curve = rows.loc["planted"]
    clear = curve.iloc[-1]
    assert (clear["contradicted"] > 0.3) if clear["test"] == "equal" else (clear["supported"] == 1)


@pytest.mark.parametrize("claim", ["C2", "C3", "C4", "C7", "C8"])
def test_shuffled_names_give_nothing(controls, claim):
    row = permutation_rows(claim, controls.evidence, controls.effort.shuffles, 3)[0]
    assert row["shuffled"] == SHUFFLED[claim] and row["significant"] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)


def test_the_tail_of_few_seeds_is_the_t_distributions():
    """Only seeds: Student's t with S - 1 degrees of freedom. Only images: with theirs. In between: more careful than both."""
    only_seeds = Sources(seeds=1.0, units=1e-12, shared=0.0, n_seeds=3, unit_df=1000)
    only_images = Sources(seeds=0.0, units=1.0, shared=0.0, n_seeds=3, unit_df=1000)
    for distance in (2.0, 5.0, 15.0):
        assert only_seeds.p(distance) == pytest.approx(t_distribution.sf(distance, 2), rel=1e-3)
    assert only_images.p(3.0) == pytest.approx(t_distribution.sf(3.0, 1000), rel=1e-3)
    rng, level, wrong, n = np.random.default_rng(0), 0.005, 0, 20_000
    for seeds, mean in zip(rng.chisquare(2, n) / 2, rng.standard_normal(n) * np.sqrt(2), strict=True):
        # Seeds and images matter alike: variance 1 each.
        wrong += mean > Sources(float(seeds), 1.0, 0.0, 3, 1000).reach(level)
    assert wrong / n <= level + 3 * np.sqrt(level / n)


def test_holm_is_that_of_statsmodels():
    multipletests = pytest.importorskip("statsmodels.stats.multitest").multipletests
    p = np.random.default_rng(0).random(9) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_an_effect_that_no_accuracy_has_is_refused(controls):
    with pytest.raises(InputError, match=r"claim C13: effects .* need a top-1 of"):
        Stage.of("C13", controls.evidence.study, controls.measured, 3).scene([0.9])


def test_finished_work_is_not_done_again(tmp_path):
    path, done = tmp_path / "finished.jsonl", []

    def work() -> list[dict]:
        done.append(1)
        return [{"rate": 0.25, "claim": "C1"}]

    rows = Finished(path, "now").rows("one", work)
    assert Finished(path, "now").rows("one", work) == rows == [{"rate": 0.25, "claim": "C1"}] and len(done) == 1
    Finished(path, "other").rows("one", work)
    assert len(done) == 2, "another state is another job"
    path.write_text(path.read_text() + json.dumps({"state": "now", "key": "two"})[:20])
    Finished(path, "now").rows("two", work)
    assert len(done) == 3, "a line that a kill cut off is no result"


def test_tables_are_written_and_read_back(controls, tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path))
    small = Controls(controls.evidence, Effort(nulls=10, power=4, shuffles=5, estimators=0))
    small.__dict__["measured"] = controls.measured
    small.run(tmp_path / "controls", ["C2", "C13"])
    tables = ControlTables()
    assert list(tables.false_positive_table().index) == list(tables.promised_table().index) == ["C2", "C13"]
    assert set(tables.curves["n_seeds"]) == {3, 5, 10} and len(tables.permutation_table()) == 1
    assert set(tables.promised["repetitions"]) == {10, 4}
    figure = power_curves(tables.curves)
    assert len(figure.data) == 2 * 2 * 3 and sum(trace.visible for trace in figure.data) == 6
    assert [button["label"] for button in figure.layout.updatemenus[0].buttons] == ["C2", "C13"]
    assert figure.layout.shapes[0].x0 == pytest.approx(0.03)
    assert ControlTables("C13").curves["claim"].unique() == ["C13"]


def test_an_unknown_claim_is_one_line():
    with pytest.raises(InputError, match="claim 'C99' is unknown; accepted: C1, "):
        ControlTables.from_parameters({"claim": "C99"})


def test_the_committed_tables_say_what_the_chapter_says():
    """At full size: no verdict errs more often than its level and chance allow, and single parts are found as planned."""
    tables = ControlTables()
    assert tables.errors["repetitions"].min() >= 1000 and set(tables.errors["claim"]) == {claim.id for claim in CLAIMS}
    excess = tables.errors["rate"] - tables.errors["level"]
    assert (excess <= 3 * np.sqrt(0.05 * 0.95 / tables.errors["repetitions"])).all()
    assert tables.errors["within"].mean() >= 0.95
    assert tables.curves["repetitions"].min() >= 200
