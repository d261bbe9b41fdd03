"""The experiments on *why*: planted truth is found, sums done by hand agree, and what a study lacks is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import MAIN, ROOT
from test_extension import FIGURE, render, write_notebook

from pretraining_gain.plan import experiments
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.experiments import main_targets
from pretraining_gain.plan.pools import SCRATCH, ClassSubset, sample_classes
from pretraining_gain.plan.relatives import RANKS, kinds, nearest_rank
from pretraining_gain.plan.representation import keep_keys_of
from pretraining_gain.plan.runs import Run, finetuning_runs
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell import statistics
from pretraining_gain.tell.book.why import why_numbers
from pretraining_gain.tell.figures.registry import figures_of
from pretraining_gain.tell.results import designs
from pretraining_gain.tell.results.designs import assigned_effect, design_contrasts
from pretraining_gain.tell.results.evaluation import Evaluation
from pretraining_gain.tell.results.gains import row_of
from pretraining_gain.tell.results.why import EXCHANGED, Why, _both_curves

STUDY = load_study(MAIN)
SOURCE = load_class_table("tiny_imagenet")
KINDS = kinds(SOURCE)
#: Planted, per class of the source in place of an artefact.
PLANTED = {"mammals": 0.004, "birds": 0.012, "other animals": 0.003, "food and plants": 0.0, "scenes": -0.002, "artefacts": 0.0}
OWN, OTHER = 0.005, 0.003  # per class of a bird's own kind, of other animals
PER_RANK, PER_DOUBLING, PER_CLASS_DOUBLING, PER_IMAGE_DOUBLING, OWN_CLASS = -0.02, -0.03, 0.03, 0.02, 0.06


def simulate(expected: Callable[[Run], np.ndarray | float], per_class: int = 20, run_sd: float = 0.005) -> Why:
    """Return the experiments of imagenet200 on runs, in memory, whose top-1 per class is `expected` plus a run's deviation."""
    why, evaluations = Why.from_parameters({"study": MAIN}), {}
    assert isinstance(why, Why)
    runs = finetuning_runs(MAIN)
    for number, target in enumerate(STUDY.downstreams):
        rng = np.random.default_rng([number, 17])
        own = sorted((run for run in runs if run.downstream == target.name), key=lambda run: (run.arm, run.seed))
        labels, rows = np.repeat(np.arange(target.images.n_classes), per_class), []
        correct: dict[str, list[np.ndarray]] = {}
        for run in own:
            share = np.broadcast_to(expected(run) + rng.normal(0, run_sd), target.images.n_classes)
            correct.setdefault(run.arm, []).append(rng.random(len(labels)) < share[labels])
            facts = {name: getattr(run, name) for name in ("arm", "pool", "k", "design", "seed")}
            rows.append(facts | {"pretrain_images": images_of(run)})
        seeds = {arm: [run.seed for run in own if run.arm == arm] for arm in correct}
        stacked = {arm: np.stack(found) for arm, found in correct.items()}
        evaluations[target.name] = Evaluation(STUDY, target, seeds, labels, np.arange(len(labels)), stacked, pd.DataFrame(rows))
    why.load = evaluations.__getitem__
    return why


def images_of(run: Run) -> int:
    return run.k * run.pretraining.images.train_images_per_class if run.pretraining else 0


def planted(run: Run) -> np.ndarray | float:
    """Return the expected top-1 of each class, as planted."""
    table = keep_keys_of(SOURCE, load_class_table(run.images.class_table))
    if run.pool == SCRATCH:
        return 0.25
    if run.design == "which_classes":
        return 0.3 + sum(PLANTED[kind] for kind in KINDS.loc[list(run.subset.class_ids)])
    if run.pool == "all":
        steps = nearest_rank(table, SOURCE).map(RANKS.index).to_numpy(float)
        fewer = np.log2(run.images.train_images_per_class / 30) if run.images.dataset == "cub100" else 0
        return 0.45 + PER_RANK * steps + PER_DOUBLING * fewer
    if run.pool == "half_animal":
        held = set(SOURCE.loc[list(run.subset.class_ids), "key"])
        return 0.4 + OWN_CLASS * np.array([not held.isdisjoint(keys.split(";")) for keys in table["represented_by"]])
    of_images = PER_IMAGE_DOUBLING * np.log2(images_of(run) / (500 * run.k))
    return 0.27 + PER_CLASS_DOUBLING * np.log2(run.k / 15) + 0.04 * (run.pool == "animal") + of_images


