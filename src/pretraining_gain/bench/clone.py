"""Measure the way from a clone to the book: `python -m pretraining_gain.bench.clone`

Clone the last commit into a temporary folder, set up its environment and run `make reproduce` there, without the network if
pip's cache has everything. Takes about six minutes on two cores and writes `results/bench/clone.json`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pretraining_gain.bench.measure import this_computer
from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, project_root, results_root, write_atomically
from pretraining_gain.revision import revision

#: Commands in a new clone, by what they measure; the last finds a run of the toy study done, so it only starts.
COMMANDS = {
    "installation": ("make", ".venv/.ready"),
    "reproduce": ("make", "reproduce"),
    "start": (".venv/bin/python", "-m", "pretraining_gain.execute", "notebooks/02_finetune.ipynb", "again.ipynb"),
}


def measure(commands: Mapping[str, Sequence[str]], out: Path) -> None:
    """Run the commands in a new clone of the last commit and write what each took, and what each rule of the workflow took.

    Raises `InputError` when one fails, after what it printed.
    """
    ours = ("PRETRAINING_GAIN_", "PYTHON", "MAKE", "MFLAGS")  # must not lead the clone back to this checkout
    here = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    make_writable(out.parent)
    with tempfile.TemporaryDirectory(prefix="clone-") as folder:
        clone = Path(folder, "clone")
        _run(("git", "clone", "-q", str(project_root()), str(clone)), Path(folder), here)
        took = [{"what": what, "seconds": _run(command, clone, here)} for what, command in commands.items()]
        rules = of_rules(clone / ".snakemake" / "metadata")
    content = {"schema_version": 1, "machine": this_computer(), **revision(), "commands": took, "rules": rules}
    write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
    print(out)


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    status = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL).returncode
    if status:
        raise InputError(f"`{' '.join(command)}` failed in a new clone with exit status {status}; what it said is above")
    return round(time.perf_counter() - started, 1)


def of_rules(metadata: Path) -> list[dict[str, Any]]:
    """Return one row per rule, in the order of their first jobs: jobs, seconds of all jobs, and seconds from first to last.

    Snakemake keeps one JSON file per output, with the rule and the start and end of the job that made it.
    """
    made = pd.DataFrame([json.loads(path.read_text(encoding="utf-8")) for path in metadata.rglob("*") if path.is_file()])
    jobs = made.groupby(["rule", "shellcmd"], as_index=False).agg(first=("starttime", "min"), last=("endtime", "max"))
    jobs["seconds"] = jobs["last"] - jobs["first"]
    rules = jobs.groupby("rule").agg(
        jobs=("seconds", "size"), seconds=("seconds", "sum"), first=("first", "min"), last=("last", "max")
    )
    rules["from_first_to_last_s"] = rules["last"] - rules["first"]
    return rules.sort_values("first").drop(columns=["first", "last"]).round(1).reset_index().to_dict("records")


if __name__ == "__main__":
    CommandLine("bench.clone", __doc__ or "").parse_args()
    sys.exit(answer("bench.clone", lambda: measure(COMMANDS, results_root() / "bench" / "clone.json")))
