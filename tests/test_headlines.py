"""The headline numbers of the main study, counted again from its stored predictions with pandas alone."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import product

import pandas as pd
import pytest
from conftest import MAIN, ROOT
from scipy import stats

from pretraining_gain.tell.book.why import why_numbers
from pretraining_gain.tell.claims.ledger import read_ledger
from pretraining_gain.tell.claims.other_targets import other_targets
from pretraining_gain.tell.results.designs import design_numbers
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import subset_numbers, taxa_numbers
from pretraining_gain.tell.results.why import Why
from pretraining_gain.tell.statistics import Answers, estimate_mean

FOLDER = ROOT / "results" / MAIN
RUNS = pd.read_csv(FOLDER / "runs.csv", keep_default_na=False)
METADATA = ROOT / "src" / "pretraining_gain" / "metadata"
SOURCE = pd.read_csv(METADATA / "tiny_imagenet.csv", index_col="class_id")["key"]
#: Targets, and what the names of their numbers begin with.
TARGETS = {"birds": "out", "caltech101_animals": "caltech101_animals", "tiny_animals": "in"}
TABLES = {"birds": "cub100", "tiny_animals": "tiny_imagenet_animals"}  # where the name is another
FIVE = range(100, 105)  # seeds of the targets and designs that have no others
#: Stated beside the headline numbers, but verdicts of many tests decide them, no single count of predictions.
JUDGED = {f"claims.n_{one}" for one in ("claims", "supported", "contradicted", "no_relevant_difference")}
JUDGED |= {"what_if.changed_by_margin"}


@cache
def predictions_of(downstream: str, design: str = "") -> pd.DataFrame:
    """Return one row per image of each run of a design (the study's own): arm, seed, label, and whether the prediction is right."""
    runs = RUNS[(RUNS["downstream"] == downstream) & (RUNS["design"] == design)]
    tables = []
    for run in runs.itertuples():
        table = pd.read_csv(FOLDER / "finetune" / run.predictions)
        tables.append(table.assign(arm=run.arm, seed=run.seed, right=table["label"] == table["prediction"]))
    return pd.concat(tables)


def top1_of(downstream: str, design: str = "") -> pd.DataFrame:
    """Return top-1 by seed and arm."""
    return predictions_of(downstream, design).pivot_table("right", "seed", "arm")


def named_by_source(target: str) -> pd.Series:
    """Return the source classes that name each species of a target, for the species that have one."""
    table = pd.read_csv(METADATA / f"{TABLES.get(target, target)}.csv", index_col="class_id", keep_default_na=False)
    keys = table["represented_by"].map(lambda names: set(names.split(";")) & set(SOURCE))
    return keys[keys.map(len) > 0]


def differences_by_chance(target: str) -> pd.DataFrame:
    """Return top-1 with a species' own class in the source minus without, by pair of seeds and species; NaN where both had it or
    neither. Mean top-1 of the species that no source class names is subtracted first."""
    named, half = named_by_source(target), predictions_of(target).query("arm == 'half_animal-k170'")
    by_species = half.pivot_table("right", "seed", "label")
    others = by_species.drop(columns=named.index).mean(axis=1)
    top1 = by_species[named.index].sub(others.fillna(0), axis=0)
    shown = {}
    for seed in top1.index:
        (record,) = FOLDER.glob(f"pretrain/half_animal-k170-s{seed}-*.json")
        held = set(SOURCE.loc[json.loads(record.read_text())["source_class_ids"]])
        shown[seed] = named.map(lambda keys, held=held: int(not keys.isdisjoint(held)))
    signs = pd.DataFrame({seed: shown[seed] - shown[seed + 1] for seed in top1.index[::2]}).T
    differences = signs * (top1.loc[signs.index] - top1.loc[signs.index + 1].set_axis(signs.index))
    return differences.where(signs != 0).dropna(axis=1, how="all")


def count_subsets() -> dict[str, float]:
    """Count top-1 and gains of every arm on three targets, and animal minus as many other classes."""
    birds = predictions_of("birds")
    wanted = {"n_seeds": birds["seed"].nunique(), "out_n_images": birds["image_id"].nunique()}
    for target, prefix in TARGETS.items():
        top1 = top1_of(target).mean()
        wanted |= {f"{prefix}_top1_{arm}": value for arm, value in top1.items()}
        wanted |= {f"{prefix}_gain_{arm}": value - top1["scratch"] for arm, value in top1.drop("scratch").items()}
        for k, other in product((15, 30, 59), ("non_animal", "random")):
            wanted[f"{prefix}_animal_minus_{other}_k{k}"] = top1[f"animal-k{k}"] - top1[f"{other}-k{k}"]
    return {f"subsets.{name.replace('-', '_')}": value for name, value in wanted.items()}


def count_taxa() -> dict[str, float]:
    """Count species, and what they gain from all classes: all, those that no source class names, and how many."""
    birds, groups, top1 = predictions_of("birds"), predictions_of("caltech101_animals"), top1_of("birds").mean()
    named = birds["label"].isin(named_by_source("birds").index)
    others = birds[~named].groupby("arm")["right"].mean()
    right = birds.groupby(["arm", "label"])["right"].sum()
    helped = (right["all-k200"] > right["scratch"]) + (right["all-k200"] == right["scratch"]) / 2  # one at 0 counts half
    gains = {"gain": top1, "gain_unrepresented": others, "groups_gain": groups.groupby("arm")["right"].mean()}
    wanted = {name: found["all-k200"] - found["scratch"] for name, found in gains.items()}
    wanted |= {"n_seeds": birds["seed"].nunique(), "n_species": birds["label"].nunique(), "top1_pretrained": top1["all-k200"]}
    wanted |= {"n_represented": birds[named]["label"].nunique(), "groups_n_species": groups["label"].nunique()}
    return {f"taxa.{name}": value for name, value in wanted.items()} | {"claims.C1_effect": helped.mean()}


def count_freezing() -> dict[str, float]:
    """Count animal minus non-animal classes, everything trained and frozen, and how these differ at the seeds that both have."""
    ways = {"out_full": "birds", "out_frozen": "birds_frozen", "in_full": "tiny_animals_full", "in_frozen": "tiny_animals"}
    top1 = {way: top1_of(target) for way, target in ways.items()}
    contrasts = pd.DataFrame({way: table["animal-k59"] - table["non_animal-k59"] for way, table in top1.items()})
    wanted = {f"{way}_contrast": value for way, value in contrasts.mean().items()}
    for place in ("out", "in"):
        wanted[f"{place}_freezing_adds"] = (contrasts[f"{place}_frozen"] - contrasts[f"{place}_full"]).mean()
    wanted["n_freezing_seeds"] = contrasts.count().min()
    wanted["domain_adds_full"] = contrasts["in_full"].mean() - contrasts["out_full"].mean()
    wanted["domain_by_freezing"] = wanted["in_freezing_adds"] - wanted["out_freezing_adds"]
    trained = (top1["out_full"]["all-k200"] - top1["out_frozen"]["all-k200"]).mean()
    return {f"beyond.{name}": value for name, value in wanted.items()} | {"claims.C14_effect": trained}


def count_other_trainings() -> dict[str, float]:
    """Count gains by images per bird and over a longer training from scratch, and all classes with the steps of 59."""
    birds, matched = top1_of("birds"), top1_of("birds", "matched_steps").mean().rename(lambda arm: arm.rpartition("-")[0])
    sizes = {size: top1_of(f"birds_{size}").mean() for size in (5, 10, 20)} | {30: birds.loc[FIVE].mean()}
    wanted = {f"why.size_{size}_gain": top1["all-k200"] - top1["scratch"] for size, top1 in sizes.items()}
    for long, target in {"birds_long": "birds", "caltech101_long": "caltech101_animals"}.items():
        wanted[f"beyond.{long}_gain"] = top1_of(target)["all-k200"].mean() - top1_of(long)["scratch"].mean()
    for arm, top1 in matched.drop("all-k200").items():
        wanted[f"beyond.out_matched_steps_all_k200_minus_{arm.replace('-', '_')}"] = matched["all-k200"] - top1
    return wanted | {"beyond.out_matched_steps_all_k200_change": matched["all-k200"] - birds["all-k200"].mean()}


def count_parts() -> dict[str, float]:
    """Count what an own class adds where chance decides, each species once, and the parts of the gain from all classes."""
    wanted = {}
    for target in TARGETS:
        top1 = top1_of(target).mean()
        parts = {"animals": top1["animal-k59"] - top1["non_animal-k59"], "all": top1["all-k200"] - top1["scratch"]}
        parts |= {"any_images": top1["non_animal-k59"] - top1["scratch"], "more_classes": top1["all-k200"] - top1["animal-k59"]}
        if target != "birds":
            effects, prefix = differences_by_chance(target).mean(), "in" if target == "tiny_animals" else "out"
            wanted |= {f"beyond.{prefix}_assigned": effects.mean(), f"beyond.{prefix}_assigned_n_species": len(effects)}
            parts["own_class"] = predictions_of(target)["label"].isin(named_by_source(target).index).mean() * effects.mean()
            parts["animals"] -= parts["own_class"]
        wanted |= {f"why.{target}_part_{name}": value for name, value in parts.items()}
    return wanted


COUNTS = (count_subsets, count_taxa, count_freezing, count_other_trainings, count_parts)


@pytest.fixture(scope="module")
def results() -> Why:
    return Why.from_parameters({"study": MAIN})


@pytest.fixture(scope="module")
def handed(results) -> dict[str, object]:
    """Return the numbers that the book's chapters get, by the names that they use."""
    makers = {"subsets": subset_numbers, "taxa": taxa_numbers, "beyond": design_numbers, "why": why_numbers}
    found = {f"{page}.{name}": value for page, make in makers.items() for name, value in make(results).items()}
    judged = [one for one in read_ledger(MAIN).verdicts if one.decisive is not None]
    return found | {f"claims.{one.claim}_effect": one.tests[one.decisive].effect for one in judged}


def test_every_arm_has_ten_seeds_on_each_of_three_targets():
    seeds = RUNS[RUNS["design"] == ""].groupby(["downstream", "arm"])["seed"].agg(set)
    arms = {"scratch", "all-k200"} | {f"animal-k{k}" for k in (15, 30, 59)}
    arms |= {f"non_animal-k{k}" for k in (15, 30, 59, 141)} | {f"random-k{k}" for k in (15, 30, 59, 118)}
    for target in ("birds", "caltech101_animals", "tiny_animals"):
        found = seeds.loc[target]
        assert found[sorted(arms)].to_dict() == {arm: set(range(100, 110)) for arm in arms}
        assert {arm.split("-")[0] for arm in set(found.index) - arms} <= {"half_animal"}


@pytest.mark.parametrize("count", COUNTS)
def test_headline_numbers_are_means_over_predictions(handed, count):
    wanted = count()
    assert {name: handed[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)  # the ledger keeps six digits


def test_every_number_of_the_cover_and_the_conclusion_is_counted():
    text = "".join((ROOT / "book" / f"{page}.md").read_text() for page in ("index", "conclusion"))
    counted = {name for count in COUNTS for name in count()}
    assert set(re.findall(r"\{n\}`([\w.]+)", text)) - counted == JUDGED


def test_the_gain_of_each_species_and_their_families(results):
    top1 = predictions_of("birds").groupby(["arm", "label"])["right"].mean()
    gains = top1["all-k200"] - top1["scratch"]
    numbers = taxa_numbers(results)
    assert (numbers["n_species"], numbers["n_helped"]) == (len(gains), (gains > 0).sum())
    assert results.species.set_index("class_id")["mean"].to_dict() == pytest.approx(gains.to_dict(), abs=1e-6)
    assert (results.species.groupby("family").size() >= 2).sum() >= 20


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("arm", "other"), [("all-k200", "scratch"), ("animal-k59", "non_animal-k59")])
def test_the_interval_of_two_arms_has_the_variances_of_runs_and_of_images_within_species(handed, target, arm, other):
    """Runs are pooled over the arms of all designs if these vary alike; the residual, in both parts, counts once."""
    runs = RUNS[RUNS["downstream"] == target].groupby("arm")["top1"]
    alike = stats.bartlett(*(top1 for _, top1 in runs)).pvalue >= 0.01
    pooled = (runs.var() * (runs.size() - 1)).sum() / (runs.size() - 1).sum()
    of_runs = 2 * pooled / 10 if alike else runs.var()[[arm, other]].sum() / 10
    two = predictions_of(target).query("arm in (@arm, @other)")
    within = two["right"] - two.groupby(["arm", "seed", "label"])["right"].transform("mean")
    by_image = within.groupby([two["arm"], two["image_id"]])
    means, n_images = by_image.mean(), two["image_id"].nunique()
    free = n_images * (n_images - two["label"].nunique())
    of_images = ((means[arm] - means[other]) ** 2).sum() / free
    residual = by_image.var().sum() / free / 10
    half_width = 1.97 * (of_runs + of_images - residual) ** 0.5  # of a t distribution with 150 to 1000 degrees of freedom
    name = f"subsets.{TARGETS[target]}_" + ("gain_all_k200" if other == "scratch" else "animal_minus_non_animal_k59")
    assert handed[f"{name}_high"] - handed[name] == pytest.approx(half_width, rel=0.01)
    assert handed[name] - handed[f"{name}_low"] == pytest.approx(half_width, rel=0.01)


@pytest.mark.parametrize(("target", "name"), [("caltech101_animals", "out_assigned"), ("tiny_animals", "in_assigned")])
def test_the_interval_of_an_own_class_has_the_variances_of_pairs_and_of_species(handed, target, name):
    """Pairs of seeds and species are crossed; the residual, in the parts of both, counts once."""
    found = differences_by_chance(target)
    effects = (found.fillna(0) * len(found) / found.count()).to_numpy()  # a pair that does not decide of a species counts 0
    n_pairs, n_species = effects.shape
    by_pair, by_species = effects.mean(axis=1, keepdims=True), effects.mean(axis=0, keepdims=True)
    residual = ((effects - by_pair - by_species + effects.mean()) ** 2).sum() / ((n_pairs - 1) * (n_species - 1)) / effects.size
    of_pairs, of_species = by_pair.var(ddof=1) / n_pairs, by_species.var(ddof=1) / n_species
    variance = of_pairs + max(of_species - residual, 0)
    df = variance**2 / (of_pairs**2 / (n_pairs - 1) + of_species**2 / (n_species - 1))  # Satterthwaite's
    half_width = stats.t.ppf(0.975, max(df, min(n_pairs, n_species) - 1)) * variance**0.5
    ends = {f"beyond.{name}_low": effects.mean() - half_width, f"beyond.{name}_high": effects.mean() + half_width}
    assert {end: handed[end] for end in ends} == pytest.approx(ends, rel=1e-6)


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