@pytest.fixture(scope="module")
def why() -> Why:
    return simulate(planted)


def near(found: pd.Series | dict, truth: float) -> bool:
    """Tell whether the truth lies within twice the half-width of the interval: about four standard errors."""
    return abs(found["mean"] - truth) < found["high"] - found["low"]


def test_imagenets_other_classes_have_a_kind():
    table = pd.read_csv(ROOT / "src/pretraining_gain/metadata/imagenet_kinds.csv")
    imagenet = load_class_table("imagenet1k")
    assert table["key"].tolist() == imagenet.loc[~imagenet["animal"], "key"].tolist()
    assert KINDS.value_counts().to_dict() == {
        "artefacts": 99, "other animals": 29, "mammals": 26, "scenes": 24, "food and plants": 18, "birds": 4,
    }  # fmt: skip
    assert set(kinds(load_class_table("cifar10"))) == {"animals", "other classes"}


@pytest.mark.parametrize(
    ("table", "name", "rank"),
    [
        ("cub100", "Black-footed Albatross", "species"), ("cub100", "Gadwall", "family"), ("cub100", "Bobolink", "class"),
        ("caltech101_animals", "dalmatian", "species"), ("caltech101_animals", "leopard", "genus"),
        ("caltech101_animals", "crocodile", "order"), ("caltech101_animals", "nautilus", "phylum"),
    ],
)  # fmt: skip
def test_the_nearest_relative_in_tiny_imagenet(table, name, rank):
    target = keep_keys_of(SOURCE, load_class_table(table))
    assert nearest_rank(target, SOURCE)[target["name"] == name].tolist() == [rank]


def test_a_table_without_families_has_no_relatives():
    assert nearest_rank(load_class_table("caltech101_animals"), load_class_table("cifar10")).isna().all()


@pytest.mark.parametrize(
    ("study", "counted"),
    [
        (MAIN, {"kinds": 180, "ranks": 40, "target_size": 40, "saturation": 150, "parts": 160}),
        ("mini", {"kinds": 0, "ranks": 0, "target_size": 0, "saturation": 90, "parts": 100}),
        ("paper_weights", {"kinds": 0, "ranks": 0, "target_size": 0, "saturation": 0, "parts": 0}),
    ],
)
def test_a_figure_needs_the_runs_that_its_experiment_compares(study, counted):
    found = {one.key: one.needs.finetunings(study) for one in figures_of("25_why")}
    assert {key: len(runs) for key, runs in found.items()} == {f"figure_{name}": n for name, n in counted.items()}


def test_targets_of_one_size_only_are_main_targets():
    assert list(main_targets(STUDY)) == ["birds", "caltech101_animals", "tiny_animals"]
    sizes = experiments.by_target_size(STUDY, finetuning_runs(MAIN))
    assert {run.seed for run in sizes} == {100, 101, 102, 103, 104}
    assert {run.downstream for run in sizes} == {"birds", "birds_5", "birds_10", "birds_20"}


@pytest.mark.parametrize(
    ("select", "arm", "target", "left"),
    [
        (experiments.saturation, "animal-k59", "caltech101_animals", {"birds", "tiny_animals"}),
        (experiments.saturation, SCRATCH, "birds", {"caltech101_animals", "tiny_animals"}),
        (experiments.parts_of_the_gain, "non_animal-k59", "caltech101_animals", {"birds", "tiny_animals"}),
        (experiments.by_distance, "all-k200", "caltech101_animals", {"birds"}),
        (experiments.by_target_size, SCRATCH, "birds_10", {"birds", "birds_5", "birds_20"}),
        (experiments.many_subsets, "random-k30-which_classes", "birds", {"caltech101_animals", "tiny_animals"}),
    ],
)
def test_an_experiment_leaves_out_a_target_that_lacks_an_arm(select, arm, target, left):
    """Or, of random subsets, nearly all of them."""
    runs = [run for run in finetuning_runs(MAIN) if run.seed == 200 or (run.arm, run.downstream) != (arm, target)]
    found = [run for run in select(STUDY, runs) if run.pool != "half_animal"]
    assert {run.downstream for run in found} == left


def test_planted_effects_of_kinds_are_found(why):
    rows = why.kinds[why.kinds["whose"] == "all species"]
    assert (rows["n_subsets"] == 60).all()
    for row in rows.to_dict("records"):
        assert near(row, EXCHANGED * PLANTED[row["term"]]), row
        assert row["high"] - row["low"] < 0.2
    birds = rows[rows["term"] == "birds"]
    assert (birds["low"] > 0).all()


