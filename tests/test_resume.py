"""Nothing lost: what is written is whole or recognised as damaged, and a run that was cut off ends as if it had not been."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from conftest import RECIPE, ROOT, same, toy_pictures

from pretraining_gain import paths
from pretraining_gain.compute import finetune as finetuning
from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.records import locked
from pretraining_gain.compute.training import train
from pretraining_gain.errors import TRY_AGAIN, InputError
from pretraining_gain.paths import write_atomically
from pretraining_gain.plan.runs import Run


class Cut(Exception):
    """Stands for a kill between two batches."""


class CutCheckpoint(Checkpoint):
    """Keeps the state after each batch and is cut off after `batches` of them."""

    def __init__(self, path: Path, batches: int) -> None:
        super().__init__(path, "run", every_s=0)
        self._left = batches

    def write(self, state):
        super().write(state)
        self._left -= 1
        if self._left == 0:
            raise Cut


def trained(checkpoint: Checkpoint) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    model, history = train(
        build_model("resnet10_w16", 8, 0), toy_pictures(), RECIPE, seed=0, machine=this_machine(), checkpoint=checkpoint
    )
    return model.state_dict(), [{k: v for k, v in epoch.items() if not k.endswith("_time_s")} for epoch in history]


@pytest.mark.parametrize("batches", [1, 3, 4, 7])
def test_a_training_cut_off_between_any_two_batches_ends_with_the_same_weights_and_history(tmp_path, batches):
    weights, history = trained(Checkpoint(tmp_path / "whole.pt", "run", every_s=60))
    with pytest.raises(Cut):
        trained(CutCheckpoint(tmp_path / "cut.pt", batches))
    checkpoint = Checkpoint(tmp_path / "cut.pt", "run", every_s=60)
    again, repeated = trained(checkpoint)
    assert same(weights, again) and history == repeated
    assert checkpoint.starts == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "another file"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, capsys, damage):
    path = tmp_path / "c.pt"
    checkpoint = Checkpoint(path, "run", every_s=0)
    for step in range(3):
        checkpoint.write({"step": step, "model": torch.full((50,), step)})
    whole = path.read_bytes()
    flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    path.write_bytes({"cut": whole[:-40], "flipped": flipped, "emptied": b"", "another file": b"PK" * 40}[damage])
    assert checkpoint.read()["step"] == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"checkpoint {path} is damaged" in said and "the one before it" in said
    path.with_suffix(".previous.pt").write_bytes(b"")
    assert checkpoint.read() is None
    assert "from the beginning" in capsys.readouterr().err


def test_a_kill_between_the_two_renames_leaves_the_one_before(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.pt", "run", every_s=0)
    checkpoint.write({"step": 0})
    (tmp_path / "c.pt").rename(tmp_path / "c.previous.pt")
    assert checkpoint.read()["step"] == 0
    checkpoint.remove()
    assert not list(tmp_path.iterdir())


def test_another_runs_checkpoint_is_refused_and_a_pickle_never_loaded(tmp_path, capsys):
    Checkpoint(tmp_path / "c.pt", "animal-k4-s0.12345678", every_s=0).write({"step": 0})
    with pytest.raises(InputError, match=r"c\.pt is of run animal-k4-s0\.12345678, not of mine; delete it"):
        Checkpoint(tmp_path / "c.pt", "mine", every_s=0).read()
    Checkpoint(tmp_path / "evil.pt", "mine", every_s=0).write({"step": Path("/")})  # a pickled object, not plain data
    assert Checkpoint(tmp_path / "evil.pt", "mine", every_s=0).read() is None
    assert "evil.pt is damaged" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_named(tmp_path):
    trained(Checkpoint(tmp_path / "c.pt", "run", every_s=0))
    with pytest.raises(InputError, match=r"c\.pt is of another network"):
        train(build_model("resnet10_w32", 8, 0), toy_pictures(), RECIPE, seed=0, machine=this_machine(),
              checkpoint=Checkpoint(tmp_path / "c.pt", "run", every_s=0))  # fmt: skip


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "c.pt", "run", every_s=0)
    checkpoint.write({"step": 0})

    def no_space(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(paths.os, "fsync", no_space)
    with pytest.raises(InputError, match=r"cannot write .*c\.pt: No space left on device"):
        checkpoint.write({"step": 1})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["c.pt"]
    assert checkpoint.read()["step"] == 0


def test_a_disk_that_is_really_full_stops_a_run_which_goes_on_when_there_is_room(tmp_path, small_study):
    """A file system of 3 MB: the second checkpoint has no room for its new copy."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    environment = os.environ | {"PRETRAINING_GAIN_RESULTS": str(place), "PRETRAINING_GAIN_CHECKPOINT_S": "0"}
    command = [sys.executable, "-m", "pretraining_gain.execute", "notebooks/01_pretrain.ipynb", str(tmp_path / "o.ipynb"),
               "-p", "study", small_study]  # fmt: skip
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 1 and "No space left on device" in done.stderr.splitlines()[-1]
        assert "checkpoint" in done.stderr.splitlines()[-1]
        kept = list(place.rglob("*.checkpoint.pt"))
        assert kept and not list(place.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=50m", place], check=True)
        subprocess.run(command, env=environment, check=True, capture_output=True, cwd=ROOT)
        assert list(place.rglob("*.safetensors")) and not list(place.rglob("*.checkpoint*.pt"))
    finally:
        subprocess.run(["umount", place], check=True)


def test_memory_that_runs_out_and_a_mount_that_goes_are_one_line(results, small_study, monkeypatch):
    run = Run(study=small_study, pool="scratch", downstream="field")
    for error, said in [
        (MemoryError(), "out of memory; give it more"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "CUDA out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), "out of memory"),
        (
            OSError(errno.ESTALE, "Stale file handle", "/data/pack.zip"),
            "/data/pack.zip: Stale file handle; put it right",
        ),
    ]:
        monkeypatch.setattr(finetuning, "load_images", lambda *_, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(InputError, match=said) as caught:
            finetune(run)
        assert "\n" not in str(caught.value) and run.run_id in str(caught.value)
    monkeypatch.undo()


def test_a_second_process_waits_and_does_not_do_the_run_again(results, small_study):
    run = Run(study=small_study, pool="animal", k=4)
    seen = []
    with locked(run):
        other = threading.Thread(target=lambda: seen.append(pretrain(run)))
        other.start()
        time.sleep(0.5)
        assert not seen and not run.weights_path.exists()
    other.join()
    assert seen[0]["cost"]["starts"] == 1


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    start = f".table.csv.{platform.node()}."
    left, living, others = (tmp_path / f"{start}{dead.pid}.tmp", tmp_path / f"{start}{os.getppid()}.tmp",
                            tmp_path / f".table.csv.elsewhere.{dead.pid}.tmp")  # fmt: skip
    for path in (left, living, others):
        path.touch()
    write_atomically(tmp_path / "table.csv", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", living.name, others.name}


@pytest.mark.parametrize("which", ["weights_path", "predictions_path"])
def test_a_damaged_result_is_made_again_the_same(results, small_study, capsys, which):
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    pretrain(run.pretraining)
    finetune(run)
    path = run.predictions_path if which == "predictions_path" else run.pretraining.weights_path
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes(9))
    pretrain(run.pretraining)
    finetune(run)
    assert path.read_bytes() == whole
    said = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert len(said) == 1 and str(path) in said[0] and said[0].endswith("again: doing it now")


def test_the_state_of_a_finished_run_is_cleared_away(results, small_study):
    run = Run(study=small_study, pool="animal", k=4)
    record = pretrain(run)
    for _ in range(2):
        Checkpoint(run.checkpoint_path, "x", every_s=0).write({})
    assert len(list(run.folder.glob("*.pt"))) == 2
    assert pretrain(run) == record
    assert not list(run.folder.glob("*.pt"))


def test_a_file_is_the_old_or_the_new_one(tmp_path):
    path = tmp_path / "table.csv"
    write_atomically(path, b"old")
    write_atomically(path, b"new", keep_as=tmp_path / "before.csv")
    assert path.read_bytes() == b"new" and (tmp_path / "before.csv").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


def test_sigterm_keeps_the_state_and_asks_to_be_tried_again(tmp_path, results, small_study):
    """A real notebook, a real SIGTERM to the runner alone: it ends within seconds, and the next start goes on."""
    command = [sys.executable, "-m", "pretraining_gain.execute", "notebooks/01_pretrain.ipynb", str(tmp_path / "o.ipynb"),
               "-p", "study", small_study, "-p", "epochs", "120"]  # fmt: skip
    run = Run(study=small_study, pool="all", epochs=120)
    environment = os.environ | {"PRETRAINING_GAIN_CHECKPOINT_S": "1"}
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
    while not run.checkpoint_path.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    told_at = time.monotonic()
    _, said = process.communicate()
    assert process.returncode == TRY_AGAIN == 75
    assert time.monotonic() - told_at < 30
    assert "told to end in epoch" in said.splitlines()[-1] and "the state is kept" in said.splitlines()[-1]
    assert not (tmp_path / "o.ipynb").exists() and not list(tmp_path.glob("*FAILED*"))
    before = run.checkpoint_path.stat().st_size
    assert before and pretrain(run)["cost"]["starts"] == 2


@pytest.mark.parametrize("wait_s", [0, 0.5, 1])
def test_sigterm_outside_of_training_asks_to_be_tried_again_too(tmp_path, wait_s):
    """In a process of its own: the runner ends with the same code when the kernel is still starting."""
    command = [sys.executable, "-m", "pretraining_gain.execute", "notebooks/00_plan.ipynb", str(tmp_path / "o.ipynb")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not psutil.Process(process.pid).children() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(wait_s)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == TRY_AGAIN, said
    assert not list(tmp_path.glob("*.ipynb"))
