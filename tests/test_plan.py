"""PLAN: subsets, recipes, studies, runs and fingerprints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise

import pytest
from conftest import ROOT

from pretraining_gain.errors import InputError
from pretraining_gain.plan.code import normalised
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.recipes import ASSUMED, CHOSEN, PAPER, PAPER_RECIPES, Recipe, RecipeChoice, lr_at
from pretraining_gain.plan.runs import Run, finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import load_study, study_names
from pretraining_gain.plan.subsets import POOLS, pool_class_ids, sample_classes
from pretraining_gain.plan.taxonomy import load_class_table


def test_plan_and_tell_import_no_torch():
    code = (
        "import sys; import pretraining_gain.plan.costs, pretraining_gain.tell.gains, pretraining_gain.tell.figures,"
        "pretraining_gain.tell.book, pretraining_gain.tell.build, pretraining_gain.execute;"
        "sys.exit('torch' in sys.modules or any(m.startswith('pretraining_gain.compute') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("pool", POOLS)
def test_subsets_are_sorted_seeded_and_nested(pool):
    table = load_class_table("imagenet1k")
    subsets = [sample_classes(table, pool, k, seed=3) for k in (1, 50, 200, 398)]
    for smaller, larger in pairwise(subsets):
        assert set(smaller.class_ids) < set(larger.class_ids)
    assert subsets[1] == sample_classes(table, pool, 50, seed=3)
    assert subsets[1] != sample_classes(table, pool, 50, seed=4)
    assert list(subsets[1].class_ids) == sorted(subsets[1].class_ids)


def test_pools_of_imagenet():
    table = load_class_table("imagenet1k")
    assert list(pool_class_ids(table, "animal")) == list(range(398))
    assert list(pool_class_ids(table, "non_animal")) == list(range(398, 1000))
    assert len(pool_class_ids(table, "random")) == len(pool_class_ids(table, "all")) == 1000


def test_random_draws_from_all_classes_about_evenly():
    table = load_class_table("imagenet1k")
    animals = [sum(i < 398 for i in sample_classes(table, "random", 100, seed).class_ids) for seed in range(50)]
    assert 37 < sum(animals) / 50 < 43  # expected 39.8, standard error about 0.66


def test_learning_rate_follows_the_papers_schedule():
    pretrain = load_study("paper").pretrain.resolve()
    assert [lr_at(pretrain, epoch) for epoch in (0, 29, 30, 60, 89)] == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])
    inat, imagenet = (downstream.recipe.resolve() for downstream in load_study("paper").downstreams)
    assert [lr_at(inat, epoch) for epoch in (0, 19, 20, 59)] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    assert [lr_at(imagenet, epoch) for epoch in (0, 4, 5, 14)] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_papers_recipes_are_the_papers():
    study = load_study("paper")
    pretrain, (inat, imagenet) = study.pretrain.resolve(), [d.recipe.resolve() for d in study.downstreams]
    assert (pretrain.epochs, pretrain.batch_size, pretrain.momentum, pretrain.weight_decay) == (90, 256, 0.9, 1e-4)
    assert (inat.epochs, inat.batch_size, inat.freeze_backbone) == (60, 1024, False)
    assert (imagenet.epochs, imagenet.freeze_backbone) == (15, True)
    assert study.backbone == "resnet50"


def test_every_recipe_value_says_where_it_comes_from():
    for name, fields in PAPER_RECIPES.items():
        assert set(fields) == set(Recipe.model_fields), name
        assert {source for _, source in fields.values()} <= {PAPER, ASSUMED}
    sources = RecipeChoice(based_on="pretrain", changes={"epochs": 3}).sources()
    assert sources["epochs"] == CHOSEN and sources["momentum"] == PAPER and sources["image_size_px"] == ASSUMED


def test_the_three_studies_list_their_runs():
    assert study_names() == ["controls", "mini", "paper", "toy"]
    for name in study_names():
        runs = Plan.of(name).runs()
        assert len({run.run_id for run in runs if run.downstream}) == len([r for r in runs if r.downstream])
        assert len({run.record_path for run in runs}) == len(runs)
        assert all(run.run_id in str(run.record_path) for run in runs)
        assert Plan.of(name).numbers()["device_hours"] > 0


def test_mini_holds_the_grid():
    study = load_study("mini")
    arms = {(run.pool, run.k) for run in finetuning_runs(study)}
    assert arms == {
        ("scratch", 0), ("animal", 2), ("animal", 4), ("animal", 6), ("non_animal", 2), ("non_animal", 4),
        ("random", 2), ("random", 4), ("random", 6), ("random", 8), ("all", 10),
    }  # fmt: skip
    assert len(study.seeds) >= 3
    assert len(pretraining_runs(study)) == 10 * len(study.seeds)
    assert len(finetuning_runs(study)) == 11 * 2 * len(study.seeds)
    out, inside = study.downstreams
    assert out.images.train_images_per_class == 20 and not out.recipe.resolve().freeze_backbone
    assert inside.recipe.resolve().freeze_backbone


def test_plan_prints_without_data():
    done = subprocess.run(
        [sys.executable, "-m", "pretraining_gain.plan", "paper"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and "141 runs" in done.stdout and "all-k1000-s0-resnet50" in done.stdout


def test_equal_runs_are_written_equally():
    assert Run(study="mini", pool="random", k=10) == Run(study="mini", pool="all")
    assert Run(study="mini", pool="animal", k=0).k == 6
    run = Run(study="mini", pool="animal", k=4, seed=1, downstream="caltech101_animals")
    assert run.run_id == "caltech101_animals--animal-k4-s1-resnet10_w16"
    assert Run(**run.parameters()) == run
    assert run.pretraining == Run(study="mini", pool="animal", k=4, seed=1)
    assert Run(study="mini", pool="scratch", downstream="caltech101_animals").pretraining is None


def test_two_downstreams_share_one_pretraining():
    runs = [Run(study="mini", pool="animal", k=4, downstream=d) for d in ("caltech101_animals", "cifar10_animals")]
    assert runs[0].pretraining.record_path == runs[1].pretraining.record_path


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"pool": "NA"}, "pool 'NA' is unknown; accepted: all, animal, non_animal, random"),
        ({"pool": "animal", "k": 7}, "k=7 is not possible for pool 'animal' of study 'mini'; accepted: 1 to 6"),
        ({"pool": "scratch"}, "accepted: all, animal, non_animal, random"),
        ({"pool": "scratch", "k": 2, "downstream": "cifar10_animals"}, "accepted: 0"),
        ({"seed": -1}, "seed"),
        ({"k": "4"}, "k"),
        ({"k": True}, "k"),
        ({"backbone": "vgg"}, "accepted: resnet50, resnet18"),
        ({"downstream": "birds"}, "accepted: caltech101_animals, cifar10_animals"),
        ({"sede": 3}, "sede"),
        ({"study": "minni"}, "accepted: controls, mini, paper, toy"),
        ({"image_size_px": 5000}, "image_size_px"),
    ],
)
def test_a_wrong_parameter_is_one_line_that_names_it(parameters, said):
    with pytest.raises(InputError) as caught:
        Run.from_parameters({"study": "mini", **parameters})
    assert said in str(caught.value) and "\n" not in str(caught.value)


def change(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def test_fingerprint_changes_with_what_decides_and_with_nothing_else(tmp_path):
    text = (ROOT / "notebooks" / "studies" / "mini.yml").read_text()
    given = {"pool": "animal", "k": 4, "seed": 1}

    def fingerprints(content: str) -> tuple[str, str, str]:
        path = tmp_path / f"{abs(hash(content))}.yml"
        path.write_text(content)
        runs = [
            Run(study=str(path), **given),
            Run(study=str(path), downstream="caltech101_animals", **given),
            Run(study=str(path), downstream="cifar10_animals", **given),
        ]
        return tuple(run.fingerprint for run in runs)

    base = fingerprints(text)
    assert fingerprints(change(text, "title: CIFAR-10 to", "title: From CIFAR-10 to")) == base
    assert fingerprints(change(text, "seeds: [0, 1, 2]", "seeds: [0, 1, 2, 3]")) == base
    pretrain = fingerprints(change(text, "epochs: 15", "epochs: 16"))
    assert all(new != old for new, old in zip(pretrain, base, strict=True))
    downstream = fingerprints(change(text, "changes: {batch_size: 64", "changes: {batch_size: 32"))
    assert downstream[0] == base[0] and downstream[1] != base[1] and downstream[2] == base[2]


def test_code_fingerprint_ignores_words_and_layout_but_not_indentation():
    source = 'def f(x):\n    """Doc."""\n    for y in x:\n        print(y)  # why\n        g(y)\n'
    other = "def f(x):\n    # words\n    for y in x:\n        print(\n            y,\n        )\n\n        g(y)\n"
    assert normalised(source) == normalised(other)
    assert normalised(source) != normalised(source.replace("        g(y)", "    g(y)"))
    assert normalised(source) != normalised(source.replace("print", "log"))


FINGERPRINTS = """
from pretraining_gain.plan.runs import Run
given = {"study": "mini", "pool": "animal", "k": 4}
runs = [Run(**given), *(Run(downstream=d, **given) for d in ("caltech101_animals", "cifar10_animals"))]
runs.append(Run(study="mini", pool="scratch", downstream="cifar10_animals"))
print(*(run.fingerprint for run in runs))
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [  # which of: pretraining, its two finetunings (Caltech-101, CIFAR-10), scratch on CIFAR-10
        ("compute/training.py", "optimizer.step()", "optimizer.step(None)", (True, True, True, True)),
        ("compute/pretrain.py", "len(rows), run.seed", "len(rows), run.seed + 0", (True, True, True, False)),
        ("compute/evaluation.py", "argmax(1)", "argmax(-1)", (False, True, True, True)),
        ("compute/datasets/caltech101.py", "sorted(chosen)", "sorted(set(chosen))", (False, True, False, False)),
        ("compute/evaluation.py", "No randomness.", "None is random.", (False, False, False, False)),
        ("compute/progress.py", "starting", "begins", (False, False, False, False)),
        ("tell/stats.py", "draws: int = 2000", "draws: int = 3000", (False, False, False, False)),
        ("metadata/caltech101_animals.csv", ",flamingo;flamingo_head,", ",flamingo,", (False, True, False, False)),
        ("metadata/caltech101_animals.csv", ",Panthera pardus,", ",Panthera,", (False, False, False, False)),
    ],
)
def test_a_change_of_code_or_class_table_concerns_what_depends_on_it(tmp_path, file, old, new, changed):
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks" / "studies", copy / "notebooks" / "studies")

    def fingerprints() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", FINGERPRINTS], capture_output=True, text=True, cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy / "src")}, check=True,
        )  # fmt: skip
        return done.stdout.split()

    before = fingerprints()
    path = copy / "src" / "pretraining_gain" / file
    path.write_text(change(path.read_text(), old, new))
    assert tuple(one != other for one, other in zip(fingerprints(), before, strict=True)) == changed
