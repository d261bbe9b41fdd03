"""Set up the machine: device, precision, threads, and how many devices share a run. Records name all of these.

| variable                         | accepted                      | default                       |
|----------------------------------|-------------------------------|-------------------------------|
| `PRETRAINING_GAIN_DEVICE`        | `auto`, `cpu`, `cuda`         | `auto`: CUDA if there is one  |
| `PRETRAINING_GAIN_DEVICES`       | a whole number to 1024        | 1 (CPU processes: no BatchNorm) |
| `PRETRAINING_GAIN_PRECISION`     | `auto`, `fp32`, `tf32`, `bf16`, `fp16`, `fp64` | `auto`: bf16 on CUDA, else fp32 |
| `PRETRAINING_GAIN_COMPILE`       | `yes`, `graphs`, `no`         | `no`: networks run as written |
| `PRETRAINING_GAIN_THREADS`       | a whole number to 1024        | torch's own choice            |
| `PRETRAINING_GAIN_CHECKPOINT_S`  | seconds that may be lost      | 60                            |

Defaults follow measurements (`make bench`): channels_last and fused SGD everywhere; cuDNN's choice of kernels and bf16 on CUDA,
where a run on one device takes the one that the fewest other runs use. bf16 is refused on a CPU that only emulates it, where it
is many times slower. Compiling takes a minute before the first step; `graphs` also replays each step as one CUDA graph. Neither
is measured on CUDA, so both are off.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root
from pretraining_gain.plan.resources import whole_number

# fp64 is for checks: rounding is so small that one process and several end alike.
_PRECISIONS = {"fp32": "no", "tf32": "no", "bf16": "bf16", "fp16": "fp16", "fp64": "no"}
_COMPILE_MODES = {"yes": None, "graphs": "reduce-overhead"}  # torch's names
# Processes agree on a pause every so many batches, as asking stops the device for a moment.
_BATCHES_BETWEEN_PAUSES = 10
_sigterms: list[int] = []


@dataclass(frozen=True)
class Machine:
    """Settings of this machine. `accelerator` places model and batches, scales fp16 gradients, and knows the other processes."""

    device: str
    precision: str
    threads: int
    accelerator: Accelerator
    checkpoint_s: float = 60.0
    compiles: str = "no"

    @property
    def part(self) -> tuple[int, int]:
        """Rank and number of processes: this process's share of each batch."""
        return self.accelerator.process_index, self.accelerator.num_processes

    @property
    def is_main(self) -> bool:
        """Say whether this is rank 0, which writes files and shows progress."""
        return self.accelerator.is_main_process

    def prepare(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """Place both on the device. Several devices take BatchNorm's statistics over the whole batch, as one device does.

        Raises `InputError` for several processes on a CPU, where torch cannot synchronise them.
        """
        if self.part[1] > 1 and any(isinstance(module, _BatchNorm) and module.training for module in model.modules()):
            if self.device == "cpu":
                raise InputError(
                    f"PRETRAINING_GAIN_DEVICES={self.part[1]}: on a CPU, processes cannot share the statistics of BatchNorm; "
                    "accepted here: 1 (PRETRAINING_GAIN_THREADS uses more cores), or a backbone without BatchNorm"
                )
            from timm.layers import convert_sync_batchnorm  # torch's own drops the activation that timm adds

            model = convert_sync_batchnorm(model)
        if self.compiles != "no":
            model.compile(mode=_COMPILE_MODES[self.compiles])
        # accelerate's optimizer looks for a package on disk twice per step; only the scaled gradients of fp16 need it.
        return self.accelerator.prepare(model), self.accelerator.prepare(optimizer) if self.precision == "fp16" else optimizer

    def total(self, values: Sequence[float | Tensor]) -> list[float]:
        """Sum each value over all processes."""
        own = torch.stack([torch.as_tensor(value, dtype=torch.float64).to(self.accelerator.device) for value in values])
        return self.accelerator.reduce(own, "sum").tolist()

    def may_pause(self, batches: int) -> bool:
        return self.part[1] == 1 or batches % _BATCHES_BETWEEN_PAUSES == 0

    def agree(self, decision: bool) -> bool:
        """Broadcast rank 0's decision to all processes."""
        if self.part[1] == 1:
            return decision
        return bool(broadcast(torch.tensor(int(decision), device=self.accelerator.device)).item())

    def got_sigterm(self) -> bool:
        """Say whether a SIGTERM arrived since `defer_sigterm` was entered."""
        return bool(_sigterms)

    def device_seconds(self) -> float:
        """Read the device's clock: processor seconds of this process on a CPU, wall time on CUDA."""
        return time.process_time() if self.device == "cpu" else time.perf_counter()

    def peak_memory_mb(self) -> dict[str, float | None]:
        """Return the peak memory of this process and of its device so far."""
        device = round(torch.cuda.max_memory_allocated() / 2**20, 1) if self.device == "cuda" else None
        if os.name == "nt":
            return {"peak_memory_mb": None, "device_peak_memory_mb": device}
        import resource  # not on Windows

        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return {"peak_memory_mb": round(resident, 1), "device_peak_memory_mb": device}

    def describe(self) -> dict[str, str | int]:
        """Return what may change a number in its last digits, for the record."""
        name = torch.cuda.get_device_name() if self.device == "cuda" else platform.machine()
        settings: dict[str, str | int] = {"devices": self.part[1], "precision": self.precision}
        settings |= {"threads": self.threads, "compiled": self.compiles != "no" and self.compiles}
        versions = {library: version(library) for library in ("torch", "torchvision", "timm", "accelerate")}
        return {"device": self.device, "name": name, **settings, "python": platform.python_version(), **versions}


def this_machine() -> Machine:
    """Read the settings, make CPU arithmetic deterministic, and set up accelerate. Raises `InputError` for a bad setting."""
    device, precision, devices = _device(), _setting("PRECISION", "auto", *_PRECISIONS), whole_number("DEVICES", 1)
    if precision == "auto":
        precision = "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if precision in ("fp16", "tf32") and device == "cpu":
        raise InputError(f"PRETRAINING_GAIN_PRECISION={precision!r} needs a CUDA device; accepted here: auto, fp32, bf16, fp64")
    if precision == "bf16" and device == "cpu" and not cpu_has_bf16():
        raise InputError("PRETRAINING_GAIN_PRECISION='bf16': this CPU has no bf16 instructions; accepted here: auto, fp32, fp64")
    if device == "cuda" and devices > torch.cuda.device_count():
        raise InputError(f"PRETRAINING_GAIN_DEVICES={devices}, but this machine has {torch.cuda.device_count()}")
    threads, checkpoint_s = whole_number("THREADS", 0), whole_number("CHECKPOINT_S", 60, 0, 10**9)
    if device == "cpu":
        torch.use_deterministic_algorithms(True)
        # Otherwise torch fills each new tensor before it is written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = device == "cuda"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"  # of convolutions; of products, below
    torch.set_default_dtype(torch.float64 if precision == "fp64" else torch.float32)
    # What else code that ran before in this process may have set, and what changes numbers.
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.set_default_device(None)
    torch.set_flush_denormal(False)
    if threads or devices > 1:
        torch.set_num_threads(threads or max(1, torch.get_num_threads() // devices))
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else accelerate sets its own guess
    if device == "cuda" and devices == 1:
        torch.cuda.set_device(_free_device(torch.cuda.device_count())[0])
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=_PRECISIONS[precision])
    compiles = _setting("COMPILE", "no", *_COMPILE_MODES)
    return Machine(device, precision, torch.get_num_threads(), accelerator, checkpoint_s, compiles)


def _device() -> str:
    device = _setting("DEVICE", "auto", "cpu", "cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("PRETRAINING_GAIN_DEVICE=cuda, but torch sees no CUDA device; accepted here: auto, cpu")
    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@cache  # the lock is held while this process lives
def _free_device(n: int) -> tuple[int, FileLock | None]:
    """Choose the CUDA device, of n, that the fewest other runs of this machine use; the first where locks cannot be written."""
    folder = cache_root() / "devices"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for place in range(64 * n if n > 1 else 0):  # each device once, then each twice
            lock = FileLock(folder / f"{platform.node()}-{place}.lock")
            with suppress(Timeout):
                lock.acquire(timeout=0)
                return place % n, lock
    return 0, None


def cpu_has_bf16() -> bool:
    """Say whether this CPU has bf16 instructions, rather than an emulation."""
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16"))


@contextmanager
def defer_sigterm() -> Iterator[None]:
    """Defer SIGTERM: record it (see `Machine.got_sigterm`) and let the training loop stop at the next batch."""
    _sigterms.clear()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: _sigterms.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _setting(name: str, default: str, *others: str) -> str:
    value = os.environ.get(f"PRETRAINING_GAIN_{name}") or default
    if value not in (default, *others):
        raise InputError(f"PRETRAINING_GAIN_{name}={value!r}; accepted: {', '.join((default, *others))}")
    return value
