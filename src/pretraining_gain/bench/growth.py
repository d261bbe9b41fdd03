"""How time and memory grow, up to the paper's size, with simulated results: `python -m pretraining_gain.bench.growth`

Everything is measured alone in a fresh process, in a copy of the project that is thrown away. Takes about a quarter of an hour
on two cores and three gigabytes of disk. `results/bench/growth.json` is written after each part; `--only` makes one anew.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pretraining_gain.bench.growth_checkout import Checkout, pages_of
from pretraining_gain.bench.growth_world import Size
from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.paths import make_writable, project_root, write_atomically
from pretraining_gain.revision import revision
from pretraining_gain.tell.software.growth import FIELDS, STEPS

Rows = list[dict[str, Any]]
OUTPUT = Path("results", "bench", "growth.json")
STUDY = "paper"
#: What is varied, everything else staying as it is.
SIZES = {
    "species": [Size(species=n) for n in (36, 200, 1000, 5388)],
    "seeds": [Size(1000, seeds=n) for n in (3, 5, 10)],
    "images a class": [Size(1000, images=n) for n in (10, 50)],
}
_IMAGES = {"folder": (1000, 10_000, 50_000), "cached": (1000, 10_000, 50_000), "packs": (1000, 10_000, 100_000)}
_PLANS = {"as published": 1, "3 × as many seeds": 3, "10 × as many seeds": 10}


def analysis(checkout: Checkout) -> Rows:
    """From predictions to executed notebooks at the paper's size: each step, alone."""
    _, took = simulate(checkout, STUDY)
    rows = [{"step": "simulating the results", **took.row()}]
    for what in ("tables, first time", "tables, nothing new"):
        _, took = checkout.run("-m", "pretraining_gain.tell.results.tables", STUDY)
        rows.append({"step": what, **took.row()})
    for study, page in checkout.pages():
        if study == STUDY:
            path, took = checkout.execute(study, page)
            rows.append({"step": f"notebook {page}", **took.row(), "mb": round(path.stat().st_size / 1e6, 2)})
    return rows


def book(checkout: Checkout) -> dict[str, Any]:
    """The book with the paper's results in it, built from nothing, and what its pages weigh."""
    if not (checkout.project / "book" / "executed" / STUDY).exists():
        analysis(checkout)
    simulate(checkout, "toy")
    checkout.run("-m", "pretraining_gain.tell.results.tables", "toy")
    with ThreadPoolExecutor(2) as side_by_side:
        list(side_by_side.map(lambda one: checkout.execute(*one), [one for one in checkout.pages() if one[0] != STUDY]))
    took = checkout.build()
    pages = pages_of(checkout.project / "_build" / "html")
    first = next(page for page in pages if page.path == "book/index.html")
    weights = first.weight()
    heaviest = sorted((page.row() for page in pages), key=lambda row: -row["html_mb"])
    return {
        **took.row(),
        "pages": len(pages),
        "heaviest": heaviest[:12],
        "first_page_gzip_mb": sum(weights.values()),
        "first_page": [{"file": name, "gzip_mb": size} for name, size in weights.items()][:8],
    }


def simulate(checkout: Checkout, study: str, size: Size | None = None) -> tuple[str, Any]:
    """Results of a study, or of one like `paper` of another size, whose path `study` then is."""
    sized = f"write_study(Path({study!r}), {size!r})" if size else f"species_file({(size or Size()).species})"
    code = "from pathlib import Path; from pretraining_gain.bench.growth_world import *"
    return checkout.run("-c", f"{code}; {sized}; write_results({study!r}, {os.cpu_count() or 1})")


def sizes(checkout: Checkout) -> Rows:
    """The steps of the analysis, at several sizes of a study of the paper's own arms, on its own two targets."""
    rows = []
    measured: dict[Size, Rows] = {}
    for varied, some in SIZES.items():
        for size in some:
            if size not in measured:
                path = checkout.root / f"s{size.species}_{size.seeds}_{size.images}.yml"
                simulate(checkout, str(path), size)
                measured[size] = [{"step": step, **checkout.task(step, study=path)} for step in STEPS]
            value = vars(size)[FIELDS[varied]]
            rows += [{"varied": varied, "value": value} | vars(size) | row for row in measured[size]]
    return rows


def images(checkout: Checkout) -> Rows:
    """Reading image sets: decoded for the first time, decoded before, and prepared."""
    data = make_writable(checkout.root / "data")
    rows = [{"step": "start", "images": 0, **checkout.task("start", data=data)}]
    for step, numbers in _IMAGES.items():
        rows += [{"step": step, **checkout.task(step, data=data, n=n)} for n in numbers]
    return rows


def plans(checkout: Checkout) -> Rows:
    """Planning, and Snakemake finding out that there is nothing left to do but what is missing, by number of runs."""
    rows = []
    for name, times in _PLANS.items():
        path = checkout.root / f"plan{times}.yml"
        code = "from pathlib import Path; from pretraining_gain.bench.growth_world import *"
        checkout.run("-c", f"{code}; write_study(Path({str(path)!r}), Size(seeds={3 * times}), lean=False)")
        planned = checkout.task("plan", study=path)
        rows.append({"step": "plan", "study": name, **planned})
        dry = ("-m", "snakemake", "--cores", "1", "--dry-run", "--quiet", "--config", f"study={path}")
        rows.append(
            {"step": "dry run of the workflow", "study": name, "runs": planned["runs"], **checkout.run(*dry)[1].row()}
        )
    return rows


PARTS: dict[str, Callable[[Checkout], Any]] = {part.__name__: part for part in (plans, images, sizes, analysis, book)}


def machine() -> dict[str, Any]:
    """What it was measured on."""
    names = [line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"processor": (names or [platform.processor() or platform.machine()])[0], "cores": cores}
    return facts | {"memory_gb": round(psutil.virtual_memory().total / 1e9), "python": platform.python_version()}


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def measure(only: list[str], output: Path) -> None:
    """Make the parts and write each when it is done; parts that were not asked for stay as they are."""
    state = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    make_writable(output.parent)
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        checkout = Checkout.make(Path(folder))
        for name in only:
            print(f"{name} …", flush=True)
            others = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # processes at work in the last minute
            made = {"machine": machine(), "at": datetime.now(UTC).date().isoformat(), "repetitions": 1, "load_before": others}
            state[name] = {"made": made | revision(), "found": PARTS[name](checkout)}
            write_atomically(output, (json.dumps(state, indent=1) + "\n").encode())
    print(output)


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("bench.growth", __doc__ or "")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part; may be given several times")
    parser.add_argument("--out", type=Path, default=project_root() / OUTPUT)
    given = parser.parse_args(arguments)
    return answer("bench.growth", lambda: measure(given.only or list(PARTS), given.out))


if __name__ == "__main__":
    sys.exit(main())
