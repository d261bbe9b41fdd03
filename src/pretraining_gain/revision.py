"""The project's version, for records and provenance lines."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TypedDict

from pretraining_gain.paths import project_root, study_path

# Decides results and pages. Results are tracked, too, but change while runs go on.
_DECISIVE = ("src", "notebooks", "book", "Snakefile", "requirements.lock", "_config.yml", "_toc.yml")


class Revision(TypedDict):
    """`commit`: 40 hex digits, or `unknown` outside a git checkout; `changed`: whether the code differs from it."""

    commit: str
    changed: bool


@cache
def revision(study: str = "") -> Revision:
    """Return the commit of this checkout, never that of a repository around it.

    New files below `src` count as a change, and so does the file of `study`, a name or a path, that is not committed.
    """
    root = project_root()
    try:
        if not _is_top(root):
            return {"commit": "unknown", "changed": False}
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "-uno", "--", *_DECISIVE) + _git(root, "status", "--porcelain", "src")
        if study:
            file = study_path(study).resolve()
            inside = file.is_relative_to(root.resolve())
            changed += _git(root, "status", "--porcelain", "--ignored", str(file)) if inside else "outside of the checkout"
        return {"commit": commit, "changed": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "changed": False}


def commits_of(path: str) -> list[tuple[str, str]]:
    """Return commit and date (YYYY-MM-DD) of each change of a file of the project, newest first; none without the whole history."""
    root = project_root()
    try:
        if not _is_top(root) or _git(root, "rev-parse", "--is-shallow-repository") == "true":
            return []
        lines = _git(root, "log", "--follow", "--format=%H %cs", "--", path).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []
    return [(commit, date) for commit, _, date in (line.partition(" ") for line in lines)]


def _is_top(root: Path) -> bool:
    """Tell whether `root` is a repository of its own. Raises `CalledProcessError` outside of any."""
    return not _git(root, "rev-parse", "--show-cdup")


def _git(root: Path, *arguments: str) -> str:
    """Ask git about `root`, whatever repository the environment names."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, errors="replace", check=True)
    return done.stdout.strip()