def test_a_planted_exchange_of_animals_for_others_is_found(why):
    """Kinds count by their classes in the source. The arms of one sort differ as planted, by 0.04."""
    of_class = KINDS.map(PLANTED)
    truth = of_class[SOURCE["animal"]].mean() - of_class[~SOURCE["animal"]].mean()
    rows = why.exchanges.set_index(["what", "target"])
    assert len(rows) == 6
    for row in rows.loc["animals_for_others"].to_dict("records"):
        assert near(row, EXCHANGED * truth)
        assert row["high"] - row["low"] < 0.02
    for row in rows.loc["animals_for_all_others"].to_dict("records"):
        assert near(row, 0.04)


def test_the_regression_predicts_subsets_that_it_has_not_seen(why):
    found = why.held_out.set_index(["target", "measure"])
    assert (found["n_held_out"] == 12).all()
    assert found.loc[("birds", "correlation"), "low"] > 0
    assert found.loc[("birds", "r2"), "mean"] > 0.2
    nothing = simulate(lambda run: 0.3).held_out.set_index(["target", "measure"])
    assert (nothing["low"] < 0).all()


@pytest.mark.slow
def test_intervals_of_effects_hold_the_truth_as_often_as_they_say():
    """400 studies: also where runs and species share errors, and species differ in how much their own kind helps."""
    drawn = [sample_classes(SOURCE, "random", 30, seed, "independent").class_ids for seed in range(200, 260)]
    counts = pd.DataFrame([KINDS.loc[list(ids)].value_counts() for ids in drawn]).fillna(0).reset_index(drop=True)
    counts = counts[[name for name in PLANTED if name != "artefacts"]]
    kind, animals = kinds(load_class_table("caltech101_animals")), ["mammals", "birds", "other animals"]
    rng = np.random.default_rng(3)
    own = np.stack([counts[one] for one in kind], axis=1)
    other = counts[animals].sum(axis=1).to_numpy()[:, None] - own
    truth, held = pd.Series([PLANTED[name] for name in counts], counts.columns), {"all": [], "own": [], "exchange": []}
    weights = pd.Series(rng.normal(size=len(truth)), truth.index)
    for _ in range(400):
        noise = rng.normal(0, 0.012, (60, 1))
        top1 = (counts @ truth).to_numpy() + noise[:, 0]
        found = statistics.effects_of_counts(top1, counts)
        held["all"].append(found["low"].lt(truth) & found["high"].gt(truth))
        exchange = statistics.effect_of_exchange(top1, counts, weights)
        held["exchange"].append(exchange["low"] < weights @ truth < exchange["high"])
        slopes = rng.normal([[OWN], [OTHER]], 0.002, (2, len(kind)))
        means = 0.4 + slopes[0] * own + slopes[1] * other + noise + rng.normal(0, 0.06, own.shape)
        found = statistics.effects_of_own_kind(means, counts, kind, animals)
        planted = pd.Series([OWN, OTHER, OWN - OTHER], found.index)
        held["own"].append(found["low"].lt(planted) & found["high"].gt(planted))
    for name, one in held.items():
        assert 0.91 < np.mean(one) < 0.98, name


def test_own_kind_is_the_difference_between_species(why):
    """Species of each kind gain as planted from their own kind, on a target of three kinds."""
    kind = kinds(load_class_table("caltech101_animals"))

    def expected(run: Run) -> np.ndarray | float:
        held = KINDS.loc[list(run.subset.class_ids)].value_counts() if run.design == "which_classes" else pd.Series(dtype=int)
        own = kind.map(lambda one: held.get(one, 0)).to_numpy()
        animals = sum(held.get(name, 0) for name in ("mammals", "birds", "other animals"))
        return 0.3 + 0.02 * own + OTHER * (animals - own) if run.downstream == "caltech101_animals" else 0.3

    rows = simulate(expected).kinds.set_index(["target", "term"]).loc["caltech101_animals"]
    assert near(rows.loc["its own kind"], EXCHANGED * 0.02)
    assert near(rows.loc["animals of other kinds"], EXCHANGED * OTHER)
    assert rows.loc["own kind − other kinds", "low"] > 0
    assert near(rows.loc["own kind − other kinds"], EXCHANGED * (0.02 - OTHER))


