"""The project's version, for records and provenance lines."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import TypedDict

from pretraining_gain.paths import project_root

# Decides results and pages. Results are tracked, too, but change while runs go on.
_DECISIVE = ("src", "notebooks", "book", "Snakefile", "requirements.lock")


class Revision(TypedDict):
    """`commit`: 40 hex digits, or `unknown` outside a git checkout; `changed`: whether tracked code differs from it."""

    commit: str
    changed: bool


@cache
def revision() -> Revision:
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git("status", "--porcelain", "-uno", "--", *_DECISIVE))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "changed": False}


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=True).stdout.strip()
