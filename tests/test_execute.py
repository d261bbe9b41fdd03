"""The strict runner: its own interpreter and package, untouched by the user's settings, and any path."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from refusal import assert_one_line

from pretraining_gain.commands import answer
from pretraining_gain.execute import main, read_parameters
from pretraining_gain.plan.code import PACKAGE
from pretraining_gain.plan.yamlfile import in_yaml

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SETTINGS = """
import builtins, json, pretraining_gain
print(json.dumps([getattr(builtins, "touched", []), pretraining_gain.__file__]))
"""
TOUCH = "import builtins\nbuiltins.touched = getattr(builtins, 'touched', []) + ['{}']\n"


def write(path: Path, code: str) -> Path:
    """Write a notebook with the parameter `number` and one cell of code."""
    cells = [nbformat.v4.new_code_cell("number: int = 0", metadata={"tags": ["parameters"]}), nbformat.v4.new_code_cell(code)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return path


def printed(path: Path) -> str:
    return nbformat.read(path, 4).cells[-1].outputs[0].text


def test_a_kernel_ignores_the_users_settings_and_other_kernels(tmp_path, monkeypatch):
    """A profile's start-up file, PYTHONSTARTUP, sitecustomize and usercustomize, other packages, another python3."""
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "00.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(TOUCH.format("profile"))
    startup.parents[1].joinpath("ipython_kernel_config.py").write_text("c = get_config()\n" + TOUCH.format("configuration"))
    other = tmp_path / "other"
    (other / "pretraining_gain").mkdir(parents=True)
    (other / "pretraining_gain" / "__init__.py").write_text(TOUCH.format("another package"))
    for name in ("sitecustomize", "usercustomize", "start"):
        (other / f"{name}.py").write_text(TOUCH.format(name))
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "Python 3", "language": "python"}))
    settings = {"IPYTHONDIR": tmp_path / "ipython", "PYTHONPATH": other, "PYTHONSTARTUP": other / "start.py"}
    for name, value in (settings | {"JUPYTER_PATH": tmp_path / "jupyter"}).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(other)
    assert main([str(write(tmp_path / "page.ipynb", SETTINGS)), str(tmp_path / "out.ipynb")]) == 0
    assert json.loads(printed(tmp_path / "out.ipynb")) == [[], str(PACKAGE / "__init__.py")]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os\nos._exit(3)", "exit code 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL, as the system does when memory"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
    ],
)
def test_a_kernel_that_dies_says_why(tmp_path, capsys, code, said):
    assert main([str(write(tmp_path / "page.ipynb", code)), str(tmp_path / "out.ipynb")]) == 1
    assert_one_line(capsys.readouterr().err, "page: page.ipynb: the kernel died, ", said)
    assert [path.name for path in tmp_path.iterdir()] == ["page.ipynb"]


def test_a_kernel_that_cannot_start_says_why(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pretraining_gain.execute._KERNEL", "import ipykernel_that_is_not_installed")
    assert main([str(write(tmp_path / "page.ipynb", "")), str(tmp_path / "out.ipynb")]) == 1
    assert_one_line(capsys.readouterr().err, "the kernel died, exit code 1: ModuleNotFoundError: No module named 'ipykernel_that")


def test_paths_may_have_braces_and_a_result_a_long_name(tmp_path):
    page = write(tmp_path / "é {number} it's" / "{a}.ipynb", "print(number)")
    output = page.with_name(f"{'{b}' * 40}.ipynb")
    assert main([str(page), str(output), "-p", "number", "010"]) == 0
    assert printed(output) == "10\n"  # YAML 1.2 has no octals that begin with 0
    assert {path.name for path in page.parent.iterdir()} == {page.name, output.name}


@pytest.mark.parametrize("letters", [245, 300])
def test_too_long_a_name_of_a_result_is_one_line(tmp_path, capsys, letters):
    page = write(tmp_path / "page.ipynb", "")
    assert main([str(page), str(page.with_name(f"{'x' * letters}.ipynb"))]) == 1
    assert_one_line(capsys.readouterr().err, "is too long a name; accepted: up to ")


def test_too_long_a_name_of_a_notebook_is_one_line(tmp_path, capsys):
    assert main([f"{'x' * 300}.ipynb", str(tmp_path / "out.ipynb")]) == 1
    assert_one_line(capsys.readouterr().err, ".ipynb: File name too long; accepted: ")


TEXTS = ["/a/My #1/b.yml", "a: b", "@a", "010", "null", "", "🦉", "\x7f\x85\u2028\ufeff\udcff\U000e0001"]


@pytest.mark.parametrize("value", [*TEXTS, 1e-5, [1], True])
def test_a_value_in_yaml_is_read_as_it_was(value):
    assert read_parameters([("study", in_yaml(value))]) == {"study": value}


def test_sockets_have_a_short_path_whatever_the_temporary_folder(tmp_path):
    folder = tmp_path / ("t" * 150)
    folder.mkdir()
    command = [sys.executable, "-m", "pretraining_gain.execute", write(tmp_path / "page.ipynb", "print(1)"), tmp_path / "o.ipynb"]
    subprocess.run(command, env=os.environ | {"TMPDIR": str(folder)}, cwd=ROOT, check=True)
    assert printed(tmp_path / "o.ipynb") == "1\n"
    assert not list(folder.iterdir())


def test_a_command_speaks_to_a_terminal_that_knows_only_ascii():
    code = "from pretraining_gain.commands import CommandLine; CommandLine('x', ''); print('−1 × 2 → “3”')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("-1 x 2 -> ?3?\n", "")


def test_what_a_disk_says_ends_a_command_in_one_line(capsys):
    assert answer("predict", lambda: Path("/dev/full").write_text("x")) == 1
    assert_one_line(capsys.readouterr().err, "predict: No space left on device; accepted: a disk with room")
    with pytest.raises(FileNotFoundError):  # a fault of the code
        answer("predict", Path("/nowhere").read_text)


def test_ctrl_c_ends_a_command_in_one_line(capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without
    try:
        assert answer("prepare", lambda: signal.raise_signal(signal.SIGINT)) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert_one_line(capsys.readouterr().err, "prepare: stopped")
