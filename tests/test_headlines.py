"""The headline numbers of the main study, counted again from its stored predictions with pandas alone."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import MAIN, ROOT
from scipy.stats import bartlett

from pretraining_gain.tell.claims.ledger import read_ledger
from pretraining_gain.tell.claims.other_targets import other_targets
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import subset_numbers, taxa_numbers
from pretraining_gain.tell.results.study import StudyResults
from pretraining_gain.tell.statistics import Answers, estimate_mean

FOLDER = ROOT / "results" / MAIN
RUNS = pd.read_csv(FOLDER / "runs.csv", keep_default_na=False)


def predictions_of(downstream: str) -> pd.DataFrame:
    """Return one row per image of each run of the study's own design: arm, seed, label, and whether the prediction is right."""
    runs = RUNS[(RUNS["downstream"] == downstream) & (RUNS["design"] == "")]
    tables = []
    for run in runs.itertuples():
        table = pd.read_csv(FOLDER / "finetune" / run.predictions)
        tables.append(table.assign(arm=run.arm, seed=run.seed, right=table["label"] == table["prediction"]))
    return pd.concat(tables)


@pytest.fixture(scope="module")
def birds() -> pd.DataFrame:
    return predictions_of("birds")


@pytest.fixture(scope="module")
def results() -> StudyResults:
    return StudyResults.from_parameters({"study": MAIN})


def test_every_arm_has_ten_seeds_on_each_of_three_targets():
    seeds = RUNS[RUNS["design"] == ""].groupby(["downstream", "arm"])["seed"].agg(set)
    arms = {"scratch", "all-k200"} | {f"animal-k{k}" for k in (15, 30, 59)}
    arms |= {f"non_animal-k{k}" for k in (15, 30, 59, 141)} | {f"random-k{k}" for k in (15, 30, 59, 118)}
    for target in ("birds", "caltech101_animals", "tiny_animals"):
        found = seeds.loc[target]
        assert found[sorted(arms)].to_dict() == {arm: set(range(100, 110)) for arm in arms}
        assert {arm.split("-")[0] for arm in set(found.index) - arms} <= {"half_animal"}


@pytest.mark.parametrize(("target", "prefix"), [("birds", "out"), ("caltech101_animals",) * 2, ("tiny_animals", "in")])
def test_top1_gains_and_contrasts_are_means_over_predictions(results, target, prefix):
    top1 = predictions_of(target).groupby("arm")["right"].mean()
    wanted = {f"{prefix}_top1_{arm.replace('-', '_')}": value for arm, value in top1.items()}
    wanted |= {f"{prefix}_gain_{arm.replace('-', '_')}": value - top1["scratch"] for arm, value in top1.drop("scratch").items()}
    for k in (15, 30, 59):
        pools = {pool: top1[f"{pool}-k{k}"] for pool in ("animal", "non_animal", "random")}
        wanted[f"{prefix}_animal_minus_non_animal_k{k}"] = pools["animal"] - pools["non_animal"]
        wanted[f"{prefix}_animal_minus_random_k{k}"] = pools["animal"] - pools["random"]
    numbers = subset_numbers(results)
    assert {name: numbers[name] for name in wanted} == pytest.approx(wanted, abs=1e-4)


def test_the_gain_of_each_species_and_their_families(results, birds):
    top1 = birds.groupby(["arm", "label"])["right"].mean()
    gains = top1["all-k200"] - top1["scratch"]
    numbers = taxa_numbers(results)
    assert (numbers["n_species"], numbers["n_helped"]) == (len(gains), (gains > 0).sum())
    assert results.species.set_index("class_id")["mean"].to_dict() == pytest.approx(gains.to_dict(), abs=1e-6)
    assert (results.species.groupby("family").size() >= 2).sum() >= 20


def test_the_interval_of_the_gain_has_the_variances_of_runs_and_of_images_within_species(results, birds):
    """Runs are pooled over the arms where these vary alike; the residual, in the parts of both runs and images, counts once."""
    arms = {name: arm.pivot(index="seed", columns="image_id", values="right").astype(float) for name, arm in birds.groupby("arm")}
    runs = pd.DataFrame({name: arm.mean(axis=1) for name, arm in arms.items()})
    compared = ["all-k200", "scratch"]
    alike = bartlett(*runs.to_numpy().T).pvalue >= 0.01
    of_runs = 2 * runs.var().mean() / 10 if alike else runs[compared].var().sum() / 10
    means = birds[birds["arm"].isin(compared)].groupby(["arm", "label", "image_id"])["right"].mean().unstack(0)
    gain = means["all-k200"] - means["scratch"]
    within = gain - gain.groupby("label").transform("mean")
    n_images, n_species = len(gain), gain.index.get_level_values("label").nunique()
    of_images = (within**2).sum() / (n_images - n_species) / n_images
    residual = sum(arms[name].sub(runs[name], axis=0).var().mean() for name in compared) / (10 * n_images)
    half_width = 1.97 * (of_runs + of_images - residual) ** 0.5  # of a t distribution with about 200 degrees of freedom
    numbers = taxa_numbers(results)
    assert numbers["gain_high"] - numbers["gain"] == pytest.approx(half_width, rel=0.03)
    assert numbers["gain"] - numbers["gain_low"] == pytest.approx(half_width, rel=0.03)


@pytest.mark.parametrize("target", ["birds", "caltech101_animals"])
def test_at_the_same_five_seeds_a_loss_with_as_many_images_is_not_told_from_zero(results, target):
    evaluation, arms = results.load(target), ("all-k200-matched_images", "non_animal-k30")
    places = [evaluation.seeds_of[arms[1]].index(seed) for seed in evaluation.seeds_of[arms[0]]]
    same = Answers(evaluation.correct | {arms[1]: evaluation.correct[arms[1]][places]}, evaluation.labels)
    (_, high), (low, same_high) = (estimate_mean(one, evaluation.gain(*arms)).interval() for one in (evaluation.answers, same))
    assert high < 0  # with the ten seeds of the original design
    assert low < 0 < same_high


def test_claims_that_both_studies_decide_have_one_verdict():
    verdicts = pd.DataFrame({study: {one.claim: one.verdict for one in read_ledger(study).verdicts} for study in (MAIN, "mini")})
    tested = verdicts[~verdicts.isin(["not testable", "not run"]).any(axis=1)]
    decided = tested[~(tested == "not resolvable").any(axis=1)]
    assert len(decided) > 10
    assert (decided[MAIN] == decided["mini"]).all()
    assert tested.index[tested[MAIN] != tested["mini"]].tolist() == ["C11"]  # as the chapters say
    caltech = other_targets(View(study=MAIN)).assign(claim=lambda table: table["claim"].str.split(".").str[0]).set_index("claim")
    of_mini = verdicts["mini"][caltech.index]
    decided = ~pd.concat([caltech["verdict"], of_mini], axis=1).isin(["not testable", "not run", "not resolvable"]).any(axis=1)
    assert caltech.index[decided & (caltech["verdict"] != of_mini)].tolist() == ["C5", "C13"]
