"""Write and read weights as safetensors: of a run, with a checksum, and published ones, of whatever form they come in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pretraining_gain.compute.models import download_weights
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, write_atomically
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.weights import weights_file

#: Entries of a checkpoint that hold its weights, and prefixes of their names, as training scripts write them.
_WRAPPINGS, _PREFIXES = ("state_dict", "model_state_dict", "model"), ("module.", "_orig_mod.", "model.")
_STATE_DICT = "accepted: a state dict of tensors, saved by torch.save or as safetensors"
_LFS = b"version https://git-lfs"


class ForeignWeights(InputError):
    """Weights that this run did not write are in the place of its own; it neither uses nor replaces them."""


def write_weights(run: Run, model: nn.Module) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    about = {"run": run.run_id, "fingerprint": run.fingerprint, "sha256": _digest(tensors)}
    metadata = {"about": json.dumps(about)}  # one entry, as safetensors writes several in any order
    write_atomically(run.weights_path, save(tensors, metadata=metadata))


def read_weights(run: Run) -> dict[str, Tensor]:
    """Read the weights that a finished run wrote. Raises `InputError` when the file is missing or damaged, and
    `ForeignWeights` when something else is in its place."""
    path, again = run.weights_path, f"run {'02_finetune' if run.downstream else '01_pretrain'} again"
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        if path.is_file() and path.read_bytes()[:2] in (b"PK", b"\x80\x02"):  # how torch.save begins
            about = {"run": "a file of torch.save"}
        else:
            raise InputError(f"weights {path} cannot be read ({' '.join(str(error).split())}); {again}") from None
    if about.get("fingerprint") != run.fingerprint:
        raise ForeignWeights(
            f"weights {path} are of {about.get('run', 'another source')}, not of this run; accepted: delete them to train "
            "them here, or name them under `weights:` in the study to start from them"
        )
    if about.get("sha256") != _digest(tensors):
        raise InputError(f"weights {path} are damaged (wrong checksum); {again}")
    return tensors


def read_start(run: Run) -> tuple[dict[str, Tensor], str] | None:
    """Read the weights that a finetuning starts from, and say where they are; None from scratch."""
    if run.weights:
        path = weights_file(run.weights)
        return read_published(path), str(path)
    return (read_weights(run.pretraining), str(run.pretraining.weights_path)) if run.pretraining else None


def fetch_published(name: str) -> Path:
    """Fetch weights of timm or torchvision into the data folder, unless they are there, and return their file.

    Raises `InputError` for an unknown name, and where the download fails.
    """
    path = weights_file(name)
    if path.exists():
        return path
    make_writable(path.parent)
    try:
        tensors, about = download_weights(name)
    except (ValueError, RuntimeError, LookupError, AttributeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot fetch weights {name!r} ({reason}); accepted: a name of torchvision or timm, or a file") from None
    tensors = {key: tensor.contiguous() for key, tensor in tensors.items()}
    write_atomically(path, save(tensors, metadata={"about": json.dumps({"name": name} | about)}))
    return path


def read_published(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors file or one of torch.save, without the usual wrappings and prefixes.

    Never runs code from the file. Raises `InputError` for anything else.
    """
    try:
        with open(path, "rb") as file:
            if file.read(len(_LFS)) == _LFS:
                raise InputError(f"weights {path} are a Git LFS pointer; accepted: the file itself, get it with `git lfs pull`")
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except UnpicklingError as error:
        reason = str(error).partition("GLOBAL ")[2].partition(" ")[0]
        more = f"{reason}, which may run code" if reason else "no pickle of torch"
        raise InputError(f"weights {path} hold more than tensors ({more}); {_STATE_DICT}") from None
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, LookupError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"weights {path} cannot be read, they may be cut off ({reason}); {_STATE_DICT}") from None
    return _unwrapped(path, found)


def _unwrapped(path: Path, found: Any) -> dict[str, Tensor]:
    while isinstance(found, Mapping) and (inner := [name for name in _WRAPPINGS if isinstance(found.get(name), Mapping)]):
        found = found[inner[0]]
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"weights {path} hold {type(found).__name__} without only tensors; {_STATE_DICT}")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    wrong = [name for name, tensor in found.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if wrong:
        raise InputError(f"weights {path} have a value in {wrong[0]} that is not finite; accepted: finite weights")
    return dict(found)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
