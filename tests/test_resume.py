"""Nothing is lost: files are whole or recognised as damaged, and a run that was cut off ends as if it had not been."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from conftest import RECIPE, ROOT, same, toy_pictures, wait_for

from pretraining_gain import paths
from pretraining_gain.compute import finetune as finetuning
from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.records import is_finished, locked
from pretraining_gain.compute.training import train
from pretraining_gain.errors import TRY_AGAIN, InputError
from pretraining_gain.paths import temporary_beside, write_atomically
from pretraining_gain.plan.runs import Run


class Cut(Exception):
    """Stands for a kill between two batches."""


class CutCheckpoint(Checkpoint):
    """Keep the state after each batch, and be cut off after `batches` of them."""

    def __init__(self, path: Path, batches: int) -> None:
        super().__init__(path, "run", every_s=0)
        self._left = batches

    def write(self, state):
        super().write(state)
        self._left -= 1
        if self._left == 0:
            raise Cut


def trained(checkpoint: Checkpoint, backbone: str) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    start = build_model(backbone, 8, 0, 32)
    model, history = train(start, toy_pictures(), RECIPE, seed=0, machine=this_machine(), checkpoint=checkpoint)
    return model.state_dict(), [{k: v for k, v in epoch.items() if not k.endswith("_time_s")} for epoch in history]


@pytest.mark.parametrize(("backbone", "cuts"), [("resnet10_w16", [1, 3, 4, 7]), ("mobilenet_v3_small", [4])])
def test_a_training_cut_off_between_batches_ends_with_the_same_weights_and_history(tmp_path, backbone, cuts):
    """Also with dropout, which the second network has."""
    weights, history = trained(Checkpoint(tmp_path / "whole.pt", "run", every_s=9999), backbone)
    for batches in cuts:
        path = tmp_path / f"cut-{batches}.pt"
        with pytest.raises(Cut):
            trained(CutCheckpoint(path, batches), backbone)
        checkpoint = Checkpoint(path, "run", every_s=9999)
        again, repeated = trained(checkpoint, backbone)
        assert same(weights, again)
        assert history == repeated
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
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"checkpoint {path} is damaged (")
    assert said.endswith("resuming from the one before it")
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


def test_another_runs_checkpoint_is_refused(tmp_path):
    Checkpoint(tmp_path / "c.pt", "animal-k4-s0.12345678", every_s=0).write({"step": 0})
    with pytest.raises(InputError, match=r"c\.pt is of run animal-k4-s0\.12345678, not of mine; delete it"):
        Checkpoint(tmp_path / "c.pt", "mine", every_s=0).read()


def test_a_pickle_is_never_loaded(tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path / "evil.pt", "mine", every_s=0)
    checkpoint.write({"step": Path("/")})  # a pickled object, not plain data
    assert checkpoint.read() is None
    assert "evil.pt is damaged" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_named(tmp_path):
    trained(Checkpoint(tmp_path / "c.pt", "run", every_s=0), "resnet10_w16")
    with pytest.raises(InputError, match=r"c\.pt is of another network"):
        trained(Checkpoint(tmp_path / "c.pt", "run", every_s=0), "resnet10_w32")


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


def command(notebook: str, output: Path, *parameters: str) -> list[str]:
    given = [text for pair in zip(parameters[::2], parameters[1::2], strict=True) for text in ("-p", *pair)]
    return [sys.executable, "-m", "pretraining_gain.execute", f"notebooks/{notebook}.ipynb", str(output), *given]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, which has no room for a second checkpoint."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_run_on_a_disk_that_is_really_full_resumes_when_there_is_room(small_disk, tmp_path, small_study, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(small_disk))
    monkeypatch.setenv("PRETRAINING_GAIN_CHECKPOINT_S", "0")
    start = command("01_pretrain", tmp_path / "o.ipynb", "study", small_study)
    done = subprocess.run(start, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "checkpoint" in last
    assert "No space left on device" in last
    assert list(small_disk.rglob("*.checkpoint.pt"))
    assert not list(small_disk.rglob("*.tmp"))
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    assert pretrain(Run(study=small_study))["cost"]["starts"] == 2
    assert list(small_disk.rglob("*.safetensors"))
    assert not list(small_disk.rglob("*.checkpoint*.pt"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory; give it more"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "CUDA out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), "out of memory"),
        (OSError(errno.ESTALE, "Stale file handle", "/data/pack.zip"), "/data/pack.zip: Stale file handle; fix it"),
    ],
)
def test_memory_that_runs_out_and_a_mount_that_fails_are_one_line(results, small_study, monkeypatch, error, said):
    run = Run(study=small_study, pool="scratch", downstream="field")
    monkeypatch.setattr(finetuning, "load_images", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(InputError, match=said) as caught:
        finetune(run)
    assert str(caught.value).startswith(f"{run.run_id}: ")
    assert "\n" not in str(caught.value)


def test_a_second_process_waits_and_does_not_do_the_run_again(results, small_study, capsys):
    run = Run(study=small_study, pool="animal", k=4)
    seen = []
    with locked(run):
        other = threading.Thread(target=lambda: seen.append(pretrain(run)))
        other.start()
        wait_for(lambda: "another process does this run; waiting" in capsys.readouterr().err)
        assert not run.weights_path.exists()
    other.join()
    assert seen[0]["cost"]["starts"] == 1


def test_half_written_files_are_removed_by_their_age_alone(tmp_path):
    """A container that shares the folder may use the same process numbers, so they say nothing about a file."""
    live, left = (temporary_beside(tmp_path / "table.csv") for _ in range(2))
    for path, days in ((live, 6), (left, 8)):
        path.touch()
        os.utime(path, (time.time() - 24 * 3600 * days,) * 2)
    write_atomically(tmp_path / ("t" * 240 + ".csv"), b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"t" * 240 + ".csv", live.name}
    assert live != left


def test_a_lost_record_is_said_before_anything_is_replaced(results, small_study, capsys):
    run = Run(study=small_study, pool="animal", k=4)
    pretrain(run)
    assert "missing" not in capsys.readouterr().err
    run.record_path.unlink()
    pretrain(run)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"{run.record_path} is missing, though other files of the run are there: doing it again"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_makes_nothing_look_damaged_or_unfinished(results, tmp_path, monkeypatch, number):
    plain = Path.open

    def failing(path: Path, *given: object, **named: object) -> object:
        if path.is_relative_to(tmp_path):
            raise OSError(number, os.strerror(number), str(path))
        return plain(path, *given, **named)

    run, checkpoint = Run(study="toy", pool="animal", k=4), Checkpoint(tmp_path / "state.pt", "run", 0)
    checkpoint.write({})
    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(InputError, match=f"of a finished run cannot be read: {os.strerror(number)}"):
        is_finished(run)
    with pytest.raises(OSError, match=r"state\.pt"):
        checkpoint.read()


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
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert str(path) in said
    assert said.endswith("again: doing it now")


def test_the_state_of_a_finished_run_is_removed(results, small_study):
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
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"table.csv": b"new", "before.csv": b"old"}


def test_sigterm_keeps_the_state_and_asks_to_be_tried_again(tmp_path, results, small_study):
    """A real notebook and a real SIGTERM to the runner alone; the next start resumes. A training that ends before the
    signal arrives is followed by a longer one."""
    environment = os.environ | {"PRETRAINING_GAIN_CHECKPOINT_S": "0"}
    for epochs in (40, 400, 4000):
        run, output = Run(study=small_study, pool="all", epochs=epochs), tmp_path / "o.ipynb"
        start = command("01_pretrain", output, "study", small_study, "epochs", str(epochs))
        process = subprocess.Popen(start, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
        wait_for(lambda: run.checkpoint_path.exists() or process.poll() is not None)  # noqa: B023
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
        if process.returncode:
            break
        output.unlink()
    assert process.returncode == TRY_AGAIN == 75
    assert "stopped in epoch" in said.splitlines()[-1]
    assert said.splitlines()[-1].endswith("the state is kept")
    assert not list(tmp_path.glob("*.ipynb"))
    assert pretrain(run)["cost"]["starts"] == 2


def test_sigterm_outside_of_training_asks_to_be_tried_again_too(tmp_path):
    """To the runner, while its kernel starts or works."""
    process = subprocess.Popen(command("00_plan", tmp_path / "o.ipynb"), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: psutil.Process(process.pid).children() or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert process.returncode == TRY_AGAIN, said
    assert not list(tmp_path.glob("*.ipynb"))
