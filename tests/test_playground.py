"""The playground without a browser: what can be chosen, what is refused, training, stopping, going on, and the gain."""

from __future__ import annotations

import json
import re
import shutil

import nbformat
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, change_study, simulate_results, wait_for
from refusal import refused
from test_starts import write_study

from pretraining_gain.bench.growth import write_run
from pretraining_gain.errors import InputError
from pretraining_gain.execute import execute
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study, study_names
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.playground.choices import Choice, missing_data, playground_root, scratch_partner, targets
from pretraining_gain.playground.outcome import Outcome, stored_gains
from pretraining_gain.playground.panel import Playground
from pretraining_gain.playground.pictures import gains_widget, show_gains
from pretraining_gain.playground.training import Training
from pretraining_gain.playground.work import Work, duration, outcomes_of, record_of
from pretraining_gain.tell.figures.inert import plotly_text

NOTEBOOK = ROOT / "notebooks" / "90_playground.ipynb"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pool": "animal", "k": 13}, "k=13 is not possible for pool 'animal' of study 'toy'; accepted: 1 to 12"),
        ({"epochs": 31}, "epochs=31; accepted: 1 to 30 (0: the recipe's 15)"),
        ({"freeze_backbone": "maybe"}, "freeze_backbone: Input should be '', 'yes' or 'no'"),
        ({"species": "yeti"}, "species 'yeti' is not in 'field'; accepted: "),
    ],
)
def test_what_cannot_be_is_one_line(given, said, results):
    with refused(said, unchanged=results):
        Choice(study="toy", **given).run()


def test_a_choice_like_the_studys_own_is_the_studys_own_run(results):
    own = Run(study="toy", pool="animal", k=4, downstream="field")
    assert Choice(study="toy", pool="animal", k=4, epochs=15, backbone="resnet10_w16").run() == own
    assert Choice(study="toy", pool="animal", k=4, freeze_backbone="yes").run().downstream == "field_frozen"
    full = Choice(study="mini", downstream="cifar10_animals", freeze_backbone="no").run()
    assert full.downstream == "cifar10_animals_full"
    assert [target.name for target in targets(load_study("toy"))] == ["field", "clean"]
    assert [target.name for target in targets(load_study("mini"))] == ["caltech101_animals", "cifar10_animals"]


def test_what_the_study_does_not_do_differs_from_it_in_freezing_only(results):
    run, own = Choice(study="toy", downstream="clean", freeze_backbone="no").run(), Run(study="toy", downstream="clean")
    changed = {"freeze_backbone": False, "frozen_views": 0}
    assert run.recipe == own.recipe.model_copy(update=changed)
    assert run.images == own.images
    assert run.pretraining.fingerprint == own.pretraining.fingerprint
    assert run.plan.name == "toy"
    assert run.plan.model_copy(update={"downstreams": own.plan.downstreams}) == own.plan
    partner = scratch_partner(run)
    assert (partner.downstream, partner.pool, partner.recipe) == (run.downstream, "scratch", run.recipe)
    assert scratch_partner(partner) is None


@pytest.mark.parametrize("name", ["field", "a_target_with_a_name_of_forty_characters"])
def test_a_target_can_be_frozen_beside_one_of_that_name_with_another_recipe(results, tmp_path, name):
    study = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text()) | {"name": "clash"}
    study["downstreams"][0]["name"] = name
    study["downstreams"][2]["recipe"]["changes"]["epochs"] = 30
    (tmp_path / "clash.yml").write_text(yaml.safe_dump(study))
    run = Choice(study=str(tmp_path / "clash.yml"), downstream=name, freeze_backbone="yes").run()
    assert (run.recipe.freeze_backbone, run.recipe.epochs) == (True, 15)


def test_a_study_of_weights_alone_can_be_frozen(results):
    run = Choice(study="paper_weights", freeze_backbone="yes").run()
    assert run.recipe.freeze_backbone
    assert run.pool == "torchvision_v1"


def test_a_run_that_keeps_its_network_is_finished_with_its_network(results, monkeypatch):
    run = Run(study="toy", pool="scratch", downstream="field")
    record = record_of(run)
    record.parent.mkdir(parents=True)
    for kind in (".json", ".csv.gz"):
        record.with_suffix(kind).touch()
    assert outcomes_of(record, run) == [record.with_suffix(".csv.gz")]
    monkeypatch.setattr(Run, "keeps_network", True)
    assert outcomes_of(record, run) == []
    record.with_suffix(".safetensors").touch()
    assert outcomes_of(record, run) == [record.with_suffix(kind) for kind in (".csv.gz", ".safetensors")]


