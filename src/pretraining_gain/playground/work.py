"""Plan the runs behind one gain: which are left, in which order, and how long they may take. Reuse finished ones."""

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
History = list[dict[str, float]]


@dataclass(frozen=True)
class Step:
    """One run, and its name for the reader."""

    run: Run
    title: str

    @property
    def key(self) -> str:
        """Return the name under which the run reports its progress."""
        return f"{self.run.stage} {self.run.run_id}"


@dataclass(frozen=True)
class Work:
    """All runs behind one gain: pretraining, finetuning, and training from scratch."""

    run: Run

    def steps(self) -> list[Step]:
        """Return the runs in order, finished ones included; a finished finetuning needs no pretraining."""
        start, partner = self.run.pretraining, scratch_partner(self.run)
        found = [Step(start, "pretraining")] if start and (is_done(start) or not is_done(self.run)) else []
        found.append(Step(self.run, "finetuning" if start else "training from scratch"))
        return [*found, Step(partner, "training from scratch")] if partner else found

    def to_do(self) -> list[Step]:
        """Return the runs that are not finished."""
        return [step for step in self.steps() if not is_done(step.run)]

    def describe(self, pace: float) -> str:
        """Say what training would do and how long it may take; `pace` as in `seconds`."""
        to_do = self.to_do()
        if not to_do:
            return "Finished already: Train shows it and trains nothing."
        ready = [step.title for step in self.steps() if is_done(step.run)]
        reused = f" Finished already and reused: {', '.join(ready)}." if ready else ""
        frozen = self.run.recipe.freeze_backbone
        note = " With a frozen backbone, from scratch means a head trained on a random network." if frozen else ""
        device = f", at the pace of {self.run.plan.throughput.device}" if pace == 1 else ", at the pace measured here"
        return f"To do: {', '.join(step.title for step in to_do)}; {in_words(seconds(to_do, pace))}{device}.{reused}{note}"

    def progress(self) -> tuple[float, str]:
        """Return the share of the work that is done, and the current step in words."""
        steps, histories = self.steps(), self.histories()
        shares = [len(histories[step.key]) / step.run.recipe.epochs for step in steps]
        weights = [step_seconds(step) for step in steps]
        place = next((i for i, share in enumerate(shares) if share < 1), len(steps) - 1)
        now, history = steps[place], histories[steps[place].key]
        said = f"Step {place + 1} of {len(steps)}, {now.title}: epoch {len(history)} of {now.run.recipe.epochs}"
        if history:
            said += f", training top-1 {history[-1]['top1']:.0%}, loss {history[-1]['loss']:.2f}"
        return sum(weight * share for weight, share in zip(weights, shares, strict=True)) / sum(weights), f"{said}."

    def trained_here(self) -> list[Step]:
        """Return the steps that reported epochs to the playground."""
        reported = _reported(self.progress_file())
        return [step for step in self.steps() if reported.get(step.key)]

    def borrow(self) -> None:
        """Copy finished runs of the study itself into the playground's folder, so that they are not done again."""
        for step in self.steps():
            own, stored = record_of(step.run), _stored(step.run)
            if not _is_whole(own, step.run) and _is_whole(stored, step.run):
                make_writable(own.parent)
                for path in (_outcome(stored, step.run), stored):  # the record last, as a run does
                    write_atomically(own.parent / path.name, path.read_bytes())

    def progress_file(self) -> Path:
        """Return the file to which the training process adds its epochs; it survives a stop, and so do the curves."""
        return make_writable(playground_root() / "progress") / f"{self.run.record_path.stem}.jsonl"

    def histories(self) -> dict[str, History]:
        """Return the epochs so far of each step by key: from the record if it is finished, else as reported."""
        reported = _reported(self.progress_file())
        return {
            step.key: read_record(record_of(step.run))["history"] if is_done(step.run) else reported.get(step.key, [])
            for step in self.steps()
        }


def record_of(run: Run) -> Path:
    """Return the path of the run's record in the playground's folder."""
    return playground_root() / run.plan.name / run.stage / run.record_path.name


def predictions_of(run: Run) -> Path:
    """Return the path of a finetuning's predictions in the playground's folder."""
    return _outcome(record_of(run), run)


def is_done(run: Run) -> bool:
    """Tell whether the run is finished, in the playground or in its study."""
    return _is_whole(record_of(run), run) or _is_whole(_stored(run), run)


def record(run: Run) -> Record:
    """Return the record of a run that is finished in the playground."""
    return read_record(record_of(run))


def seconds(steps: list[Step], pace: float = 1.0) -> float:
    """Estimate the duration of steps: the study's assumed speed times `pace`, which is 1 until measured here."""
    return _START_S + sum(step_seconds(step) for step in steps) * pace if steps else 0.0


def step_seconds(step: Step) -> float:
    """Estimate the duration of one step at its study's assumed speed."""
    return device_hours(step.run) * 3600


def in_words(duration_s: float) -> str:
    """Return a duration in words, rounded."""
    if duration_s < 90:
        return f"about {max(5, round(duration_s / 5) * 5)} seconds"
    if duration_s < 90 * 60:
        return f"about {round(duration_s / 60)} minutes"
    return f"about {duration_s / 3600:,.0f} hours"


def _stored(run: Run) -> Path:
    return results_of(run.plan.name) / run.stage / run.record_path.name


def _is_whole(path: Path, run: Run) -> bool:
    return path.exists() and _outcome(path, run).exists()


def _outcome(path: Path, run: Run) -> Path:
    return path.with_suffix(".csv.gz" if run.downstream else ".safetensors")


def _reported(path: Path) -> dict[str, History]:
    """Return the epochs of each run; a repeated epoch counts once, and an incomplete last line waits."""
    epochs: dict[str, dict[int, dict[str, Any]]] = {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    for entry in (json.loads(line) for line in lines if line.endswith("\n")):
        known = epochs.setdefault(entry["run"], {})
        if "epoch" in entry:
            known[int(entry["epoch"])] = entry
    return {run: [known[epoch] for epoch in sorted(known)] for run, known in epochs.items()}
