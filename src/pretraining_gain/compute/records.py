"""Write the record of a run: what was done, with what, at which cost. Written last, so a record that exists is complete."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from pretraining_gain.compute.checkpoints import checkpoint_of
from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.compute.training import History
from pretraining_gain.compute.weights import ForeignWeights, read_weights
from pretraining_gain.datasets import find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import acquire, make_writable, write_atomically
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run
from pretraining_gain.revision import revision

_OUT_OF_MEMORY = "out of memory; give it more, or share the run among more devices (PRETRAINING_GAIN_DEVICES), then start it again"
_RESUME = "fix it and start the run again; it resumes from its last checkpoint"


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the run's lock, so that a second process waits; check first that its folder can be written.

    Turns a failing disk or mount, and memory that runs out, into one `InputError`.
    """
    make_writable(run.folder)
    lock = FileLock(run.record_path.with_suffix(".lock"))
    try:
        acquire(lock, f"{run.run_id}: another process does this run")
        yield
    except MemoryError:
        raise InputError(f"{run.run_id}: {_OUT_OF_MEMORY}") from None
    except OSError as error:
        raise InputError(f"{run.run_id}: {error.filename or 'disk'}: {error.strerror or error}; {_RESUME}") from None
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        raise InputError(f"{run.run_id}: {_OUT_OF_MEMORY} ({str(error).splitlines()[0][:160]})") from None
    finally:
        lock.release()


def write_record(
    run: Run,
    data: ImageSet,
    history: History,
    machine: Machine,
    starts: int,
    evaluation: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of a finished run. `evaluation` of a finetuning: images, top1, wall_time_s, device_time_s."""
    start = run.pretraining
    content = {
        "run_id": run.run_id,
        "fingerprint": run.fingerprint,
        "stage": run.stage,
        "parameters": run.parameters(),
        "pretraining": f"{start.run_id}.{start.fingerprint}" if start else None,
        "weights": run.start_facts,
        "normalisation": data.normalisation,
        "source_class_ids": list(run.subset.class_ids),
        "recipe": run.recipe.model_dump(),
        "train_images": len(data),
        "train_content_hash": data.content_hash(),
        "skipped_images": data.skipped,
        "cost": _cost(data, history, machine, starts, evaluation or {}),
        "machine": machine.describe(),
        "provenance": revision(run.study) | {"config_hash": run.plan.config_hash},
        "history": history,
    }
    if evaluation:
        held_out = evaluation["images"]
        content |= {"eval_images": len(held_out), "top1": evaluation["top1"], "eval_content_hash": held_out.content_hash()}
        content |= {"sha256": {"predictions": hashlib.sha256(run.predictions_path.read_bytes()).hexdigest()}}
    write_atomically(run.record_path, (json.dumps(content, indent=1) + "\n").encode())


def write_findings(run: Run) -> None:
    """Write what a dataset found about its split (leaks, near-duplicates) beside the results, where it looks for any."""
    images = run.target.images
    look = find_dataset(images.dataset).findings
    if look:
        content = json.dumps(look(images), indent=1, ensure_ascii=False) + "\n"
        write_atomically(run.folder.parent / f"images-{run.downstream}.json", content.encode())


def _cost(
    data: ImageSet, history: History, machine: Machine, starts: int, evaluation: Mapping[str, Any]
) -> dict[str, Any]:
    """Add up what the run took: times of all starts, as far as their state was kept; memory of the last one."""
    device_time_s = sum(epoch["device_time_s"] for epoch in history) + evaluation.get("device_time_s", 0.0)
    return {
        "train_images_seen": len(data) * len(history),
        "eval_images_seen": len(evaluation.get("images", ())),
        "train_wall_time_s": round(sum(epoch["wall_time_s"] for epoch in history), 2),
        "eval_wall_time_s": round(evaluation.get("wall_time_s", 0.0), 2),
        "device_time_s": round(device_time_s, 2),
        **machine.peak_memory_mb(),
        "starts": starts,
        "from_cache": data.from_cache,
    }


def is_finished(run: Run) -> bool:
    """Say whether the record exists and its weights or predictions are whole; report damaged ones on stderr.

    Raises `InputError` for files that are there and cannot be read at the moment: nothing says that the run must be repeated.
    Raises `ForeignWeights` where other weights are in the place of a pretraining's. Removes the checkpoint of a finished
    run, which a kill right after its end may have left.
    """
    outcome = run.predictions_path if run.downstream else run.weights_path
    files = [run.record_path, *(run.record_path.with_suffix(ending) for ending in run.outcomes)]
    missing = [path for path in files if not _is_there(path)]
    complete = not missing
    if 0 < len(missing) < len(files):
        print(f"{missing[0]} is missing, though other files of the run are there: doing it again", file=sys.stderr)
    try:
        if not run.downstream:
            if _is_there(outcome):
                read_weights(run)
        elif complete and read_record(run.record_path)["sha256"]["predictions"] != hashlib.sha256(outcome.read_bytes()).hexdigest():
            raise InputError(f"predictions {outcome} are damaged (wrong checksum); run 02_finetune again")
    except ForeignWeights:
        raise
    except InputError as error:
        print(f"{error}: doing it now", file=sys.stderr)
        return False
    if complete:
        checkpoint_of(run, 0).remove()
    return complete


def _is_there(path: Path) -> bool:
    """Tell whether a file exists. Raises `InputError` for one that cannot be read."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"{error.filename} of a finished run cannot be read: {error.strerror}") from None
    return True
