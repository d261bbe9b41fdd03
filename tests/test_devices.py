"""One run shared by several processes: the same run, up to rounding; and kept states that fit any number of them.

In float64 rounding is so small that training does not blow it up: a whole run with two processes ends within 1e-9 of
the weights of one, with the same predictions, image by image. In float32 one step agrees within 1e-5; over many steps
two such runs drift apart, as those of two kinds of processor do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import RECIPE, change_study, toy_pictures

from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.launch import launch
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.training import train
from pretraining_gain.compute.weights import read_weights
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.plan.runs import Run

TOLERANCE = 1e-9


@pytest.fixture
def use(monkeypatch, tmp_path):
    """Settings for a number of processes, with results of their own."""

    def choose(devices: int, precision: str = "fp64") -> None:
        monkeypatch.setenv("PRETRAINING_GAIN_DEVICES", str(devices))
        monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", precision)
        monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path / f"by-{devices}"))

    yield choose
    torch.set_default_dtype(torch.float32)


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


def test_two_processes_do_the_run_of_one(use, small_study):
    """Pretraining, finetuning with an odd last batch, frozen finetuning, on fresh images and on features: weights, history
    and predictions."""
    outcomes = {}
    for devices in (1, 2):
        use(devices)
        runs = [Run(study=small_study, pool="animal", k=4, downstream=name) for name in ("field", "clean")]
        runs.append(Run(study=small_study, pool="all", downstream="field_frozen"))
        start, _ = pretrain(runs[0].pretraining), pretrain(runs[2].pretraining)
        records = [start, *map(finetune, runs)]
        assert {record["machine"]["devices"] for record in records} == {devices}
        outcomes[devices] = (
            read_weights(runs[0].pretraining),
            records,
            [run.predictions_path.read_bytes() for run in runs],
        )
    (weights, records, predictions), (shared, of_both, guesses) = outcomes[1], outcomes[2]
    assert farthest(weights, shared) < TOLERANCE
    assert predictions == guesses
    for one, both in zip(records, of_both, strict=True):
        assert [epoch["top1"] for epoch in one["history"]] == [epoch["top1"] for epoch in both["history"]]
        for mine, theirs in zip(one["history"], both["history"], strict=True):
            assert mine["loss"] == pytest.approx(theirs["loss"], abs=TOLERANCE)
        assert one["cost"]["train_images_seen"] == both["cost"]["train_images_seen"]


def one_step(place: str) -> None:
    """One step of float32 on one batch of 16, its weights kept by the first process."""
    recipe = RECIPE.model_copy(update={"epochs": 1, "batch_size": 48, "lr": 0.01})
    machine = this_machine()
    model, _ = train(build_model("resnet10_w16", 8, 0), toy_pictures(), recipe, seed=0, machine=machine,
                     checkpoint=Checkpoint(Path(place).with_suffix(".state"), "run", every_s=999))  # fmt: skip
    if machine.speaks:
        torch.save(model.state_dict(), place)


@pytest.mark.parametrize("devices", [2, 3])
def test_a_float32_step_agrees_to_rounding(use, tmp_path, devices):
    steps = []
    for n in (1, devices):
        use(n, "fp32")
        launch(one_step, str(tmp_path / f"{n}.pt"))
        steps.append(torch.load(tmp_path / f"{n}.pt", weights_only=True))
    assert 0 < farthest(*steps) < 1e-5


_PRETRAIN = """
import sys
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.plan.runs import Run
if __name__ == "__main__":
    pretrain(Run(study=sys.argv[1]))
"""


def test_a_state_of_two_processes_goes_on_with_one(use, small_study, tmp_path):
    """Two processes are told to end in mid-training; one goes on, and ends where one alone does."""
    change_study(
        small_study,
        {"epochs: 2, lr_step_epochs: 1, batch_size: 64": "lr: 0.01, epochs: 12, lr_step_epochs: 6, batch_size: 8"},
    )
    run = Run(study=small_study)
    use(1)
    pretrain(run)
    alone = read_weights(run)
    use(2)
    program = tmp_path / "pretrain.py"
    program.write_text(_PRETRAIN)
    environment = os.environ | {"PRETRAINING_GAIN_CHECKPOINT_S": "1"}
    process = subprocess.Popen(
        [sys.executable, str(program), small_study], env=environment, stderr=subprocess.PIPE, text=True
    )
    while not run.checkpoint_path.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert "Interrupted: told to end" in said
    assert run.checkpoint_path.exists() and not run.weights_path.exists()
    os.environ["PRETRAINING_GAIN_DEVICES"] = "1"
    record = pretrain(run)
    assert record["cost"]["starts"] == 2 and record["machine"]["devices"] == 1
    assert farthest(alone, read_weights(run)) < TOLERANCE


def refuse(what: str) -> None:
    raise {"input": InputError("study 'x' is unknown"), "told": Interrupted("told to end"), "bug": KeyError("k")}[what]


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("input", InputError, "^study 'x' is unknown$"),
        ("told", Interrupted, "told to end"),
        ("bug", InputError, "KeyError"),
    ],
)
def test_what_goes_wrong_in_a_process_is_raised_in_the_notebook(use, what, kind, said):
    use(2)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(kind, match=said):
        launch(refuse, what)
    assert signal.getsignal(signal.SIGTERM) == before
