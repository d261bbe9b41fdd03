"""Plan the runs behind one gain: which are left, in which order, and how long they may take. Reuse finished ones."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pretraining_gain.paths import make_writable, results_of, write_atomically
from pretraining_gain.plan.costs import device_hours
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run
from pretraining_gain.playground.choices import playground_root, scratch_partner

_START_S = 6.0  # a new process imports torch and reads the images
History = list[dict[str, float]]


@dataclass(frozen=True)
class Work:
    """All runs behind one gain: pretraining, finetuning, and training from scratch."""

    run: Run

    def steps(self) -> list[Run]:
        """Return the runs in order, finished ones included; a finished finetuning needs no pretraining."""
        start = self.run.pretraining
        needed = start if start and (is_done(start) or not is_done(self.run)) else None
        return [run for run in (needed, self.run, scratch_partner(self.run)) if run]

    def to_do(self) -> list[Run]:
        return [run for run in self.steps() if not is_done(run)]

    def describe(self) -> str:
        """Say what training would do and how long it may take."""
        to_do = self.to_do()
        if not to_do:
            return "Finished already: Train shows it and trains nothing."
        ready = [title_of(run) for run in self.steps() if is_done(run)]
        reused = f" Finished already and reused: {', '.join(ready)}." if ready else ""
        frozen = self.run.recipe.freeze_backbone
        note = " With a frozen backbone, from scratch means a head trained on a random network." if frozen else ""
        device = self.run.plan.throughput.device
        return f"To do: {', '.join(map(title_of, to_do))}; {duration(to_do)}, at the pace of {device}.{reused}{note}"

    def progress(self) -> tuple[float, str]:
        """Return the share of the work that is done, and the current step in words."""
        steps, histories = self.steps(), self.histories()
        shares = [len(histories[run]) / run.recipe.epochs for run in steps]
        weights = [device_hours(run) for run in steps]
        place = next((i for i, share in enumerate(shares) if share < 1), len(steps) - 1)
        now, history = steps[place], histories[steps[place]]
        said = f"Step {place + 1} of {len(steps)}, {title_of(now)}: epoch {len(history)} of {now.recipe.epochs}"
        if history:
            said += f", training top-1 {history[-1]['top1']:.0%}, loss {history[-1]['loss']:.2f}"
        return sum(weight * share for weight, share in zip(weights, shares, strict=True)) / sum(weights), f"{said}."

    def borrow(self) -> None:
        """Copy finished runs of the study itself into the playground's folder, so that they are not done again."""
        for run in self.steps():
            own, stored = record_of(run), _stored(run)
            if not outcomes_of(own, run) and (outcomes := outcomes_of(stored, run)):
                for path in (*outcomes, stored):  # the record last, as a run does
                    write_atomically(make_writable(own.parent) / path.name, path.read_bytes())

    def progress_file(self) -> Path:
        """Return the file to which the training process adds its epochs; it survives a stop, and so do the curves."""
        return playground_root() / "progress" / f"{self.run.record_path.stem}.jsonl"

    def histories(self) -> dict[Run, History]:
        """Return the epochs so far of each step: from the playground's record if it is finished, else as reported, each once."""
        path, reported = self.progress_file(), []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            with suppress(ValueError):  # incomplete: the last one, or where a disk was full
                reported.append(json.loads(line))
        found: dict[Run, History] = {}
        for run in self.steps():
            record = record_of(run)
            own = {one["epoch"]: one for one in reported if one["run"] == f"{run.stage} {run.run_id}" and "epoch" in one}
            found[run] = read_record(record)["history"] if outcomes_of(record, run) else [own[number] for number in sorted(own)]
        return found


def title_of(run: Run) -> str:
    """Name the kind of a run for the reader."""
    return "pretraining" if not run.downstream else "finetuning" if run.pretraining else "training from scratch"


def record_of(run: Run) -> Path:
    """Return the path of the run's record in the playground's folder."""
    return playground_root() / run.plan.name / run.stage / run.record_path.name


def _stored(run: Run) -> Path:
    return results_of(run.plan.name) / run.stage / run.record_path.name


def outcomes_of(record: Path, run: Run) -> list[Path]:
    """Return the predictions and weights that the run keeps beside a record; none when one of them, or the record, is missing."""
    files = [record.with_suffix(ending) for ending in run.outcomes]
    return files if all(path.exists() for path in (record, *files)) else []


def is_done(run: Run) -> bool:
    """Tell whether the run is finished, in the playground or in its study."""
    return bool(outcomes_of(record_of(run), run) or outcomes_of(_stored(run), run))


def duration(runs: list[Run]) -> str:
    """Estimate how long runs take at the study's assumed speed; say it in words, rounded."""
    seconds = _START_S + sum(map(device_hours, runs)) * 3600
    if seconds < 90:
        return f"about {max(5, round(seconds / 5) * 5)} seconds"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:,.0f} hours"