def test_a_study_without_its_data_says_what_is_missing_and_cannot_be_trained(results, tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    playground = Playground(Choice(study="paper"))
    said = missing_data(load_study("paper"))
    assert said.startswith("Study paper cannot be trained here, as dataset imagenet1k is missing")
    assert "make prepare" in said
    assert said in playground.plan.value
    assert playground.train_button.disabled
    with pytest.raises(InputError, match="dataset imagenet1k is missing"):
        playground.train()
    playground.controls.study.value = "mini"
    assert "dataset cifar10 is missing: fetch it with `make data STUDY=mini`" in playground.plan.value
    playground.controls.study.value = "toy"
    assert not playground.train_button.disabled
    assert missing_data(load_study("toy")) == ""
    labels = [label for label, _ in playground.controls.study.options]
    assert labels == [name if name in ("anchors", "toy") else f"{name} (not here)" for name in study_names()]
    playground.controls.study.value = "paper_weights"
    assert playground.controls.pool.options == (("weights torchvision_v1", "torchvision_v1"), ("from scratch", "scratch"))
    (tmp_path / "inat2021").mkdir()
    assert "weights torchvision_v1 (ResNet50_Weights.IMAGENET1K_V1) are missing: fetch" in missing_data(load_study("paper_weights"))


def test_controls_offer_only_what_is_possible(results):
    controls = Playground(Choice(study="toy", pool="animal", k=8)).controls
    assert (controls.k.value, controls.k.min, controls.k.max) == (8, 1, 12)
    controls.study.value = "mini"
    assert (controls.k.value, controls.k.min, controls.k.max) == (6, 1, 6)
    controls.pool.value = "scratch"
    assert controls.k.disabled
    assert controls.choice().run().pool == "scratch"
    assert Playground(Choice(study="toy", seed=20_000)).controls.choice().seed == 20_000
    controls.pool.value = "half_animal"
    assert controls.k.disabled
    assert controls.k.value == 7
    controls.study.value, controls.pool.value = "toy", "random"
    assert not controls.k.disabled
    assert (controls.k.min, controls.k.max) == (1, 24)
    controls.target.value = "clean"
    assert controls.freeze.value
    assert (controls.epochs.value, controls.epochs.max) == (15, 30)
    for study in ("toy", "mini", "anchors"):
        controls.study.value = study
        for target in targets(load_study(study)):
            controls.target.value = target.name
            for pool in ("all", "animal", "non_animal", "random", "half_animal", "scratch"):
                controls.pool.value = pool
                controls.freeze.value = not controls.freeze.value
                assert controls.choice().run().study, "every combination that the widgets reach is a run"
    assert all(control.description for control in controls.all)


def test_a_study_file_that_was_broken_meanwhile_is_named(results, small_study):
    playground = Playground(Choice(study=small_study))
    playground.controls.study.value = "toy"
    change_study(small_study, {"seeds: [0]": "seeds: ["})
    playground.controls.study.value = small_study
    assert "small.yml: cannot be read" in playground.plan.value
    assert playground.train_button.disabled
    playground.controls.study.value = "toy"
    assert not playground.train_button.disabled


def test_from_scratch_the_epochs_of_its_own_recipe_are_shown_and_trained(results, tmp_path):
    study = yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text()) | {"name": "long"}
    study["downstreams"][0]["recipe"]["from_scratch"] = {"epochs": 60, "lr_step_epochs": 20}
    (tmp_path / "long.yml").write_text(yaml.safe_dump(study))
    own = Run(study=str(tmp_path / "long.yml"), pool="scratch", downstream="field")
    controls = Playground(Choice(study=own.study, pool="scratch")).controls
    assert controls.epochs.value == own.recipe.epochs == 60
    assert controls.choice().run() == own
    controls.pool.value = "animal"
    assert (controls.epochs.value, controls.epochs.max) == (15, 30)
    controls.epochs.value = 7
    controls.pool.value = "random"
    assert controls.epochs.value == 7
    controls.pool.value = "scratch"
    assert controls.choice().run() == own


