"""Measure how fast this project is here: `python -m pretraining_gain.bench [--device cpu|cuda]`

Takes about 15 minutes on two cores, `--short` about 4. Writes `results/bench/<device>.json` after each part, so that an
interruption loses one part.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pretraining_gain.bench import parts
from pretraining_gain.bench.images import Photographs
from pretraining_gain.bench.loops import machine_for
from pretraining_gain.bench.measure import this_computer
from pretraining_gain.bench.parts import CPU, CUDA, Given, Scale
from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, results_root, write_atomically
from pretraining_gain.revision import revision

PARTS = {"limit": parts.limit, "loaders": parts.loaders, "feeding": parts.feeding, "evaluation": parts.evaluation,
         "parity": parts.parity, "frozen": parts.frozen}  # fmt: skip
_PACKAGES = "torch torchvision accelerate numpy pillow simplejpeg timm scipy pandas plotly snakemake"


def bench(device: str, out: Path, scale: Scale) -> Path:
    """Measure all parts and write `<out>/<device>.json`.

    Raise `InputError` for a missing device. Record a part that fails, and go on with the others.
    """
    path, machine = make_writable(out) / f"{device}.json", machine_for(device)
    facts = this_computer() | {"precision": machine.precision, "threads": machine.threads}
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        facts |= {"gpu": gpu.name, "gpu_memory_gb": round(gpu.total_memory / 1e9, 1), "cuda": torch.version.cuda}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {f"PRETRAINING_GAIN_{place}": f"{folder}/{place}" for place in ("CACHE", "PREPARED", "RESULTS")}
        photographs = Photographs.find(Path(folder), scale.drawn_per_class)
        record: dict[str, Any] = {"schema_version": 1, "device": device, "scale": scale.name, **revision(), "machine": facts}
        record |= {"images": photographs.description, "versions": {package: version(package) for package in _PACKAGES.split()}}
        record |= {"date": datetime.date.today().isoformat(), "parts": {}, "failed": {}}
        for name in PARTS:
            try:
                record["parts"][name] = _measure(name, Given(device, scale, photographs))
            except (InputError, RuntimeError, OSError) as error:
                record["failed"][name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                print(f"bench: {name} failed: {record['failed'][name]}", file=sys.stderr)
            write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    return path


def _measure(name: str, given: Given) -> dict[str, Any]:
    started = time.perf_counter()
    found = [one for setting in given.scale.settings[name] for one in PARTS[name](given, setting)]
    part = {"comparisons": [one for one in found if "top1" not in one], "accuracies": [one for one in found if "top1" in one]}
    return part | {"wall_time_s": round(time.perf_counter() - started, 1)}


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("bench", __doc__ or "")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=default, help="default: CUDA if there is one")
    parser.add_argument("--short", action="store_true", help="only the largest network of each part, in fewer rounds")
    given = parser.parse_args(arguments)

    def work() -> None:
        scale = CUDA if given.device == "cuda" else CPU
        path = bench(given.device, results_root() / "bench", scale.short() if given.short else scale)
        print(f"The benchmark is in {path}")

    return answer("bench", work)


if __name__ == "__main__":
    sys.exit(main())
