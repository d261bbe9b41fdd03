"""Write and read the weights of a pretraining: safetensors, with a checksum and the run that they are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pretraining_gain.errors import InputError
from pretraining_gain.paths import write_atomically
from pretraining_gain.plan.runs import Run


def write_weights(run: Run, model: nn.Module) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    about = {"run": run.run_id, "fingerprint": run.fingerprint, "sha256": _digest(tensors)}
    metadata = {"about": json.dumps(about)}  # one entry, as safetensors writes several in any order
    write_atomically(run.weights_path, save(tensors, metadata=metadata))


def read_weights(run: Run) -> dict[str, Tensor]:
    """Read the weights of a finished pretraining. Raises `InputError` when the file is missing, damaged or another run's."""
    again = "run 01_pretrain again"
    try:
        with safe_open(run.weights_path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("about", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise InputError(f"weights {run.weights_path} cannot be read ({' '.join(str(error).split())}); {again}") from None
    if about.get("sha256") != _digest(tensors):
        raise InputError(f"weights {run.weights_path} are damaged (wrong checksum); {again}")
    if about.get("fingerprint") != run.fingerprint:
        raise InputError(f"weights {run.weights_path} are of run {about.get('run')}; {again}")
    return tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
