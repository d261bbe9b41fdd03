"""What the machine decides and the science does not: device, precision, threads.

| variable                     | accepted                      | default                       |
|------------------------------|-------------------------------|-------------------------------|
| `PRETRAINING_GAIN_DEVICE`    | `auto`, `cpu`, `cuda`         | `auto`: CUDA if there is one  |
| `PRETRAINING_GAIN_PRECISION` | `auto`, `fp32`, `bf16`, `fp16`| `auto`: bf16 on CUDA, else fp32 |
| `PRETRAINING_GAIN_THREADS`   | a whole number                | torch's own choice            |
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import torch
import torchvision
from accelerate import Accelerator

from pretraining_gain.errors import InputError

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class Machine:
    """Settings of this machine; `accelerator` places model and batches and scales gradients where fp16 needs it."""

    device: str
    precision: str
    threads: int
    accelerator: Accelerator

    def describe(self) -> dict[str, str | int]:
        name = torch.cuda.get_device_name() if self.device == "cuda" else platform.machine()
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        versions["torchvision"] = torchvision.__version__
        return {"device": self.device, "name": name, "precision": self.precision, "threads": self.threads} | versions


def this_machine() -> Machine:
    """Read the settings, make CPU arithmetic deterministic, and set up accelerate. Raises `InputError` for a bad one."""
    device = _setting("DEVICE", ("auto", "cpu", "cuda"))
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("PRETRAINING_GAIN_DEVICE=cuda, but torch sees no CUDA device; accepted here: auto, cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = _setting("PRECISION", ("auto", *_PRECISIONS))
    if precision == "auto":
        precision = "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    threads = os.environ.get("PRETRAINING_GAIN_THREADS", "")
    if threads and not (threads.isdecimal() and int(threads)):
        raise InputError(f"PRETRAINING_GAIN_THREADS={threads!r}; accepted: a whole number above 0")
    if threads:
        torch.set_num_threads(int(threads))
    if device == "cpu":
        torch.use_deterministic_algorithms(True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=_PRECISIONS[precision])
    return Machine(device, precision, torch.get_num_threads(), accelerator)


def _setting(name: str, accepted: tuple[str, ...]) -> str:
    value = os.environ.get(f"PRETRAINING_GAIN_{name}", "auto")
    if value not in accepted:
        raise InputError(f"PRETRAINING_GAIN_{name}={value!r}; accepted: {', '.join(accepted)}")
    return value
