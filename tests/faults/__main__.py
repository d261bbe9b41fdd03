"""Fault campaign: `python -m tests.faults --kills 60 --out results/reliability/kills.json`

Runs a study again and again, with SIGKILL at random moments and a new start after each, and compares the end of every round
with an undisturbed one: weights, predictions, records and tables, bit for bit except times.

A kill hits a random point (in training, evaluation, writing a checkpoint, weights, predictions, a record or a table, moving
a notebook) or a random time. `--workflow` kills Snakemake, alone, so that its jobs run on beside those of the next start, or
with all its jobs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pretraining_gain.paths import project_root, write_atomically
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.studies import load_study
from pretraining_gain.revision import revision

ROOT = project_root()
#: Points of each phase, and the largest N that is drawn.
POINTS = {
    "training": [("train", 150)],
    "evaluation": [("evaluate", 3)],
    "checkpoint": [(f"{kind}:checkpoint", 40) for kind in ("half", "whole", "before", "after")],
    "weights": [(f"{kind}:safetensors", 1) for kind in ("half", "whole", "after")],
    "predictions": [(f"{kind}:csv.gz", 1) for kind in ("half", "whole", "after")],
    "record": [(f"{kind}:.json", 1) for kind in ("half", "whole", "before", "after")],
    "tables": [(f"{kind}:{name}", 1) for kind in ("half", "before", "after") for name in ("runs.csv", "costs.csv", "SHA256SUMS")],
    "notebook": [("before:.ipynb", 1), ("after:.ipynb", 1)],
}
_OF_RUNS = ["training", "checkpoint", "record", "notebook", "clock"]
#: Phases of a pretraining, a finetuning, the tables.
_PHASES = {
    "01_pretrain": [*_OF_RUNS, "weights"],
    "02_finetune": [*_OF_RUNS, "evaluation", "predictions"],
    "tables": ["tables", "clock"],
    "workflow": [*POINTS, *["clock"] * len(POINTS)],
}
#: Starts no notebooks, which takes a process instead of two per run.
_UNDISTURBED = """
import sys
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.plan.costs import Plan
from pretraining_gain.tell.results.tables import write_tables

for run in Plan.of(sys.argv[1]).runs():
    (finetune if run.downstream else pretrain)(run)