def top1(run: Run) -> float:
    table = pd.read_csv(record_of(run).with_suffix(".csv.gz"))
    return (table["label"] == table["prediction"]).mean()


def test_training_shows_every_epoch_and_finds_the_gain_that_the_predictions_say(results, small_study):
    """Three trainings of two epochs, top-1 and loss; no stored runs beside the reader's own. Meanwhile only Stop can be pressed."""
    done = Playground(Choice(study=small_study, pool="animal", k=4))
    assert "To do: pretraining, finetuning, training from scratch; about" in done.plan.value
    done.train()
    done.train()  # a second click starts nothing
    assert [one.disabled for one in (done.train_button, done.stop_button, done.controls.k)] == [True, False, True]
    assert done.wait() == "done"
    assert [done.train_button.disabled, done.stop_button.disabled] == [False, True]
    run = done.controls.choice().run()
    outcome, gain = Outcome.of(run), top1(run) - top1(scratch_partner(run))
    assert outcome.gain == pytest.approx(gain, abs=1e-12)
    assert outcome.low <= outcome.gain <= outcome.high
    assert outcome.n_images == 120
    assert Outcome.of(scratch_partner(run)).gain is None
    assert re.search(rf"Done\. Gain {re.escape(f'{100 * gain:+.1f}')} points.* One seed", done.status.value)
    [row] = done.results().to_dict("records")
    assert (row["study"], row["pretrained on"]) == ("small", "animal-k4")
    assert float(row["gain"]) == pytest.approx(gain, abs=6e-4)
    assert [list(trace.x) for trace in done.curves.data] == [[1, 2]] * 6
    [own] = done.gains.data
    assert (own.name, own.marker.symbol, list(own.y)) == ("yours", "diamond", ["yours: 4 animal classes, seed 0"])
    assert "No stored runs to compare with" in done.remark.value


def test_the_gain_on_one_species_is_that_of_its_images(results, small_study):
    done = Playground(Choice(study=small_study, pool="animal", k=4))
    controls = done.controls
    name = controls.species.options[1][1]
    run, (species, *_) = controls.choice().run(), load_class_table("toy_animals")["name"]
    assert name == species
    for one, top1 in ((run, 0.7), (scratch_partner(run), 0.3)):
        write_run(one, 100, top1, per_class=5)
    controls.species.value = name
    done.train()  # trains nothing, shows the gain
    tables = [pd.read_csv(one.predictions_path) for one in (run, scratch_partner(run))]
    right = [(table["label"] == table["prediction"])[table["label"] == 0].mean() for table in tables]
    assert f"Gain {100 * (right[0] - right[1]):+.1f} points" in done.status.value
    assert f"5 evaluation images of {name}" in done.status.value
    assert [len(trace.y) for trace in done.gains.data] == [1]


