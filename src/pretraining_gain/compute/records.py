"""The record of a run: what was done, with what, at which cost. Written last, so a record that exists is complete."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.compute.training import History
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, write_atomically
from pretraining_gain.plan import record
from pretraining_gain.plan.record import Record
from pretraining_gain.plan.runs import Run
from pretraining_gain.revision import revision

_MORE = "give it more, or share the run among more devices (PRETRAINING_GAIN_DEVICES), and start it again: it goes on"
_ADVICE = "put it right and start the run again; it goes on from its last checkpoint"


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold the run, so that a second process told to do it waits; proves first that its folder can be written.

    A disk, mount or memory that gives way within becomes one `InputError`.
    """
    make_writable(run.folder)
    try:
        with _sole(run):
            yield
    except torch.OutOfMemoryError as error:
        raise InputError(f"{run.run_id}: the device is out of memory ({str(error).splitlines()[0][:160]}); {_MORE}") from None
    except MemoryError:
        raise InputError(f"{run.run_id}: out of memory; {_MORE}") from None
    except OSError as error:
        raise InputError(f"{run.run_id}: {error.filename or 'disk'}: {error.strerror or error}; {_ADVICE}") from None
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise InputError(f"{run.run_id}: out of memory; {_MORE}") from None


@contextmanager
def _sole(run: Run) -> Iterator[None]:
    lock = FileLock(run.record_path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{run.run_id}: another process does this run; waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def checkpoint_of(run: Run, machine: Machine) -> Checkpoint:
    return Checkpoint(run.checkpoint_path, f"{run.run_id}.{run.fingerprint}", machine.checkpoint_s)


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
        "source_class_ids": list(run.subset.class_ids) if run.pool != "scratch" else [],
        "recipe": run.recipe.model_dump(),
        "train_images": len(data),
        "train_content_hash": data.content_hash(),
        "skipped_images": data.skipped,
        "cost": _cost(data, history, machine, starts, evaluation or {}),
        "machine": machine.describe(),
        "provenance": revision() | {"config_hash": run.plan.config_hash},
        "history": history,
    }
    if evaluation:
        held_out = evaluation["images"]
        content |= {"eval_images": len(held_out), "top1": evaluation["top1"], "eval_content_hash": held_out.content_hash()}
        content |= {"sha256": {"predictions": hashlib.sha256(run.predictions_path.read_bytes()).hexdigest()}}
    write_atomically(run.record_path, (json.dumps(content, indent=1) + "\n").encode())


def _cost(
    data: ImageSet, history: History, machine: Machine, starts: int, evaluation: Mapping[str, Any]
) -> dict[str, Any]:
    """What the run took. Times of all starts together, as far as their state was kept; memory of the last one."""
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


def read_record(run: Run) -> Record:
    """The record of a finished run. Raises `InputError` when it is damaged."""
    return record.read_record(run.record_path)


def write_weights(run: Run, model: nn.Module) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    about = {"run": run.run_id, "fingerprint": run.fingerprint, "sha256": _digest(tensors)}
    metadata = {"about": json.dumps(about)}  # one entry, as safetensors writes several in any order
    write_atomically(run.weights_path, save(tensors, metadata=metadata))


def is_finished(run: Run) -> bool:
    """Whether the record is there, and what it is about whole. One line on stderr when that is there and damaged.

    The state of a finished run, which a kill right after its end may have left, is cleared away.
    """
    outcome = run.predictions_path if run.downstream else run.weights_path
    if not (run.record_path.exists() and outcome.exists()):
        return False
    try:
        if not run.downstream:
            read_weights(run)
        elif read_record(run)["sha256"]["predictions"] != hashlib.sha256(outcome.read_bytes()).hexdigest():
            raise InputError(f"predictions {outcome} are damaged (their checksum does not fit); run 02_finetune again")
    except InputError as error:
        print(f"{error}: doing it now", file=sys.stderr)
        return False
    Checkpoint(run.checkpoint_path, "", 0).remove()
    return True


def read_weights(run: Run) -> dict[str, Tensor]:
    """The weights of a finished pretraining. Raises `InputError` when the file is not there, damaged or another run's."""
    try:
        with safe_open(run.weights_path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"weights {run.weights_path} cannot be read ({reason}); run 01_pretrain again") from None
    if about.get("sha256") != _digest(tensors):
        raise InputError(f"weights {run.weights_path} are damaged (their checksum does not fit); run 01_pretrain again")
    if about.get("fingerprint") != run.fingerprint:
        raise InputError(f"weights {run.weights_path} are of run {about.get('run')}; run 01_pretrain again")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
