"""Measure how the analysis grows with species, images, seeds and subset sizes: `python -m pretraining_gain.bench.growth`

Simulate results of the study `paper` at several sizes, and run the book's own tables, figures and claims on them, each step in
a fresh process, so that its peak memory is its own. Takes about five minutes and writes `results/bench/growth.json`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pretraining_gain.bench.measure import this_computer
from pretraining_gain.bench.simulated import write_run
from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.paths import make_writable, results_root, study_path, write_atomically
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.species import SUPERCATEGORIES
from pretraining_gain.plan.taxonomy import made_table_path
from pretraining_gain.revision import revision
from pretraining_gain.tell.claims.ledger import Ledger
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.results.study import StudyResults
from pretraining_gain.tell.results.tables import write_tables

#: Target species, evaluation images per species, seeds, and subset sizes k per pool of a simulated study.
USUAL = {"species": 1000, "images": 50, "seeds": 3, "ks": 5}
#: What varies, one quantity at a time, up to the paper's size and beyond; the rest stays as usual.
VALUES = {"species": (36, 200, 1000, 5388), "images": (10, 50, 200), "seeds": (3, 5, 10), "ks": (1, 5, 20)}


def simulate(folder: Path, species: int, images: int, seeds: int, ks: int) -> str:
    """Write a study of this size with its species, records and predictions; return the study file's path."""
    _keep_everything_in(folder)
    content = yaml.safe_load(study_path("paper").read_text(encoding="utf-8"))
    most = {"animal": 398, "non_animal": 602, "random": 602}
    arms = {pool: np.linspace(0, n, ks + 1)[1:].astype(int).tolist() for pool, n in most.items()}
    content |= {"name": "growth", "seeds": list(range(seeds)), "arms": arms | {"all": [1000]}}
    content |= {"designs": [], "downstreams": content["downstreams"][:2], "representation": "named"}
    content["downstreams"][0]["images"] |= {"n_classes": species, "eval_images_per_class": images}
    path = folder / "growth.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    number = np.arange(species)
    keys = [f"species_{i:05d}" for i in number]
    table = pd.DataFrame({"class_id": number, "key": keys, "name": keys, "category_id": number, "animal": "true"})
    table["represented_by"] = np.where(number % 50, "", "n01440764")
    table["supercategory"] = np.array(SUPERCATEGORIES)[number % len(SUPERCATEGORIES)]
    for rank, size in (("order", 30), ("family", 6)):
        table[rank] = [f"{rank}{i // size}" for i in number]
    made = made_table_path("inat2021_animals")
    write_atomically(make_writable(made.parent) / made.name, table.to_csv(index=False).encode())
    for run in Plan.of(str(path)).runs():
        write_run(run, 1000, 0.3 + 0.05 * np.log1p(run.k), run.images.eval_images_per_class)
    return str(path)


def _keep_everything_in(folder: Path) -> None:
    os.environ |= {f"PRETRAINING_GAIN_{place}": str(folder / place) for place in ("RESULTS", "CACHE", "PREPARED")}


def draw_figures(study: str) -> None:
    """Read both targets' results, estimate every interval, and draw Figures 1, 2, 3, 4 and 6."""
    results = StudyResults.from_parameters({"study": study})
    for one in FIGURES.values():
        if one.notebook in ("10_taxa", "11_subsets") and one.number.isdecimal():
            one.draw(results).to_json()  # type: ignore[union-attr]


STEPS: dict[str, Callable[[str], object]] = {
    "tables": write_tables,
    "figures": draw_figures,
    "claims": lambda study: Ledger.from_parameters({"study": study, "vote_cut": 0.0, "well_represented": 40}),
}


def measure(step: str, study: str) -> dict[str, float]:
    """Run one step; return its wall time and processor time in seconds and this process's peak memory in MB."""
    import resource  # not on Windows

    _keep_everything_in(Path(study).parent)
    wall, busy = time.perf_counter(), time.process_time()
    STEPS[step](study)
    seconds, cpu_s = time.perf_counter() - wall, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"seconds": round(seconds, 3), "cpu_s": round(cpu_s, 3), "peak_mb": round(peak)}


def grow(values: dict[str, tuple[int, ...]], out: Path, **usual: int) -> None:
    """Measure every step at every size and write the rows; `usual` replaces entries of `USUAL`."""
    make_writable(out.parent)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as fresh:

        @cache  # each quantity varies through the usual size
        def measured(**size: int) -> list[dict[str, Any]]:
            print(f"{size} …", flush=True)
            with tempfile.TemporaryDirectory(prefix="growth-") as folder:
                study = fresh.submit(simulate, Path(folder), **size).result()
                return [size | {"step": step} | fresh.submit(measure, step, study).result() for step in STEPS]

        sizes = [(name, USUAL | usual | {name: n}) for name, some in values.items() for n in some]
        rows = [row | {"varied": varied} for varied, size in sizes for row in measured(**size)]
    content = {"schema_version": 2, "machine": this_computer(), "repetitions": 1, **revision(), "rows": rows}
    write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
    print(out)


if __name__ == "__main__":
    CommandLine("bench.growth", __doc__ or "").parse_args()
    sys.exit(answer("bench.growth", lambda: grow(VALUES, results_root() / "bench" / "growth.json")))
