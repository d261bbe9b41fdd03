"""Make runs again from nothing, as the book prints them: `python -m tests.again --out results/reliability/again.json`

Of the study and its seeds, takes each pretraining without a further design, and each finetuning on the targets. Works in
the folder `again` and resumes there: what is done is only compared. Counts the runs that agree with the committed ones to
the last bit.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pretraining_gain.errors import InputError
from pretraining_gain.paths import write_atomically
from pretraining_gain.revision import revision
from pretraining_gain.tell.book.rerun import Repeatable, repeatable_runs
from pretraining_gain.tell.results.compare import compare


def shell(command: str, folder: Path, variables: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    """Run a printed command in `folder`, as in an activated environment, up to its first error."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    given = {"cwd": folder, "env": {**variables, "PATH": path}, "stdin": subprocess.DEVNULL}
    return subprocess.run(["bash", "-euc", command], capture_output=True, text=True, **given)


def make_again(one: Repeatable) -> str:
    """Run the command of a run, unless its record is there, and compare it. Return what differs; empty if nothing does.

    Raises `InputError` for a run that another commit made, or whose command fails.
    """
    if one.command.startswith("git checkout"):
        raise InputError(f"{one.name} was made by other code; accepted: runs of this commit's code")
    record = Path(shlex.split(one.command)[-1])
    if not record.exists():
        done = shell(one.command, Path.cwd())
        if not record.exists():
            raise InputError(f"{one.name} failed: {done.stderr.strip()[-300:]}")
    try:
        print(f"{one.name}: {compare(record)}", flush=True)
    except InputError as error:
        print(f"{one.name}: {error}", flush=True)
        return str(error)
    return ""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="imagenet200")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101])
    parser.add_argument("--targets", nargs="+", default=["birds", "caltech101_animals", "tiny_animals"])
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    runs = [
        one for one in repeatable_runs(given.study)
        if one.run.seed in given.seeds and not one.run.design and one.run.downstream in ("", *given.targets)
    ]  # fmt: skip
    with ThreadPoolExecutor(given.at_once) as pool:
        differing = {one.name: said for one, said in zip(runs, pool.map(make_again, runs), strict=True) if said}
    facts = {"study": given.study, "seeds": given.seeds, "targets": given.targets, "runs": len(runs),
             "same": len(runs) - len(differing), "differing": differing, **revision()}  # fmt: skip
    write_atomically(given.out, (json.dumps(facts, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
