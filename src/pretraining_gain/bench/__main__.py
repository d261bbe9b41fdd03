"""How fast this is on this machine: `python -m pretraining_gain.bench [--device cpu|cuda] [--only NAME,...] [--out FOLDER]`

About 20 minutes on two cores. Writes `results/bench/<device>.json` after each part, so that what ends it early loses one.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pretraining_gain.bench.analysis import analysis
from pretraining_gain.bench.decoding import decoding
from pretraining_gain.bench.evaluating import evaluation
from pretraining_gain.bench.frozen import frozen
from pretraining_gain.bench.given import Given
from pretraining_gain.bench.host import describe, versions
from pretraining_gain.bench.limit import limit
from pretraining_gain.bench.loaders import loaders
from pretraining_gain.bench.ours import machine_for
from pretraining_gain.bench.parity import parity
from pretraining_gain.bench.photographs import photographs
from pretraining_gain.bench.records import Bench, Part
from pretraining_gain.bench.scale import SCALES, Scale
from pretraining_gain.bench.study import study
from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, results_root, write_atomically
from pretraining_gain.revision import revision

PARTS: dict[str, Callable[[Given], Part]] = {
    "limit": limit,
    "loaders": loaders,
    "decoding": decoding,
    "parity": parity,
    "evaluation": evaluation,
    "frozen": frozen,
    "study": study,
    "analysis": analysis,
}


def bench(device: str, parts: list[str], out: Path, scale: Scale, only_drawn: bool = False) -> Path:
    """Measure `parts` and write `<out>/<device>.json`; parts that were measured before on the same commit are kept.

    Raises `InputError` for a device that is not there. A part that fails is named in the file, and the others go on.
    """
    path = make_writable(out) / f"{device}.json"
    machine = machine_for(device)
    with tempfile.TemporaryDirectory() as folder, photographs(Path(folder), scale.drawn_per_class, only_drawn) as found:
        given = Given(machine, scale, found)
        record = _started(path, given)
        for name in parts:
            record = _with(record, name, given)
            write_atomically(path, (record.model_dump_json(indent=1) + "\n").encode())
    return path


def _started(path: Path, given: Given) -> Bench:
    """A record without parts, or with those that the same code left there on the same machine."""
    fresh = Bench(
        device=given.device,
        scale=given.scale.name,
        date=datetime.date.today().isoformat(),
        machine=describe(given.machine),
        versions=versions(),
        images=given.photographs.description,
        **revision(),
    )
    if not path.exists():
        return fresh
    try:
        before = Bench.model_validate_json(path.read_bytes())
    except ValueError:
        return fresh
    own, theirs = (
        record.model_dump(include={"commit", "machine", "versions", "images", "scale"}) for record in (fresh, before)
    )
    return fresh.model_copy(update={"parts": before.parts, "failed": before.failed}) if own == theirs else fresh


def _with(record: Bench, name: str, given: Given) -> Bench:
    """The record with one part measured."""
    started = time.perf_counter()
    failed = {other: why for other, why in record.failed.items() if other != name}
    try:
        part = PARTS[name](given)
    except (InputError, RuntimeError, OSError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"bench: {name} failed: {why}", file=sys.stderr)
        parts = {other: part for other, part in record.parts.items() if other != name}
        return record.model_copy(update={"parts": parts, "failed": failed | {name: why}})
    wall_s = round(time.perf_counter() - started, 1)
    print(f"bench: {name} took {wall_s:.0f} s", file=sys.stderr)
    parts = record.parts | {name: part.model_copy(update={"wall_time_s": wall_s})}
    return record.model_copy(update={"parts": parts, "failed": failed})


def _names(text: str) -> list[str]:
    names = text.split(",")
    if wrong := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no part of the benchmark, which has {', '.join(PARTS)}")
    return names


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("bench", __doc__ or "")
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=["cpu", "cuda"], default=default, help="default: CUDA if there is one")
    parser.add_argument("--only", type=_names, default=list(PARTS), metavar="NAME,...", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="folder; default: results/bench")
    parser.add_argument("--scale", choices=list(SCALES), default="full", help="tiny: only shows that it works")
    parser.add_argument("--drawn", action="store_true", help="pictures of the toy world, even where photographs are")
    given = parser.parse_args(arguments)

    def work() -> None:
        out = given.out or results_root() / "bench"
        if given.scale != "full" and given.out is None:
            raise InputError(f"--scale {given.scale} is no measurement; accepted: with --out, away from the results")
        scale = SCALES[given.scale] if given.device == "cpu" else SCALES[given.scale].for_cuda()
        print(f"The benchmark is in {bench(given.device, given.only, out, scale, given.drawn)}")

    return answer("bench", work)


if __name__ == "__main__":
    sys.exit(main())
