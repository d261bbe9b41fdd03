"""`make reproduce` anywhere: an unpacked archive with an odd path, and a machine that gives little."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, copy_project
from refusal import assert_one_line

from pretraining_gain.execute import read_parameters
from pretraining_gain.plan.studies import study_names


def unpack(root: Path) -> Path:
    """Copy the project without git, with the environment of these tests, and a profile that only plans."""
    copy_project(root)
    (root / ".venv").symlink_to(sys.prefix)
    (root / "profiles" / "plans").mkdir()
    (root / "profiles" / "plans" / "config.yaml").write_text("executor: local\ncores: all\ndry-run: true\n")
    return root


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("é {a} it's b") / "pretraining gain"
    root.mkdir()
    return unpack(root)


def run(checkout: Path, *command: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    # As in a reader's own shell: under `make test`, make would hand its own settings down.
    outside = ("PRETRAINING_GAIN_", "PYTHONPATH", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    environment = kept | {"PYTHONPATH": str(checkout / "src"), "XDG_CACHE_HOME": ""} | settings
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, errors="replace")


PLACES: dict[str, tuple[list[str], dict[str, str]]] = {
    "an odd path without git": ([], {}),
    "one core, no UTF-8, HOME that cannot be written, TMPDIR of 150 characters": (
        ["taskset", "-c", str(min(os.sched_getaffinity(0)))],
        {"HOME": "/proc/nowhere", "TMPDIR": "t" * 150,
         "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "settings"), PLACES.values(), ids=PLACES)
def test_the_workflow_is_planned_and_a_notebook_executed(checkout, small_study, tmp_path, before, settings):
    study = tmp_path / "a b" / "it's {mine}.yml"
    study.parent.mkdir()
    shutil.copy(small_study, study)
    if "TMPDIR" in settings:
        settings = settings | {"TMPDIR": str(tmp_path / settings["TMPDIR"])}
        Path(settings["TMPDIR"]).mkdir()
    planned = run(checkout, *before, "make", "-o", ".venv/.ready", "reproduce", f"STUDY={study}", "PROFILE=plans", **settings)
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert re.search(r"^tables +2$", planned.stdout, re.MULTILINE), planned.stdout  # of toy and of the reader's study
    page = tmp_path / "{page}.ipynb"
    command = [".venv/bin/python", "-m", "pretraining_gain.execute", "notebooks/00_plan.ipynb", page, "-p", "study", study]
    done = run(checkout, *before, *command, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert page.is_file()


@pytest.mark.parametrize(("name", "elsewhere"), [("a {b}", True), ("a b", False)])
def test_only_under_a_path_with_braces_packages_are_built_elsewhere(tmp_path, name, elsewhere):
    (tmp_path / name).mkdir()
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / name)
    planned = run(tmp_path / name, "make", "-n", ".venv/.ready")
    assert planned.returncode == 0, planned.stderr
    assert ("pip wheel" in planned.stdout) == elsewhere


@pytest.mark.parametrize("study", ["@ My #1/it's a: b.yml", 'My "`id`"/$HOME \\n{$$}.yml'])
def test_the_path_of_a_study_stays_a_text_on_its_way_through_shell_and_yaml(checkout, small_study, study):
    (checkout / study).parent.mkdir()
    shutil.copy(small_study, checkout / study)
    planned = run(checkout, "make", "-n", "-o", ".venv/.ready", "reproduce", f"STUDY={study}", "PROFILE=plans")
    command = planned.stdout.replace("--quiet rules host reason", "--printshellcmds")
    planned = run(checkout, "sh", "-c", command)
    assert planned.returncode == 0, planned.stderr[-3000:]
    commands = [shlex.split(line) for line in planned.stdout.splitlines() if "-p study" in line]
    given = {read_parameters([("study", words[words.index("study") + 1])])["study"] for words in commands}
    assert given - {*study_names()} == {study}


@pytest.mark.parametrize("odd", ["/a b/it's `id` \"$HOME\" $(x)", "a$(b", "$x", "$(shell touch made)"])
def test_what_a_reader_gives_to_make_reaches_the_command_as_it_is(tmp_path, odd):
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[3:])\n")
    python.chmod(0o755)
    given = [f"{name}={odd}" for name in ("STUDY", "NAME", "IMAGES", "WEIGHTS", "ROOT")]
    done = run(tmp_path, "make", "-s", "-o", ".venv/.ready", "plan", "data", "prepare", "study", *given)
    assert [ast.literal_eval(line) for line in done.stdout.splitlines()] == [
        [odd], [odd], [odd], [odd, odd, "--weights", odd, "--root", odd],
    ]  # fmt: skip
    assert not (tmp_path / "made").exists()


def test_a_study_that_is_no_text_is_one_line(checkout):
    done = run(checkout, ".venv/bin/python", "-m", "snakemake", "--profile", "profiles/plans", "--config", "study=a: b.yml")
    assert done.returncode != 0
    assert_one_line(done.stderr.splitlines()[-1], "snakemake: study {'a': 'b.yml'}; accepted: a name in notebooks/studies/")


def test_no_cores_is_one_line(checkout):
    done = run(checkout, "make", "-o", ".venv/.ready", "reproduce", "PROFILE=plans", "JOBS=0")
    said = next(line for line in done.stderr.splitlines() if line.startswith("snakemake: "))
    assert_one_line(said, "no cores to run on (make JOBS=0, or --cores 0); accepted: ")


def test_a_notebook_that_is_none_is_one_line(checkout):
    (checkout / "notebooks" / "30_mine.ipynb").touch()
    try:
        done = run(checkout, ".venv/bin/python", "-m", "snakemake", "--profile", "profiles/plans")
    finally:
        (checkout / "notebooks" / "30_mine.ipynb").unlink()
    assert_one_line(done.stderr.splitlines()[-1], "snakemake: ", "30_mine.ipynb is not JSON (")


@pytest.fixture
def read_only(checkout: Path, tmp_path: Path) -> Iterator[Path]:
    """The checkout on a file system that cannot be written."""
    place = tmp_path / "read only"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "--bind", checkout, place], capture_output=True).returncode:
        pytest.skip("mounting a folder again needs root")
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_checkout_that_cannot_be_written_is_one_line(read_only, tmp_path):
    done = run(read_only, "make", "-o", ".venv/.ready", "reproduce")
    assert done.returncode != 0
    assert_one_line(done.stderr.splitlines()[0], f"make: cannot write to {read_only}; accepted: a copy")
    command = [".venv/bin/python", "-m", "pretraining_gain.execute", "notebooks/00_plan.ipynb", tmp_path / "page.ipynb"]
    assert run(read_only, *command).returncode == 0
