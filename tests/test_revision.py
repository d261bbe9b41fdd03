"""A record names the commit of this checkout, or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pretraining_gain import paths
from pretraining_gain import revision as module
from pretraining_gain.revision import commits_of, revision

UNKNOWN = {"commit": "unknown", "changed": False}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def git_says(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def committed(folder: Path) -> Path:
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "x")
    return folder


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A project with one module and one study, in no repository."""
    root = tmp_path / "outer" / "project"
    for name in ("src/a.py", "notebooks/studies/toy.yml", "results/toy/a.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    for one in (module, paths):
        monkeypatch.setattr(one, "project_root", lambda: root)
    monkeypatch.chdir(root)
    revision.cache_clear()
    yield root
    revision.cache_clear()


def test_a_repository_around_an_unpacked_archive_is_not_ours(checkout, monkeypatch):
    assert revision("toy") == UNKNOWN
    committed(checkout.parent)
    revision.cache_clear()
    assert revision("toy") == UNKNOWN
    monkeypatch.setenv("GIT_DIR", str(checkout.parent / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(checkout))
    revision.cache_clear()
    assert revision("toy") == UNKNOWN


CHANGES: dict[str, tuple[str, Callable[[Path], object], bool]] = {
    "nothing": ("toy", lambda root: None, False),
    "a tracked module": ("toy", lambda root: (root / "src" / "a.py").write_text("1"), True),
    "a new module": ("toy", lambda root: (root / "src" / "b.py").touch(), True),
    "a new result": ("toy", lambda root: (root / "results" / "toy" / "b.json").touch(), False),
    "the study": ("own", lambda root: (root / "notebooks" / "studies" / "own.yml").touch(), True),
    "another study": ("toy", lambda root: (root / "notebooks" / "studies" / "own.yml").touch(), False),
    "a study at the top": ("own.yml", lambda root: (root / "own.yml").touch(), True),
    "a study elsewhere": ("../own.yml", lambda root: (root.parent / "own.yml").touch(), True),
}


@pytest.mark.parametrize(("study", "change", "changed"), CHANGES.values(), ids=CHANGES)
def test_new_modules_and_the_study_count_as_changes(checkout, monkeypatch, study, change, changed):
    committed(checkout)
    change(checkout)
    monkeypatch.setenv("GIT_DIR", str(checkout.parent / "nowhere"))
    found = revision(study)
    assert len(found["commit"]) == 40
    assert found["changed"] == changed


def test_a_commit_is_found_below_an_accent_in_the_locale_c(checkout, tmp_path):
    root = committed(checkout.rename(tmp_path / "é"))
    code = "from pathlib import Path; from pretraining_gain import revision as r; r.project_root = Path.cwd; print(r.revision())"
    settings = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=settings, capture_output=True, text=True)
    assert git_says(root, "rev-parse", "HEAD") in done.stdout, done.stderr


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    committed(checkout)
    monkeypatch.setenv("PATH", str(checkout))
    assert shutil.which("git") is None
    assert revision() == UNKNOWN


def test_a_file_has_the_commits_that_changed_it_newest_first(checkout):
    assert commits_of("src/a.py") == []
    committed(checkout)
    (checkout / "src" / "a.py").write_text("1")
    git(checkout, "commit", "-am", "y")
    git(checkout, "commit", "--allow-empty", "-m", "z")
    found = commits_of("src/a.py")
    assert [commit for commit, _ in found] == [git_says(checkout, "rev-parse", one) for one in ("HEAD~1", "HEAD~2")]
    assert [date for _, date in found] == [git_says(checkout, "log", "-1", "--format=%cs", one) for one in ("HEAD~1", "HEAD~2")]


def test_a_shallow_clone_does_not_know_the_first_commit(checkout, monkeypatch, tmp_path):
    committed(checkout)
    git(checkout, "commit", "--allow-empty", "-m", "y")
    git(tmp_path, "clone", "--depth", "1", checkout.as_uri(), "shallow")
    monkeypatch.setattr(module, "project_root", lambda: tmp_path / "shallow")
    assert commits_of("src/a.py") == []
