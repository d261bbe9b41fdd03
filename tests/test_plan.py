"""PLAN: subsets, recipes, studies, runs and fingerprints."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT, change_study

from pretraining_gain.plan.__main__ import main
from pretraining_gain.plan.costs import Plan, device_hours
from pretraining_gain.plan.recipes import ASSUMED, CHOSEN, PAPER, PAPER_RECIPES, Recipe, RecipeChoice
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study, study_names
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.software.price import figure_table

#: Code that ends with 1 if torch or the room that needs it was imported.
NO_TORCH = "sys.exit('torch' in sys.modules or any(m.startswith('pretraining_gain.compute') for m in sys.modules))"


def test_plan_and_tell_import_no_torch():
    names = ("plan.costs", "tell.results.gains", "tell.figures.taxa", "tell.book.paste", "tell.book.build", "execute")
    code = f"import sys, {', '.join(f'pretraining_gain.{name}' for name in names)}\n"
    code += f"for name in {study_names()}: pretraining_gain.plan.costs.Plan.of(name).numbers()\n{NO_TORCH}"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_papers_recipes_are_the_papers():
    study = load_study("paper")
    pretrain, (inat, imagenet) = study.pretrain.resolve(), [d.recipe.resolve() for d in study.downstreams[:2]]
    assert (pretrain.epochs, pretrain.batch_size, pretrain.momentum, pretrain.weight_decay) == (90, 256, 0.9, 1e-4)
    assert (inat.epochs, inat.batch_size, inat.freeze_backbone) == (60, 1024, False)
    assert (imagenet.epochs, imagenet.freeze_backbone) == (15, True)
    assert study.backbone == "resnet50"


def test_every_recipe_value_says_where_it_comes_from():
    for name, fields in PAPER_RECIPES.items():
        assert set(fields) == set(Recipe.model_fields), name
        assert {source for _, source in fields.values()} <= {PAPER, ASSUMED}
    sources = RecipeChoice(based_on="pretrain", changes={"epochs": 3}).sources()
    assert sources["epochs"] == CHOSEN
    assert sources["momentum"] == PAPER
    assert sources["image_size_px"] == ASSUMED


def test_all_studies_list_their_runs():
    minis, papers = ["mini", "mini_convnext", "mini_resnet"], ["paper", "paper_short", "paper_weights"]
    assert study_names() == ["anchors", "imagenet200", *minis, *papers, "toy"]
    for name in study_names():
        runs = Plan.of(name).runs()
        assert len({run.run_id for run in runs}) == len(runs)  # so no two have one record
        assert Plan.of(name).numbers()["device_hours"] > 0


def test_a_frozen_run_is_priced_by_the_views_that_its_backbone_sees():
    """2,000 images a second; 720 images in 6 views, forward only, and what is evaluated."""
    run = Run(study="mini", pool="scratch", downstream="caltech101_animals_frozen")
    evaluated = 36 * 50 / 3
    assert device_hours(run) * 3600 * 2000 == pytest.approx(720 * 6 / 3 + evaluated)
    full = Run(study="mini", pool="scratch", downstream="caltech101_animals")
    assert device_hours(full) * 3600 * 2000 == pytest.approx(720 * 60 + evaluated)


def test_designs_change_what_they_name_and_nothing_else():
    plain = Run(study="mini", pool="all")
    images, steps = (Run(study="mini", pool="all", design=name) for name in ("matched_images", "matched_steps"))
    assert images.images.train_images_per_class * images.k == 5000
    assert images.recipe == plain.recipe
    assert steps.images == plain.images
    assert (steps.recipe.epochs, steps.recipe.lr_step_epochs) == (6, 2)
    assert steps.recipe.model_copy(update={"epochs": 15, "lr_step_epochs": 5}) == plain.recipe
    assert len({plain.fingerprint, images.fingerprint, steps.fingerprint}) == 3
    assert images.arm == "all-k10-matched_images"
    assert Run(**images.parameters()) == images
    assert Run(study="mini", pool="animal", k=2, design="matched_images").design == ""  # 2 × 2,500 are 5,000 anyway
    assert Run(study="mini", pool="scratch", design="matched_images", downstream="cifar10_animals").design == ""


def test_the_command_loads_no_torch_and_reads_no_data(tmp_path):
    """Print the plan as `make plan` does, without data and results."""
    code = f"import sys; from pretraining_gain.plan.__main__ import main; main('paper'); {NO_TORCH}"
    places = {f"PRETRAINING_GAIN_{name}": str(tmp_path / name) for name in ("DATA", "RESULTS", "CACHE", "PREPARED")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ | places)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("study", study_names())
def test_the_command_prints_runs_price_and_disk_of_every_study(study, capsys):
    main(study)
    said = capsys.readouterr().out
    assert [text for text in ("-s", "hours_on_1", "hours_on_8", "GB", " runs, ") if text not in said] == []


def test_shorter_studies_of_the_paper_cost_a_part_of_it():
    plans = {name: Plan.of(name) for name in ("paper", "paper_short", "paper_weights")}
    hours = {name: plan.numbers()["device_hours"] for name, plan in plans.items()}
    assert hours["paper_short"] / hours["paper"] == pytest.approx(0.2, abs=0.01)
    assert hours["paper_weights"] == pytest.approx(11, abs=0.5)
    assert {name for name, figure in FIGURES.items() if figure.runs(plans["paper_weights"])} >= {"figure_1", "figure_2"}
    assert not FIGURES["figure_3"].runs(plans["paper_weights"])


def test_the_plan_of_paper_states_its_price_by_figure_and_its_disk():
    plan = Plan.of("paper")
    figures = figure_table(plan)
    papers = ["Figures 1 and 2", "Figure 3", "Figure 4", "Figures 6 and B4"]
    ours = [f"Figure {name}" for name in ("B1", "B2", "B3", "W4", "W5")]
    assert list(figures.index) == [*papers, *ours, "other comparisons", "all"]
    assert (figures["hours_on_8"] * 8 - figures["hours_on_1"]).abs().max() < 1e-9
    assert figures.at["all", "hours_on_1"] == pytest.approx(plan.numbers()["device_hours"])
    assert figures.loc[papers, "runs"].max() < figures.at["all", "runs"] == 399
    disk = plan.disk_table()["GB"]
    # 1.3 million images of 256 px at about 32 kB, and 50 + 50 of each of 5,388 classes
    assert 35 < disk["prepared imagenet1k, train"] < 50
    assert 7 < disk["prepared inat2021, train"] < 11
    assert "H100" in plan.numbers()["device"]
    assert "pytorch-image-models issue 1491" in plan.numbers()["throughput_source"]


def test_equal_runs_are_written_equally():
    assert Run(study="mini", pool="random", k=10) == Run(study="mini", pool="all")
    assert Run(study="mini", pool="animal", k=0).k == 6
    run = Run(study="mini", pool="animal", k=4, seed=1, downstream="caltech101_animals")
    assert run.run_id == "caltech101_animals--animal-k4-s1-resnet10_w16"
    assert Run(**run.parameters()) == run
    other = Run(study="mini", pool="animal", k=4, seed=1, downstream="cifar10_animals")
    assert run.pretraining == other.pretraining == Run(study="mini", pool="animal", k=4, seed=1)
    assert Run(study="mini", pool="scratch", downstream="caltech101_animals").pretraining is None


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        ("title: CIFAR-10 to", "title: From CIFAR-10 to", set()),
        ("509]\nbalanced", "509, 510]\nbalanced", set()),
        ("epochs: 15", "epochs: 16", {"", "caltech101_animals", "cifar10_animals"}),
        ("changes: {batch_size: 64", "changes: {batch_size: 32", {"caltech101_animals"}),
    ],
    ids=["title", "seeds", "recipe of the pretraining", "recipe of a target"],
)
def test_fingerprint_changes_with_what_decides_and_with_nothing_else(tmp_path, old, new, differ):
    path = tmp_path / "own.yml"
    path.write_text((ROOT / "notebooks" / "studies" / "mini.yml").read_text())

    def fingerprints() -> dict[str, str]:
        targets = ("", "caltech101_animals", "cifar10_animals")
        return {name: Run(study=str(path), downstream=name, pool="animal", k=4, seed=1).fingerprint for name in targets}

    before = fingerprints()
    change_study(str(path), {old: new})
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == differ


def test_a_reader_of_the_plan_who_stops_early_is_no_error():
    command = f"{sys.executable} -m pretraining_gain.plan paper | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Study paper")
