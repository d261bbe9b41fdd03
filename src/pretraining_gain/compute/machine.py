"""What the machine decides and the science does not: device, precision, threads, how many devices share a run.

| variable                         | accepted                      | default                       |
|----------------------------------|-------------------------------|-------------------------------|
| `PRETRAINING_GAIN_DEVICE`        | `auto`, `cpu`, `cuda`         | `auto`: CUDA if there is one  |
| `PRETRAINING_GAIN_DEVICES`       | a whole number to 1024        | 1 (on a CPU: processes)       |
| `PRETRAINING_GAIN_PRECISION`     | `auto`, `fp32`, `bf16`, `fp16`, `fp64` | `auto`: bf16 on CUDA, else fp32 |
| `PRETRAINING_GAIN_COMPILE`       | `yes`, `no`                   | `no`: networks run as written |
| `PRETRAINING_GAIN_THREADS`       | a whole number to 1024        | torch's own choice            |
| `PRETRAINING_GAIN_CHECKPOINT_S`  | seconds that may be lost      | 60                            |

What is faster was measured (`make bench`): channels_last everywhere; fused SGD, cuDNN's choice of kernels and bf16 on CUDA.
On a CPU, fusing gains nothing, and bf16 gains where the CPU has instructions for it and costs dearly where it has not, so it
is to be asked for and refused there. Compiling takes a minute before the first step, and is to be asked for.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import accelerate
import torch
import torchvision
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from pretraining_gain.compute.batchnorm import synchronised
from pretraining_gain.errors import InputError
from pretraining_gain.plan.resources import whole_number

# fp64 is for checks: in it, one process and several differ by so little that training does not blow it up.
_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16", "fp64": "no"}
# Processes that share a run agree on pausing every so many batches: asking stops the device for a moment.
_BATCHES_BETWEEN_PAUSES = 10
_told: list[int] = []


@dataclass(frozen=True)
class Machine:
    """Settings of this machine; `accelerator` places model and batches, scales gradients where fp16 needs it, and knows
    the other processes of the run."""

    device: str
    precision: str
    threads: int
    accelerator: Accelerator
    checkpoint_s: float = 60.0
    compiles: bool = False

    @property
    def part(self) -> tuple[int, int]:
        """(rank, of how many): this process's share of each batch."""
        return self.accelerator.process_index, self.accelerator.num_processes

    @property
    def speaks(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.accelerator.is_main_process

    def optimizer(self, parameters: Iterable[nn.Parameter], **settings: Any) -> torch.optim.SGD:
        """SGD, on CUDA as one fused kernel."""
        return torch.optim.SGD(parameters, fused=self.device == "cuda", **settings)

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """Both on the device. With several processes the statistics of batch normalisation are those of the whole batch,
        so that a run is the same run however many devices share it."""
        if self.part[1] > 1:
            model = synchronised(model, self.device)
        if self.compiles:
            model.compile()
        return self.accelerator.prepare(model, optimizer)

    def total(self, values: Sequence[float | Tensor]) -> list[float]:
        """Sums over all processes."""
        own = torch.stack([torch.as_tensor(value, dtype=torch.float64).to(self.accelerator.device) for value in values])
        return self.accelerator.reduce(own, "sum").tolist()

    def may_pause(self, batches: int) -> bool:
        return self.part[1] == 1 or batches % _BATCHES_BETWEEN_PAUSES == 0

    def agreed(self, wish: bool) -> bool:
        """The first process's wish, for all."""
        if self.part[1] == 1:
            return wish
        return bool(broadcast(torch.tensor(int(wish), device=self.accelerator.device)).item())

    def told_to_end(self) -> bool:
        """Whether this process got a SIGTERM since `stoppable` was entered."""
        return bool(_told)

    def device_seconds(self) -> float:
        """A clock of the device: on a CPU the seconds that its cores worked for this process, on CUDA the wall clock."""
        return time.process_time() if self.device == "cpu" else time.perf_counter()

    def peak_memory_mb(self) -> dict[str, float | None]:
        """The most memory that this process and its device held so far."""
        device = torch.cuda.max_memory_allocated() / 2**20 if self.device == "cuda" else None
        return {"peak_memory_mb": _resident_mb(), "device_peak_memory_mb": device and round(device, 1)}

    def describe(self) -> dict[str, str | int]:
        name = torch.cuda.get_device_name() if self.device == "cuda" else platform.machine()
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        versions |= {"torchvision": torchvision.__version__, "accelerate": accelerate.__version__}
        settings: dict[str, str | int] = {
            "devices": self.part[1],
            "precision": self.precision,
            "threads": self.threads,
            "compiled": self.compiles,
        }
        return {"device": self.device, "name": name} | settings | versions


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
    if precision == "fp16" and device == "cpu":
        raise InputError("PRETRAINING_GAIN_PRECISION='fp16' needs a CUDA device; accepted here: auto, fp32, bf16, fp64")
    if precision == "bf16" and device == "cpu" and not cpu_has_bf16():
        raise InputError(
            "PRETRAINING_GAIN_PRECISION='bf16': this CPU has no instructions for it, and would be many times slower; "
            "accepted here: auto, fp32, fp64"
        )
    threads, devices, checkpoint_s = whole_number("THREADS", 0), n_devices(), whole_number("CHECKPOINT_S", 60, 0, 10**9)
    if device == "cuda" and devices > torch.cuda.device_count():
        raise InputError(f"PRETRAINING_GAIN_DEVICES={devices}, but this machine has {torch.cuda.device_count()}")
    if device == "cpu":
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = device == "cuda"
    torch.set_default_dtype(torch.float64 if precision == "fp64" else torch.float32)
    if threads or devices > 1:
        torch.set_num_threads(threads or max(1, torch.get_num_threads() // devices))
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else accelerate sets its own guess
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=_PRECISIONS[precision])
    compiles = _setting("COMPILE", ("no", "yes")) == "yes"
    return Machine(device, precision, torch.get_num_threads(), accelerator, checkpoint_s, compiles)


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies in bf16, and does not only imitate it."""
    return any(
        torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16")
    )


def n_devices() -> int:
    """How many devices share a run."""
    return whole_number("DEVICES", 1)


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it, a SIGTERM is noted (see `Machine.told_to_end`) in place of ending the process at once."""
    _told.clear()

    def note(number: int, frame: FrameType | None) -> None:
        _told.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _resident_mb() -> float | None:
    if os.name == "nt":
        return None
    import resource  # not on Windows

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _setting(name: str, accepted: tuple[str, ...]) -> str:
    """The value of a variable; the first accepted one is the default."""
    value = os.environ.get(f"PRETRAINING_GAIN_{name}") or accepted[0]
    if value not in accepted:
        raise InputError(f"PRETRAINING_GAIN_{name}={value!r}; accepted: {', '.join(accepted)}")
    return value
