"""One run shared by several processes: the same run up to rounding, and checkpoints that fit any number of them.

In float64 rounding is so small that training does not amplify it: a whole run with two processes ends within 1e-9 of the
weights of one, with the same predictions. In float32 one step agrees within 1e-5; over many steps two such runs drift apart,
as on two kinds of processor. On CPUs, processes cannot share the statistics of BatchNorm, so the network here has none.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import on_cuda
import pytest
import torch
from conftest import change_study, wait_for
from refusal import raise_error

from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.launch import launch
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.weights import read_weights
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.plan.runs import Run

TOLERANCE = 1e-9
WITHOUT_BATCHNORM = "test_convnext"


@pytest.fixture
def use(monkeypatch, tmp_path):
    """Set a number of processes, with results of their own."""

    def choose(devices: int, precision: str = "fp64") -> None:
        monkeypatch.setenv("PRETRAINING_GAIN_DEVICE", "auto")
        monkeypatch.setenv("PRETRAINING_GAIN_DEVICES", str(devices))
        monkeypatch.setenv("PRETRAINING_GAIN_PRECISION", precision)
        monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path / f"by-{devices}"))

    yield choose
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def study(small_study) -> str:
    change_study(small_study, {"backbone: resnet10_w16": f"backbone: {WITHOUT_BATCHNORM}"})
    return small_study


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


def test_two_processes_do_the_run_of_one(use, study):
    """Pretraining, finetuning with an odd last batch, frozen finetuning: weights, history and predictions."""
    outcomes = {}
    for devices in (1, 2):
        use(devices)
        runs = [Run(study=study, pool="animal", k=4, downstream=name) for name in ("field", "clean")]
        records = [pretrain(runs[0].pretraining), *map(finetune, runs)]
        assert {record["machine"]["devices"] for record in records} == {devices}
        history = [[epoch[name] for name in ("loss", "top1")] for record in records for epoch in record["history"]]
        predictions = [run.predictions_path.read_bytes() for run in runs]
        outcomes[devices] = read_weights(runs[0].pretraining), torch.tensor(history), predictions
    assert farthest(outcomes[1][0], outcomes[2][0]) < TOLERANCE
    assert torch.allclose(outcomes[1][1], outcomes[2][1], atol=TOLERANCE, rtol=0)
    assert outcomes[1][2] == outcomes[2][2]


def test_batchnorm_over_processes_of_a_cpu_is_refused(use, small_study):
    use(2)
    with pytest.raises(InputError, match=r"^PRETRAINING_GAIN_DEVICES=2: .* BatchNorm; accepted here: 1 .* without BatchNorm$"):
        pretrain(Run(study=small_study))


def test_a_float32_step_of_three_processes_agrees_to_rounding(use, tmp_path):
    steps = []
    for n in (1, 3):
        use(n, "fp32")
        launch(on_cuda.one_step, str(tmp_path / f"{n}.pt"), WITHOUT_BATCHNORM)
        steps.append(torch.load(tmp_path / f"{n}.pt", weights_only=True))
    assert 0 < farthest(*steps) < 1e-5


def test_the_checks_for_a_gpu_pass_on_a_cpu(use, tmp_path):
    """`python -m tests.on_cuda` compares a device with the CPU, here with itself."""
    use(1, "fp32")
    arguments = ["--device", "cpu", "--backbone", "resnet10_w16", "--per-class", "4", "--out", str(tmp_path / "cuda.json")]
    assert on_cuda.main(arguments) == 0
    checks = json.loads((tmp_path / "cuda.json").read_text())["checks"]
    exact = [check["same predictions"] for check in checks if check.get("precision") == "fp32"]
    assert exact == [1.0] * len(on_cuda.RECIPES)
    assert checks[-1]["starts"] == 2


_PRETRAIN = """
import sys
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.plan.runs import Run
if __name__ == "__main__":
    pretrain(Run(study=sys.argv[1]))
"""


def test_a_state_of_two_processes_is_resumed_by_one(use, study, tmp_path):
    """Two processes get a SIGTERM in mid-training; one resumes, and ends where one alone does."""
    change_study(study, {"epochs: 2, lr_step_epochs: 1, batch_size: 64": "epochs: 10, lr_step_epochs: 5, batch_size: 8"})
    run = Run(study=study)
    use(1)
    pretrain(run)
    alone = read_weights(run)
    use(2)
    (tmp_path / "pretrain.py").write_text(_PRETRAIN)
    command = [sys.executable, str(tmp_path / "pretrain.py"), study]
    environment = os.environ | {"PRETRAINING_GAIN_CHECKPOINT_S": "0"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: run.checkpoint_path.exists() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert "Interrupted: stopped" in said
    assert run.checkpoint_path.exists()
    assert not run.weights_path.exists()
    os.environ["PRETRAINING_GAIN_DEVICES"] = "1"
    record = pretrain(run)
    assert (record["cost"]["starts"], record["machine"]["devices"]) == (2, 1)
    assert farthest(alone, read_weights(run)) < TOLERANCE


@pytest.mark.parametrize(
    ("error", "kind", "said"), [(Interrupted("stopped"), Interrupted, "^stopped$"), (KeyError("k"), InputError, "KeyError")]
)
def test_an_error_in_a_process_is_raised_in_the_notebook(use, error, kind, said):
    use(2)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(kind, match=said):
        launch(raise_error, error)
    assert signal.getsignal(signal.SIGTERM) == before
