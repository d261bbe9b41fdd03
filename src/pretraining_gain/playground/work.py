"""What of a choice is still to be done, in which order, and how long it may take. Finished runs are re-used, not repeated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pretraining_gain.paths import make_writable, results_of, write_atomically
from pretraining_gain.plan.costs import device_hours
from pretraining_gain.plan.record import Record, read_record
from pretraining_gain.plan.runs import Run
from pretraining_gain.playground.choices import playground_root, scratch_partner

_START_S = 6.0  # a new process imports torch and reads the images


@dataclass(frozen=True)
class Step:
    """One run to do, and what the reader calls it."""

    run: Run
    title: str

    @property
    def key(self) -> str:
        """How the run calls itself when it reports its progress."""
        return f"{self.run.stage} {self.run.run_id}"


@dataclass(frozen=True)
class Work:
    """All runs behind one gain: the pretraining, the finetuning, and the same from scratch."""

    run: Run

    @property
    def scratch(self) -> Run | None:
        return scratch_partner(self.run)

    def steps(self) -> list[Step]:
        """In the order in which they are done, finished ones included. A finished finetuning needs no pretraining any more."""
        start, partner = self.run.pretraining, self.scratch
        found = [Step(start, "pretraining")] if start and (is_done(start) or not is_done(self.run)) else []
        found.append(Step(self.run, "finetuning" if start else "training from scratch"))
        return [*found, Step(partner, "training from scratch")] if partner else found

    def to_do(self) -> list[Step]:
        """What is not there yet."""
        return [step for step in self.steps() if not is_done(step.run)]

    def describe(self, pace: float) -> str:
        """What training this would do, and how long it may take."""
        to_do = self.to_do()
        ready = [step.title for step in self.steps() if is_done(step.run)]
        again = f" Finished already, and used again: {', '.join(ready)}." if ready else ""
        frozen = self.run.recipe.freeze_backbone
        note = " With a frozen backbone, from scratch means a head that learns on a random network." if frozen else ""
        if not to_do:
            return "Finished already: Train shows it, and trains nothing."
        device = f", at the pace of {self.run.plan.throughput.device}" if pace == 1 else ", at the pace measured here"
        return f"To do: {', '.join(step.title for step in to_do)}; {in_words(seconds(to_do, pace))}{device}.{again}{note}"

    def trained_here(self) -> list[Step]:
        """Steps of which epochs were reported."""
        reported = _reported(self.progress_file())
        return [step for step in self.steps() if reported.get(step.key)]

    def borrow(self) -> None:
        """Bring finished runs of the study itself into the playground's folder, so that they are not done again."""
        for step in self.steps():
            stored = _stored(step.run)
            if not _is_whole(record_of(step.run), step.run) and _is_whole(stored, step.run):
                make_writable(record_of(step.run).parent)
                for path in (_outcome(stored, step.run), stored):  # the record last, as a run does
                    write_atomically(record_of(step.run).parent / path.name, path.read_bytes())

    def progress_file(self) -> Path:
        """To which the process that trains adds its epochs. It stays when that is stopped, and so do the curves."""
        return make_writable(playground_root() / "progress") / f"{self.run.record_path.stem}.jsonl"

    def histories(self) -> dict[str, list[dict[str, float]]]:
        """Key of a step -> its epochs so far, of its record if it is finished, else as reported."""
        reported = _reported(self.progress_file())
        return {
            step.key: read_record(record_of(step.run))["history"] if is_done(step.run) else reported.get(step.key, [])
            for step in self.steps()
        }


def record_of(run: Run) -> Path:
    """The run's record in the playground's folder."""
    return playground_root() / run.plan.name / run.stage / run.record_path.name


def predictions_of(run: Run) -> Path:
    return _outcome(record_of(run), run)


def is_done(run: Run) -> bool:
    """Whether the run is finished, in the playground or in its study."""
    return _is_whole(record_of(run), run) or _is_whole(_stored(run), run)


def record(run: Run) -> Record:
    return read_record(record_of(run))


def seconds(steps: list[Step], pace: float = 1.0) -> float:
    """How long the steps may take on this machine: the study's assumed speed, times `pace`, which is 1 until measured."""
    return _START_S + sum(step_seconds(step) for step in steps) * pace if steps else 0.0


def step_seconds(step: Step) -> float:
    """Of one step at its study's assumed speed, which is that of the study's own backbone."""
    return device_hours(step.run) * 3600


def in_words(duration_s: float) -> str:
    if duration_s < 90:
        return f"about {max(5, round(duration_s / 5) * 5)} seconds"
    if duration_s < 90 * 60:
        return f"about {round(duration_s / 60)} minutes"
    return f"about {duration_s / 3600:,.0f} hours"


def _stored(run: Run) -> Path:
    """The run's record in its study's own folder."""
    return results_of(run.plan.name) / run.stage / run.record_path.name


def _is_whole(path: Path, run: Run) -> bool:
    return path.exists() and _outcome(path, run).exists()


def _outcome(path: Path, run: Run) -> Path:
    return path.with_suffix(".csv.gz" if run.downstream else ".safetensors")


def _reported(path: Path) -> dict[str, list[dict[str, float]]]:
    """Run -> its epochs. One that was done twice, as its first state was lost, counts once; half a line is left for later."""
    epochs: dict[str, dict[int, dict[str, Any]]] = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    for line in lines:
        if line.endswith("\n"):
            entry = json.loads(line)
            known = epochs.setdefault(entry["run"], {})
            if "epoch" in entry:
                known[int(entry["epoch"])] = entry
    return {run: [known[epoch] for epoch in sorted(known)] for run, known in epochs.items()}