def test_the_gain_falls_with_distance_as_planted(why):
    rows = why.ranks.set_index(["target", "rank"])
    assert rows["n_classes"].groupby("target").sum().to_dict() == {"birds": 100, "caltech101_animals": 36}
    for (_, rank), row in rows.iterrows():
        assert near(row, 0.2 + PER_RANK * RANKS.index(rank))
    assert set(why.rank_trend) == {"birds", "caltech101_animals", "all"}
    for slope in why.rank_trend.values():
        assert abs(slope.mean - PER_RANK) < 4 * slope.se
    assert why.rank_trend["all"].interval()[1] < 0


def test_the_gain_falls_with_target_data_as_planted(why):
    assert why.target_sizes["images"].tolist() == [5, 10, 20, 30]
    assert (why.target_sizes["n_seeds"] == 5).all()
    assert abs(why.per_doubling.mean - PER_DOUBLING) < 4 * why.per_doubling.se
    assert why.per_doubling.interval()[1] < 0


def test_curves_rise_and_predict_as_planted(why):
    rows = why.curves.set_index(["target", "by", "what", "at"])
    for target in main_targets(STUDY):
        line = rows.loc[target]
        assert near(line.loc[("classes", "slope", 0)], PER_CLASS_DOUBLING)
        assert near(line.loc[("images", "slope", 0)], PER_IMAGE_DOUBLING)
        assert near(line.loc[("classes", "bend", 0)], 0)
    for target in ("birds", "caltech101_animals"):  # by chance, the third curve bends
        predicted = rows.loc[target].loc["classes"].loc["predicted"]
        for at in (118, 398):
            assert near(predicted.loc[at], 0.06 + PER_CLASS_DOUBLING * np.log2(at / 15))
        widths = predicted.eval("high - low")
        assert widths[398] > widths[118]


def test_more_classes_with_as_many_images_and_fewer_images_of_the_same_differ_as_planted(why):
    contrasts = design_contrasts(why.load("birds"), MAIN)
    at_fixed = np.log2(59 / 30) * (PER_CLASS_DOUBLING - PER_IMAGE_DOUBLING)
    of_images = np.log2(15_000 / (500 * 59)) * PER_IMAGE_DOUBLING
    for name, truth in {"animal_k59_minus_animal_k30": at_fixed, "animal_k59_change": of_images}.items():
        assert near(row_of(contrasts[f"matched_images_{name}"]), truth)
    assert "matched_images_animal_k30_change" not in contrasts  # the same runs
    assert not [name for name in contrasts if name.startswith("which_classes")]  # one arm