write_tables(sys.argv[1])
"""


@dataclass
class Campaign:
    """Run rounds of one study in folders below `place`; `kills` counts them by phase, `n_most` bounds every N of a point."""

    study: str
    place: Path
    draw: random.Random
    workflow: bool
    n_most: int
    longest_s: float = 12
    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    differing: list[str] = field(default_factory=list)

    def round(self, n_kills: int) -> dict[str, bytes]:
        """Run the study from nothing, with up to `n_kills` kills spread over its steps; return its outcome."""
        folder = Path(tempfile.mkdtemp(dir=self.place))
        steps, left = self._steps(folder, n_kills), n_kills
        for number, (kind, command) in enumerate(steps):
            here = -(-left // (len(steps) - number))
            while killed := self._start(command, folder, self.draw.choice(_PHASES[kind]) if here > 0 else ""):
                self.kills.update(killed)
                here, left = here - len(killed), left - len(killed)
        halves = [path.name for path in folder.rglob(".writing-*")]
        at_once = 4 if self.workflow else 2  # files that a kill may leave half-written: of a runner and its kernel, of two jobs
        if len(halves) > at_once * (n_kills - left):
            self.differing.append(f"left over: {len(halves)} half-written files after {n_kills - left} kills")
        return self._outcome(folder)

    def _steps(self, folder: Path, n_kills: int) -> list[tuple[str, list[str]]]:
        """List (kind, command) of the steps, in order."""
        if self.workflow:
            command = ["-m", "snakemake", "--cores", "2", "--config", f"study={self.study}", "--", "results"]
            return [("workflow", [sys.executable, *command])]
        if not n_kills:
            return [("undisturbed", [sys.executable, "-c", _UNDISTURBED, self.study])]
        steps = []
        for run in Plan.of(self.study).runs():
            kind = "02_finetune" if run.downstream else "01_pretrain"
            files = [str(ROOT / "notebooks" / f"{kind}.ipynb"), str(folder / "executed" / f"{run.run_id}.ipynb")]
            given = [text for name, value in run.parameters().items() for text in ("-p", name, str(value))]
            steps.append((kind, [sys.executable, "-m", "pretraining_gain.execute", *files, *given]))
        return [*steps, ("tables", [sys.executable, "-m", "pretraining_gain.tell.results.tables", self.study])]

    def _start(self, command: list[str], folder: Path, phase: str) -> list[str]:
        """Start `command`; return the phases in which it was killed, none if it ended by itself."""
        log, said = folder / "points.log", folder / "said.log"
        log.touch()
        before = len(log.read_text().splitlines())
        environment = os.environ | {"PRETRAINING_GAIN_RESULTS": str(folder / "results"), "PRETRAINING_GAIN_THREADS": "1"}
        environment |= {"PRETRAINING_GAIN_CHECKPOINT_S": "0", "FAULT_LOG": str(log), "FAULT_POINT": self._point(phase)}
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent / "points"), str(ROOT / "src")])
        with said.open("wb") as file:
            process = subprocess.Popen(
                command, env=environment, cwd=ROOT, start_new_session=True, stdout=file, stderr=subprocess.STDOUT
            )
        with suppress(subprocess.TimeoutExpired):
            process.wait(self.draw.uniform(1, self.longest_s) if phase == "clock" else None)
        if process.poll() is None:
            return [self._kill(process)]
        hits = len(log.read_text().splitlines()) - before  # a process, or a kernel under it, killed itself at the point
        if process.returncode and not hits:
            raise SystemExit(f"a start failed by itself: {' '.join(command)}\n{said.read_text()}")
        return [phase] * hits

    def _point(self, phase: str) -> str:
        if phase not in POINTS:
            return ""
        kind, most = self.draw.choice(POINTS[phase])
        return f"{kind}{'' if ':' in kind else ':'}:{self.draw.randint(1, min(most, self.n_most))}"

    def _kill(self, process: subprocess.Popen[bytes]) -> str:
        """Kill the process alone, so that its children run on, or all of them."""
        children = psutil.Process(process.pid).children(recursive=True)
        alone = self.workflow and self.draw.random() < 0.5
        process.send_signal(signal.SIGKILL)
        for child in [] if alone else children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()
        return "clock, Snakemake alone" if alone else "clock"

    def _outcome(self, folder: Path) -> dict[str, bytes]:
        """Read all files that a study leaves, without times and numbers of starts."""
        results = folder / "results" / load_study(self.study).name
        left = [*results.rglob("*.pt"), *folder.rglob("*.FAILED.ipynb")]
        if left:
            self.differing += [f"left over: {path.name}" for path in left]
        found = {}
        for path in results.rglob("*"):
            passing = path.name.startswith(".writing-") or path.suffix in (".lock", ".pt") or path.name == "SHA256SUMS"
            if path.is_file() and not passing:
                found[str(path.relative_to(results))] = _lasting(path)
        return found

    def compare(self, undisturbed: dict[str, bytes], killed: dict[str, bytes]) -> None:
        self.rounds += 1
        self.differing += [f"lost: {name}" for name in undisturbed.keys() - killed.keys()]
        self.differing += [name for name, content in killed.items() if undisturbed.get(name) != content]


#: Columns about how a study was run, not about its outcome.
_OF_ONE_START = ("_time_s", "_mb", "starts", "commit", "changed", "from_cache")


def _lasting(path: Path) -> bytes:
    """Read a file without times, memory, number of starts and commit."""
    if path.suffix == ".json":
        record = json.loads(path.read_text())
        record.pop("cost", None)
        record.pop("provenance", None)  # of the code, which may be committed meanwhile
        for epoch in record.get("history", []):
            epoch.pop("wall_time_s"), epoch.pop("device_time_s")
        return json.dumps(record, sort_keys=True).encode()
    if path.suffix == ".csv":
        rows = [line.split(",") for line in path.read_text().splitlines()]
        kept = [i for i, name in enumerate(rows[0]) if not name.endswith(_OF_ONE_START)]
        return "\n".join(",".join(row[i] for i in kept) for row in rows).encode()
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def campaign(study: str, kills: int, seed: int, workflow: bool, n_most: int = 150) -> dict[str, Any]:
    """Do `study` undisturbed once, then in rounds until there were `kills` kills; returns the summary."""
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    done = Campaign(study, place, random.Random(seed), workflow, n_most)
    started = time.monotonic()
    try:
        undisturbed = done.round(0)
        steps = 1 if workflow else len(Plan.of(study).runs()) + 1
        done.longest_s = max(done.longest_s, (time.monotonic() - started) / steps)
        while sum(done.kills.values()) < kills:
            done.compare(undisturbed, done.round(min(12, kills - sum(done.kills.values()))))
            print(f"{sum(done.kills.values())} kills, {done.rounds} rounds, differing: {done.differing or 'nothing'}", flush=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {
        "what": "workflow" if workflow else "runs",
        "study": load_study(study).name,
        "kills": sum(done.kills.values()),
        "kills_by_phase": dict(sorted(done.kills.items())),
        "rounds": done.rounds,
        "files_compared": len(undisturbed),
        "lost": sum(text.startswith("lost") for text in done.differing),
        "differing": done.differing,
        "wall_time_s": round(time.monotonic() - started, 1),
        "seed": seed,
        **revision(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--study", default=str(Path(__file__).with_name("study.yml")))
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workflow", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    summary = campaign(given.study, given.kills, given.seed, given.workflow)
    print(json.dumps(summary, indent=1))
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(given.out, (json.dumps(summary, indent=1) + "\n").encode())
    return 1 if summary["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
