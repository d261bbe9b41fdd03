"""The record of a run: what was done, with what, at which cost. Written last, so a record that exists is complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.compute.training import History
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, write_atomically
from pretraining_gain.plan.runs import Run


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the run, so that a second process told to do it waits; proves first that its folder can be written."""
    make_writable(run.folder)
    with FileLock(run.record_path.with_suffix(".lock")):
        yield


def write_record(run: Run, data: ImageSet, history: History, machine: Machine, **outcome: Any) -> dict[str, Any]:
    """Write and return the record of a finished run; an earlier record of the same fingerprint is kept as it is."""
    if not run.record_path.exists():
        start = run.pretraining
        record = {
            "run_id": run.run_id,
            "fingerprint": run.fingerprint,
            "stage": run.stage,
            "parameters": run.parameters(),
            "pretraining": f"{start.run_id}.{start.fingerprint}" if start else None,
            "source_class_ids": list(run.subset.class_ids) if run.pool != "scratch" else [],
            "recipe": run.recipe.model_dump(),
            "train_images": len(data),
            "train_content_hash": data.content_hash(),
            "skipped_images": data.skipped,
            "cost": {
                "train_images_seen": len(data) * len(history),
                "train_wall_time_s": round(sum(epoch["wall_time_s"] for epoch in history), 2),
            },
            "machine": machine.describe(),
            "history": history,
        } | outcome
        write_atomically(run.record_path, (json.dumps(record, indent=1) + "\n").encode())
    run.checkpoint_path.unlink(missing_ok=True)
    return read_record(run)


def read_record(run: Run) -> dict[str, Any]:
    return json.loads(run.record_path.read_text(encoding="utf-8"))


def write_weights(run: Run, model: nn.Module) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(run.weights_path, save(tensors, metadata={"run": run.run_id, "fingerprint": run.fingerprint}))


def read_weights(run: Run) -> dict[str, Tensor]:
    """The weights of a finished pretraining. Raises `InputError` when the file is not there or damaged."""
    try:
        return load_file(run.weights_path)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"weights {run.weights_path} cannot be read ({reason}); run 01_pretrain again") from None
