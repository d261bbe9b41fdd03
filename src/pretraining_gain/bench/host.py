"""The machine that a benchmark ran on, and the versions of all that took part."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import psutil
import torch

from pretraining_gain.bench.threads import n_cores
from pretraining_gain.compute.machine import Machine, cpu_has_bf16

#: Everything whose version may move a number; what is not installed is left out.
PACKAGES = (
    "torch", "torchvision", "accelerate", "numpy", "pillow", "simplejpeg", "timm", "opencv-python-headless",
    "imagecodecs", "pyvips", "pyvips-binary", "spdl", "torchcodec", "nvidia-dali-cuda130", "scipy", "pandas",
    "plotly", "snakemake", "jupyter-book",
)  # fmt: skip


def describe(machine: Machine) -> dict[str, Any]:
    """Processor, cores, memory, and what torch makes of them; on CUDA the GPU, its memory and capability."""
    facts: dict[str, Any] = {
        "processor": processor(),
        "cores": n_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_bf16": has_bf16("cpu"),
        "precision": machine.precision,
        "threads": machine.threads,
    }
    if machine.device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        facts |= {"gpu": gpu.name, "gpu_memory_gb": round(gpu.total_memory / 1e9, 1)}
        facts |= {"gpu_capability": f"{gpu.major}.{gpu.minor}", "cuda": torch.version.cuda}
    return facts


def processor() -> str:
    """Its name, from the kernel where there is one that says so."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def has_bf16(device: str) -> bool:
    """Whether the device has instructions for bf16; without them it is many times slower than float32."""
    return torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else cpu_has_bf16()


def versions() -> dict[str, str]:
    found = {
        distribution.metadata["Name"].lower(): distribution.version
        for distribution in importlib.metadata.distributions()
    }
    return {name: found[name] for name in PACKAGES if name in found}