def test_of_designs_with_as_many_images_the_curve_has_one(why):
    target, arms = why.load("birds"), why.compared(experiments.saturation)["birds"]
    images = target.runs["pretrain_images"].replace(7500 // 59 * 59, 15_000 // 59 * 59)
    rows = pd.DataFrame(_both_curves(replace(target, runs=target.runs.assign(pretrain_images=images)), arms))
    by_images = rows[rows["by"] == "images"]
    assert by_images.loc[by_images["what"] == "gain", "at"].tolist() == [15_000 // 59 * 59, 500 * 59]
    assert np.isfinite(rows[["mean", "low", "high"]]).all(axis=None)


def test_a_bend_and_a_level_end_are_said():
    def level(run: Run) -> float:
        return 0.25 if run.pool == SCRATCH or run.k < 59 or run.downstream != "birds" else 0.4

    bent = simulate(level, per_class=40)
    said, predicted = why_numbers(bent), bent.curves.loc[bent.curves["what"] == "predicted", "target"].unique()
    assert "birds" not in predicted
    assert "caltech101_animals" in predicted
    assert said["birds_saturation"].startswith("The curve gets steeper")
    assert said["caltech101_animals_saturation"].startswith("The fit cannot tell whether the gain still rises")


def test_a_planted_equivalent_number_is_found(why):
    truth = 59 * 2 ** (0.04 / PER_CLASS_DOUBLING)
    found = why.equivalents.set_index("target")
    assert list(found.index) == list(main_targets(STUDY))
    for row in found.to_dict("records"):
        assert (row["n_animals"], row["most"]) == (59, 141)
        assert abs(np.log2(row["mean"] / truth)) < np.log2(row["high"] / row["low"])
        assert row["low"] < row["mean"] < row["high"] < 3 * truth
    answers = why.load("birds").answers
    others = [15, 30, 59, 141]
    top1 = {arm: answers.correct[arm].mean() for arm in ("animal-k59", *(f"non_animal-k{k}" for k in others))}
    slope, height = np.polyfit(np.log2(others), [top1[f"non_animal-k{k}"] for k in others], 1)
    assert found.loc["birds", "mean"] == pytest.approx(2 ** ((top1["animal-k59"] - height) / slope))


def test_an_equivalent_number_that_cannot_be_told_is_not_stated():
    def others(run: Run) -> float:
        """On the birds they bend, on Caltech-101's animals they bring nothing, and in domain little."""
        if run.pool != "non_animal":
            return 0.45
        by_target = {"birds": 0.3 * (run.k == 141), "caltech101_animals": 0.0, "tiny_animals": 0.022 * np.log2(run.k / 15)}
        return 0.35 + by_target.get(run.downstream, 0.0)

    said = why_numbers(simulate(others, per_class=40))
    assert said["birds_equivalent_said"].startswith("The curve of the other classes clearly bends")
    assert said["caltech101_animals_equivalent_said"].startswith("The fit sets no bounds")
    assert said["tiny_animals_equivalent_said"].startswith("59 animal classes are worth more than the 141 others")
    assert {"birds_equivalent", "caltech101_animals_equivalent"}.isdisjoint(said)


def test_a_chapter_that_states_a_slope_says_whether_the_curve_bends():
    text = (ROOT / "book" / "why.md").read_text()
    assert set(re.findall(r"why\.(\w+)_classes_slope", text)) <= set(re.findall(r"why\.(\w+)_saturation", text))


def test_the_parts_add_up_and_are_as_planted(why):
    for target, rows in why.parts.groupby("target"):
        means = rows.set_index("part")["mean"]
        assert means.drop("all").sum() == pytest.approx(means["all"])
        assert ("own class" in means) == (target != "birds")
    own = why.parts.set_index(["target", "part"]).loc[("tiny_animals", "own class")]
    assert near(own, OWN_CLASS)
    assert own["low"] > 0


def test_pairs_that_decide_nothing_of_a_species_do_not_dilute_its_effect(why):
    """Butterflies have two classes in the source, often one in each half; and one of 59 animals is in neither half."""
    target = why.load("caltech101_animals")
    arm, named = "half_animal-k170", target.classes["represented_by"]
    drawn = [list(sample_classes(SOURCE, "half_animal", 170, seed).class_ids) for seed in target.seeds_of[arm]]
    shown = [set(SOURCE.loc[ids, "key"]) for ids in drawn]
    exact = np.array([[0.3 + 0.1 * (not held.isdisjoint(keys.split(";"))) for keys in named] for held in shown])
    table, effect = assigned_effect(replace(target, correct={arm: exact[:, target.labels]}))
    assert effect.mean == pytest.approx(0.1)
    assert table["mean"].tolist() == pytest.approx([0.1] * 6)


def test_without_a_pair_of_halves_or_a_species_in_one_of_them_chance_decides_nothing(why, monkeypatch):
    target, arm = why.load("tiny_animals"), "half_animal-k170"
    assert assigned_effect(target)
    with monkeypatch.context() as patch:
        patch.setattr(designs, "is_named", lambda classes: pd.Series(classes.index == target.labels[0], classes.index))
        assert assigned_effect(target) is None  # of one species
    even = np.array([seed % 2 == 0 for seed in target.seeds_of[arm]])
    seeds, correct = {arm: np.array(target.seeds_of[arm])[even].tolist()}, {arm: target.correct[arm][even]}
    assert assigned_effect(replace(target, seeds_of=seeds, correct=correct)) is None
    monkeypatch.setattr(designs, "sample_classes", lambda table, *_: ClassSubset("half_animal", 0, tuple(table["class_id"])))
    assert assigned_effect(target) is None
    monkeypatch.setattr(designs, "is_named", lambda classes: pd.Series(False, classes.index))
    assert assigned_effect(target) is None


def test_sums_done_by_hand_agree(why):
    """Slopes, kinds and exchanges again, from single answers, with numpy's least squares in place of statsmodels."""
    target = why.load("birds")
    long = pd.DataFrame(
        [{"arm": arm, "seed": seed, "class_id": class_id, "right": share}
         for arm, seeds in target.seeds_of.items() for place, seed in enumerate(seeds)
         for class_id, share in pd.Series(target.correct[arm][place]).groupby(target.labels).mean().items()]
    )  # fmt: skip
    top1 = long.groupby("arm")["right"].mean()
    curve = why.curves.set_index(["target", "by", "what", "at"])["mean"].loc["birds", "classes"]
    line = np.polyfit(np.log2([15, 30, 59]), [top1[f"animal-k{k}"] - top1["scratch"] for k in (15, 30, 59)], 1)
    assert curve["slope", 0] == pytest.approx(line[0])
    assert curve["predicted", 398] == pytest.approx(np.polyval(line, np.log2(398)))
    by_class = long.groupby(["arm", "class_id"])["right"].mean()
    gain = by_class["all-k200"] - by_class["scratch"]
    table = keep_keys_of(SOURCE, load_class_table("cub100"))
    steps = nearest_rank(table, SOURCE).map(RANKS.index).astype(float)
    assert why.rank_trend["birds"].mean == pytest.approx(np.polyfit(steps, gain, 1)[0])
    of_subsets = long[long["arm"] == "random-k30-which_classes"].groupby("seed")["right"].mean()
    drawn = {seed: sample_classes(SOURCE, "random", 30, seed, "independent").class_ids for seed in of_subsets.index}
    names = [name for name in PLANTED if name != "artefacts"]
    counted = np.array([[(KINDS.loc[list(ids)] == name).sum() for name in names] for ids in drawn.values()])
    solved = np.linalg.lstsq(np.column_stack([np.ones(60), counted]), of_subsets.to_numpy(), rcond=None)[0]
    kind = why.kinds[(why.kinds["target"] == "birds") & (why.kinds["whose"] == "all species")]
    assert kind["mean"].tolist() == pytest.approx((EXCHANGED * solved[1:]).tolist())
    shares = [np.array([(KINDS[SOURCE["animal"] == sort] == name).mean() for name in names]) for sort in (True, False)]
    exchanged = why.exchanges.set_index(["target", "what"]).loc["birds", "mean"]
    assert exchanged["animals_for_others"] == pytest.approx(EXCHANGED * (shares[0] - shares[1]) @ solved[1:])
    assert exchanged["animals_for_all_others"] == pytest.approx(top1["animal-k30"] - top1["non_animal-k30"])


def test_a_study_says_which_experiments_it_lacks():
    why = Why.from_parameters({"study": "mini"})
    drawn = {one.key: one.drawn(why, Plan.of("mini")) for one in figures_of("25_why")}
    absent = [key for key, found in drawn.items() if found == "Study mini has no runs for this comparison."]
    assert absent == ["figure_kinds", "figure_ranks", "figure_target_size"]


def test_a_slope_over_classes_leaves_out_those_without_a_place(why):
    evaluation = why.load("caltech101_animals")
    places = pd.Series([0.0, 0.0, 3.0, np.nan], [0, 1, 2, 3])
    weights = evaluation.gain("all-k200")
    found = statistics.estimate_slope(evaluation.answers, weights, places)
    assert found.n_classes == 3
    contrast = evaluation.answers.class_contrast(weights)
    assert found.mean == pytest.approx((contrast[2] - contrast[:2].mean()) / 3)


def test_independent_estimates_are_combined_by_their_precision(why):
    first, second = (statistics.estimate_mean(why.load(name).answers, {"scratch": 1.0}) for name in ("birds", "tiny_animals"))
    both, difference = statistics.combine([first, second]), statistics.combine([first, second], [1, -1])
    assert both.se == pytest.approx((first.se**-2 + second.se**-2) ** -0.5)
    assert difference.mean == pytest.approx(first.mean - second.mean)
    assert difference.se == pytest.approx(np.hypot(first.se, second.se))


@pytest.mark.parametrize("run", [True, False])
def test_the_chapter_builds_with_and_without_results(why, results, tmp_path, run):
    figures = {one.key: FIGURE for one in figures_of("25_why")}
    numbers = {key: float(one) if isinstance(one, float) else one for key, one in why_numbers(why).items()} if run else {}
    root = tmp_path / "project"
    write_notebook(root / "book/executed/mini/25_why.ipynb", "25_why", figures, numbers)
    for study in ("toy", "paper"):
        write_notebook(root / f"book/executed/{study}/25_why.ipynb", "19_not_run", {}, {})
    elsewhere = r" \{cite:p\}`\w+`|\((?:fig-b3|claim-c\d+)\)|\(plan-of-analysis.md\)|\[\]\(\w+\.md\)"
    text = re.sub(elsewhere, "", (ROOT / "book" / "why.md").read_text())
    page, said = render(root, text.partition("\n")[2])
    assert said == ""
    assert len(page.select(".gain-figure")) == 5
    assert ("On the birds alone" in page.text) == run