def test_a_study_of_weights_anywhere_is_offered_with_its_starts_and_trained(results, tmp_path, monkeypatch):
    monkeypatch.setenv("OWN_FOLDER", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    playground = Playground(Choice(study=write_study(tmp_path / "own")))
    controls = playground.controls
    assert [name for _, name in controls.pool.options] == ["first", "second", "scratch"]
    assert (controls.pool.value, controls.k.disabled) == ("first", True)
    controls.pool.value = "second"
    playground.train()
    assert playground.wait() == "done"
    assert "starting from weights second" in playground.status.value
    controls.study.value = "toy"
    assert controls.pool.value == "all"


def test_finished_runs_of_the_study_are_reused_and_stay_as_they_are(results, small_study):
    done = Playground(Choice(study=small_study, pool="animal", k=4))
    done.train()
    assert done.wait() == "done"
    assert all(path.is_relative_to(playground_root()) for path in results.rglob("*.json"))
    (playground_root() / "small").rename(results / "small")  # as if the study had made them
    kept = {path: path.read_bytes() for path in (results / "small").rglob("*") if path.is_file()}
    done.train()
    assert not done.train_button.disabled
    assert "Done. Gain" in done.status.value
    done.controls.epochs.value = 1
    assert "To do: finetuning, training from scratch;" in done.plan.value
    assert "reused: pretraining" in done.plan.value
    done.train()
    assert done.wait() == "done"
    assert len(done.results()) == 2
    work = Work(done.controls.choice().run())
    made, start = read_record(record_of(work.run)), work.steps()[0]
    assert made["pretraining"] == f"{start.run_id}.{start.fingerprint}"
    assert {path: path.read_bytes() for path in (results / "small").rglob("*") if path.is_file()} == kept


def test_stored_gains_stand_above_the_readers_own(results):
    """Simulated results of the toy study: six arms with three seeds each, and one of them shown as the reader's own."""
    simulate_results("toy")
    run = Choice(study="toy", pool="animal", k=4).run()
    figure, outcome = gains_widget(), Outcome(run, 0.6, 0.4, 720, 0.2, 0.15, 0.25)
    remark = show_gains(figure, outcome, [outcome], "toy")
    assert [len(trace.y) for trace in figure.data] == [6, 18, 1]
    assert figure.layout.yaxis.categoryarray[0] == "yours: 4 animal classes, seed 0"
    assert remark.startswith("Stored: 3 seeds")


def test_stored_gains_beside_a_run_from_scratch_are_of_its_species(results):
    simulate_results("toy")
    species = load_class_table("toy_animals")["name"][0]
    playground = Playground(Choice(study="toy", pool="scratch"))
    playground._show_gain(Outcome(playground.controls.choice().run(), 0.6, 0.6, 30, species=species))
    of_it, of_all = (100 * stored_gains("toy", "field", name)["mean"] for name in (species, ""))
    assert list(playground.gains.data[0].x) == pytest.approx(of_it.tolist())
    assert of_it.tolist() != pytest.approx(of_all.tolist())


def test_stored_gains_are_those_of_the_tables_as_they_are_now(results):
    simulate_results("toy", gain=0.2)
    before = stored_gains("toy", "field")["mean"].mean()
    simulate_results("toy", gain=0.4)
    assert stored_gains("toy", "field")["mean"].mean() > before + 0.1


def test_a_gain_on_a_target_with_stored_runs_from_scratch_only_stands_alone():
    run = Choice(study="imagenet200", downstream="birds_long", pool="all").run()
    figure, outcome = gains_widget(), Outcome(run, 0.6, 0.4, 720, 0.2, 0.15, 0.25)
    remark = show_gains(figure, outcome, [outcome], "imagenet200")
    assert remark == "No stored runs to compare with: study 'imagenet200' has only runs from scratch on 'birds_long'."
    assert [trace.name for trace in figure.data] == ["yours"]


def test_gains_of_two_recipes_are_two_rows(results):
    simulate_results("toy")
    runs = [Choice(study="toy", pool="animal", k=4, epochs=epochs).run() for epochs in (3, 0)]
    figure, (changed, own) = gains_widget(), [Outcome(run, 0.6, 0.4, 720, 0.2, 0.15, 0.25) for run in runs]
    assert "another recipe (3 epochs; stored: resnet10_w16 and 15 epochs)" in show_gains(figure, changed, [changed], "toy")
    assert "another recipe" not in show_gains(figure, own, [changed, own], "toy")
    assert list(figure.data[-1].y) == ["yours: 4 animal classes, seed 0, 3 epochs", "yours: 4 animal classes, seed 0"]


def test_no_name_does_anything_in_the_title(results, tmp_path):
    change_study(str(shutil.copy(ROOT / "notebooks" / "studies" / "toy.yml", tmp_path / "odd.yml")), {
        "name: toy\n": "name: odd\n", "title: toy animals, field rendering\n": "title: <b>birds</b> & $x$\n",
    })  # fmt: skip
    run = Choice(study=str(tmp_path / "odd.yml"), pool="animal", k=4).run()
    figure, outcome = gains_widget(), Outcome(run, 0.6, 0.4, 720, 0.2, 0.15, 0.25)
    show_gains(figure, outcome, [outcome], run.study)
    assert figure.layout.title.text == plotly_text("<b>birds</b> & $x$, study odd")


def test_ended_at_once_it_does_not_say_that_the_state_is_saved(results, small_study):
    playground = Playground(Choice(study=small_study, pool="all"))
    playground.train()
    playground.stop()
    playground.stop()
    assert playground.wait() == "stopped"
    assert "Stopped. What it had not saved before is lost" in playground.status.value


def test_stopped_it_keeps_its_state_and_goes_on(results, small_study):
    longer = {"epochs: 2, lr_step_epochs: 1, batch_size: 64": "epochs: 15, lr_step_epochs: 10, batch_size: 64"}
    change_study(small_study, longer | {"train_images_per_class: 8": "train_images_per_class: 50"})
    work = Work(Choice(study=small_study, pool="all").run())
    pretraining = work.steps()[0]
    training = Training(work, lambda _: None)
    wait_for(lambda: work.histories()[pretraining] or training.state != "running")
    training.stop()
    assert training.wait() == "stopped"
    done = work.histories()[pretraining]
    assert 1 <= len(done) < 15
    assert record_of(pretraining).with_suffix(".checkpoint.pt").exists()
    assert not record_of(pretraining).exists()
    assert Training(work, lambda _: None).wait() == "done"
    found = read_record(record_of(pretraining))
    assert found["cost"]["starts"] == 2
    assert len(found["history"]) == 15
    assert [epoch["loss"] for epoch in found["history"]][: len(done)] == [epoch["loss"] for epoch in done]


def test_a_line_that_a_full_disk_cut_short_is_left_out(results, small_study):
    work = Work(Choice(study=small_study, pool="all").run())
    start = work.steps()[0]
    lines = [{"run": f"pretrain {start.run_id}", "epochs": 2, "epoch": epoch, "top1": 0.5, "loss": 1.0} for epoch in (0, 1)]
    first, second = map(json.dumps, lines)
    work.progress_file().parent.mkdir(parents=True)
    work.progress_file().write_text(f"{first[:30]}{first}\n{second}\n{first[:30]}")
    assert [one["epoch"] for one in work.histories()[start]] == [1]


def test_a_run_that_the_study_finishes_meanwhile_stops_no_progress(results, small_study):
    work = Work(Choice(study=small_study, pool="all").run())
    write_run(work.steps()[0], 100)
    work.steps()[0].weights_path.touch()
    assert work.histories()[work.steps()[0]] == []


def test_what_goes_wrong_while_training_is_one_line(results, tmp_path, monkeypatch):
    for name in ("cifar-10", "caltech-101"):
        (tmp_path / "data" / name).mkdir(parents=True)
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    playground = Playground(Choice(study="mini", pool="animal", k=3))
    playground.train()
    with pytest.raises(InputError) as caught:
        playground.wait()
    assert re.search(r"cifar-10/train/\w+ is missing", str(caught.value))
    assert "Training failed" in playground.status.value
    assert str(tmp_path) not in playground.status.value
    assert not playground.train_button.disabled
    assert playground.stop_button.disabled


def test_the_notebook_runs_without_a_browser(results, small_study, tmp_path):
    execute(NOTEBOOK, tmp_path / "panel.ipynb", {})
    assert not list(results.rglob("*.json"))
    execute(NOTEBOOK, tmp_path / "trained.ipynb", {"study": small_study, "k": 4, "train_now": True})
    cells = nbformat.read(tmp_path / "trained.ipynb", as_version=4).cells
    table = BeautifulSoup(cells[-1].outputs[-1]["data"]["text/html"], "html.parser")
    names, values = ([cell.text for cell in row.select("th, td")] for row in table.select("tr"))
    found = dict(zip(names, values, strict=True))
    assert found["pretrained on"] == "animal-k4"
    assert float(found["low"]) <= float(found["gain"]) <= float(found["high"])


def test_durations_in_words():
    toy, paper = Run(study="toy", pool="all"), Run(study="paper", pool="all")
    said = " ".join(duration(runs) for runs in ([], [toy] * 100, [paper]))
    assert re.fullmatch(r"about 5 seconds about \d+ minutes about \d+ hours", said)


def test_binder_installs_the_lock():
    lines = [line for line in (ROOT / "binder" / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines[1:] == ["-r ../requirements.lock", "-e ."]
    assert (ROOT / "binder" / lines[1].split()[1]).exists()
    assert (ROOT / "binder" / "runtime.txt").read_text() == "python-3.11\n"


def test_the_parameters_of_the_notebook_are_those_of_a_choice():
    declared = nbformat.read(NOTEBOOK, as_version=4).cells[1].source
    names = [line.split(":")[0] for line in declared.splitlines()]
    assert names == [*Choice.model_fields, "train_now"]
