"""Runs from a warm process: the same bytes, exit codes and signals as without one, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import ROOT

from pretraining_gain import warm
from pretraining_gain.errors import TRY_AGAIN
from pretraining_gain.plan.runs import Run
from pretraining_gain.warm import server
from tests.faults.__main__ import _lasting

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a warm process is had on Linux only")
_STARTER = "import sys, time; from pretraining_gain.warm import start; print(start(1), flush=True); time.sleep(600)"


@dataclass
class Warm:
    """A process that started a warm one, as the workflow does, and the place that its jobs are told."""

    starter: subprocess.Popen[str]
    place: str
    server: psutil.Process

    def job(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """Started as by Snakemake; its output is read by `communicate`."""
        environment = _plain() | dict.fromkeys(warm._THREADS, "1") | settings
        environment.setdefault(warm.VARIABLE, self.place)
        command = [sys.executable, "-m", "pretraining_gain.warm", *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def forks(self) -> list[psutil.Process]:
        return self.server.children(recursive=True)


def _plain() -> dict[str, str]:
    """The environment as a workflow has it: pytest changes a variable with each phase of a test."""
    return {name: value for name, value in os.environ.items() if name not in (warm.VARIABLE, "PYTEST_CURRENT_TEST")}


def _until(reached: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def started() -> Iterator[Warm]:
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER], cwd=ROOT, env=_plain(), stdout=subprocess.PIPE, text=True
    )
    place = starter.stdout.readline().strip()
    process = psutil.Process(starter.pid).children()[0]
    yield Warm(starter, place, process)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    _until(lambda: not _lives(process))
    assert not Path(place).parent.exists()


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _answers(place: str) -> bool:
    with socket.socket(socket.AF_UNIX) as late:
        return late.connect_ex(place) == 0


def _given(run: Run, output: Path) -> list[str]:
    notebook = "02_finetune" if run.downstream else "01_pretrain"
    values = [text for name, value in run.parameters().items() for text in ("-p", name, str(value))]
    return [f"notebooks/{notebook}.ipynb", str(output), *values]


def test_what_comes_out_is_the_same_byte_for_byte(started, tmp_path, small_study):
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    found = {}
    for way in ("warm", "usual"):
        folder = tmp_path / way
        own = {"PRETRAINING_GAIN_RESULTS": str(folder), "PRETRAINING_GAIN_THREADS": "1"}
        own |= {} if way == "warm" else {warm.VARIABLE: "no"}
        job = started.job(*_given(run, tmp_path / f"{way}.ipynb"), **own)
        if way == "warm":
            _until(lambda: len(started.forks()) == 2)  # the runner and its kernel
        _, said = job.communicate()
        assert job.returncode == 0, said
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
        found[way] = {str(path.relative_to(folder)): _lasting(path) for path in files}
    one, other = found.values()
    assert {Path(name).suffix for name in one} == {".json", ".safetensors", ".gz"}
    assert one == other
    pages = [json.loads((tmp_path / f"{way}.ipynb").read_bytes()) for way in found]
    kinds = [[[part["output_type"] for part in cell.get("outputs", [])] for cell in page["cells"]] for page in pages]
    assert kinds[0] == kinds[1] and len(pages[0]["cells"]) > 5
    assert not started.forks()


def test_what_is_wrong_is_one_line_and_the_usual_exit_code(started, tmp_path):
    for arguments, code, said in [
        (["-p", "pool", "anmal"], 1, "01_pretrain: "),
        (["-p", "pol", "animal"], 1, "unknown parameter 'pol'; accepted: study, pool"),
        (["-x"], 2, "execute: unrecognized arguments: -x"),
    ]:
        job = started.job("notebooks/01_pretrain.ipynb", str(tmp_path / "o.ipynb"), *arguments)
        _, lines = job.communicate()
        assert job.returncode == code and said in lines and len(lines.splitlines()) == 1


def _training(
    started: Warm, tmp_path: Path, small_study: str, results: Path, **settings: str
) -> tuple[subprocess.Popen[str], Run]:
    """A run that takes long and has kept its state once."""
    run = Run(study=small_study, pool="all", epochs=120)
    job = started.job(*_given(run, tmp_path / "o.ipynb"), PRETRAINING_GAIN_CHECKPOINT_S="1", **settings)
    forks = 0 if settings else 2
    _until(lambda: (run.checkpoint_path.exists() and len(started.forks()) == forks) or job.poll() is not None)
    return job, run


def test_sigterm_keeps_the_state(started, tmp_path, results, small_study):
    job, run = _training(started, tmp_path, small_study, results)
    job.terminate()
    _, said = job.communicate(timeout=30)
    assert job.returncode == TRY_AGAIN
    assert "told to end in epoch" in said.splitlines()[-1]
    assert run.checkpoint_path.exists() and not list(tmp_path.glob("*.ipynb"))


def test_an_interrupt_from_the_keyboard_ends_both_ways_alike(started, tmp_path, results, small_study):
    ends = []
    for settings in ({}, {warm.VARIABLE: "no"}):
        job, run = _training(started, tmp_path, small_study, results, **settings)
        job.send_signal(signal.SIGINT)
        ends.append((job.communicate(timeout=30)[1].splitlines()[-1], job.returncode))
        assert run.checkpoint_path.exists() and not started.forks()
        run.checkpoint_path.unlink()
    assert ends[0] == ends[1] and ends[0][1] != 0


def test_a_run_ends_with_the_process_that_asked_for_it(started, tmp_path, results, small_study):
    job, _ = _training(started, tmp_path, small_study, results)
    forks = started.forks()
    assert len(forks) == 2
    job.kill()
    job.communicate()
    _until(lambda: not any(map(_lives, forks)), seconds=15)
    assert _lives(started.server)


def test_a_kernel_or_a_runner_that_is_killed_is_told_as_ever(started, tmp_path, results, small_study):
    job, _ = _training(started, tmp_path, small_study, results)
    runner = started.server.children()[0]
    runner.children()[0].kill()
    _, said = job.communicate(timeout=30)
    assert job.returncode == 1 and "the kernel died; most often it was out of memory" in said
    job, _ = _training(started, tmp_path, small_study, results)
    forks = started.forks()
    started.server.children()[0].kill()
    job.communicate(timeout=30)
    assert job.returncode == -signal.SIGKILL
    _until(lambda: not any(map(_lives, forks)), seconds=15)


def test_runs_live_on_without_the_workflow_and_the_warm_process_until_they_end(started, tmp_path, results, small_study):
    job, _ = _training(started, tmp_path, small_study, results)
    started.starter.kill()
    started.starter.wait()
    _until(lambda: not _answers(started.place))
    assert job.poll() is None and _lives(started.server)
    job.terminate()
    job.communicate(timeout=30)
    assert job.returncode == TRY_AGAIN
    _until(lambda: not _lives(started.server), seconds=15)


def test_without_the_warm_process_its_runs_end_and_the_next_take_the_usual_way(started, tmp_path, results, small_study):
    job, _ = _training(started, tmp_path, small_study, results)
    forks = started.forks()
    started.server.kill()
    job.communicate(timeout=30)
    assert job.returncode == -signal.SIGKILL
    _until(lambda: not any(map(_lives, forks)), seconds=15)
    after = started.job("notebooks/01_pretrain.ipynb", str(tmp_path / "p.ipynb"), "-p", "pol", "animal")
    assert "unknown parameter 'pol'" in after.communicate()[1] and after.returncode == 1
    Path(started.place).unlink()
    Path(started.place).parent.rmdir()


def _asked(loaded: server.Loaded, **changes: str) -> tuple[list[str] | None, bytes]:
    """What the warm process makes of somebody who asks, and answers."""
    asking, asked = socket.socketpair()
    with asking, asked:
        socket.send_fds(asking, [b"0"], [0, 1, 2])
        request = json.dumps([["a", "b"], os.getcwd(), loaded.environment | changes])
        asking.sendall(request.encode() + b"\n")
        return server._become(asked, loaded), asking.recv(1)


def test_a_run_of_other_code_or_with_another_environment_takes_the_usual_way(monkeypatch):
    loaded = server.Loaded(server.state_of_the_code(), dict(os.environ), os.getpid())
    assert any(path.endswith("compute/training.py") for path, _, _ in loaded.code)
    refused = (None, warm.REFUSED)
    assert _asked(loaded, OMP_NUM_THREADS="3") == refused
    assert _asked(loaded, CUDA_VISIBLE_DEVICES="1") == refused
    assert _asked(server.Loaded(loaded.code[1:], loaded.environment, loaded.server)) == refused
    monkeypatch.setenv("PRETRAINING_GAIN_SEEN", "before")
    assert _asked(loaded, PRETRAINING_GAIN_SEEN="it") == (["a", "b"], warm.STARTED)
    assert os.environ.pop("PRETRAINING_GAIN_SEEN") == "it"


def test_elsewhere_than_on_linux_and_where_told_so_there_is_none(monkeypatch):
    assert warm.start(1, {warm.VARIABLE: "no"}) == "no"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert warm.start(1, {}) == "no"
