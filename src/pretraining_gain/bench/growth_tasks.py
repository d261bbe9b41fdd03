"""One piece of work, alone in a fresh process: `python -m pretraining_gain.bench.growth_tasks TASK [name=value …]`

Prints what it took as one line of JSON: `seconds` and `cpu_s` of the work itself, without the start of Python, and what else
it found.
Analysis needs no torch; tasks on images import it themselves.
"""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pretraining_gain.paths import data_root

DRAWS = 2000
_PER_CLASS = 100  # images of a class, in the tasks on images


class Clock:
    """Seconds that the work within took, by the clock and of processors, and what else is to be told."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        start, busy = time.perf_counter(), time.process_time()
        yield
        took, cpu_s = time.perf_counter() - start, time.process_time() - busy
        self.found |= {"seconds": round(took, 3), "cpu_s": round(cpu_s, 3)}


def tables(clock: Clock, study: str) -> None:
    """Reading all predictions strictly and writing the study's tables."""
    from pretraining_gain.tell.results.tables import write_tables

    with clock.running():
        folder = write_tables(study)
    clock.found["mb"] = round(sum(path.stat().st_size for path in folder.glob("*.csv")) / 1e6, 2)


def _evaluation(study: str) -> Any:
    from pretraining_gain.tell.results.evaluation import View

    return View.from_parameters({"study": study, "draws": DRAWS}).evaluation()


def reading(clock: Clock, study: str) -> None:
    """The evaluations of one target, as every figure reads them."""
    with clock.running():
        _evaluation(study)


def figures(clock: Clock, study: str) -> None:
    """Figures 1, 2 and 3: species, groups and all arms of one target, each with intervals, and the figures' JSON."""
    from pretraining_gain.tell.figures.subsets import subset_curves
    from pretraining_gain.tell.figures.taxa import figure1_gain_by_taxon, figure2_supercategories
    from pretraining_gain.tell.results.gains import arm_accuracy, group_accuracy, species_gains

    evaluation = _evaluation(study)
    arm = evaluation.study.everything
    with clock.running():
        species = species_gains(evaluation, arm, DRAWS)
        made = [
            figure1_gain_by_taxon(species),
            figure2_supercategories(group_accuracy(evaluation, arm, "supercategory", DRAWS)),
            subset_curves(arm_accuracy(evaluation, DRAWS)),
        ]
        sizes = [len(figure.to_json()) for figure in made]
    clock.found["mb"] = round(sum(sizes) / 1e6, 2)


def bootstrap(clock: Clock, study: str) -> None:
    """Intervals for the gain of each species alone."""
    from pretraining_gain.tell.results.gains import species_gains

    evaluation = _evaluation(study)
    with clock.running():
        clock.found["intervals"] = len(species_gains(evaluation, evaluation.study.everything, DRAWS))


def claims(clock: Clock, study: str) -> None:
    """All tests of the ledger."""
    from pretraining_gain.tell.claims.ledger import Ledger

    with clock.running():
        ledger = Ledger.from_parameters({"study": study, "vote_cut": 0.0, "well_represented": 40})
        clock.found["tests"] = len(ledger.tests())


def plan(clock: Clock, study: str) -> None:
    """Runs, their fingerprints and their price, before anything is run."""
    from pretraining_gain.plan.costs import Plan

    with clock.running():
        planned = Plan.of(study)
        runs = planned.runs()
        fingerprints = {run.fingerprint for run in runs}
        planned.figure_table()
    clock.found |= {"runs": len(runs), "fingerprints": len(fingerprints)}


def folder(clock: Clock, n: str) -> None:
    """Small JPEGs in folders, decoded for the first time into one uint8 set in memory."""
    _write_files(int(n))
    _read_files(clock, int(n))


def cached(clock: Clock, n: str) -> None:
    """The same files again: decoded images come from the cache."""
    _read_files(clock, int(n))


def _write_files(n: int) -> None:
    for number, content in enumerate(_jpegs(n)):
        path = data_root() / f"{n}" / f"{number // _PER_CLASS:05d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _read_files(clock: Clock, n: int) -> None:
    from pretraining_gain.compute.images.folder import list_images, load_files

    root = data_root() / f"{n}"
    with clock.running():
        parts = [load_files(list_images(one), root, 32, "stop") for one in sorted(root.iterdir())]
        pixels = np.concatenate([part.pixels for part in parts])
    clock.found |= {"images": len(pixels), "mb": round(pixels.nbytes / 1e6, 2)}


def packs(clock: Clock, n: str) -> None:
    """Prepared packs opened: the index of every image, and none decoded."""
    from pretraining_gain.compute.images.packs import INDEX, load_packs, pack_path

    keys = [f"{number:05d}" for number in range(int(n) // _PER_CLASS)]
    jpegs = _jpegs(int(n))
    for key in keys:
        path = pack_path("growth", n, 32, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as pack:
            names = [f"{number:04d}.jpg" for number in range(_PER_CLASS)]
            for name in names:
                pack.writestr(zipfile.ZipInfo(name), next(jpegs))
            listed = [[name, f"train/{key}/{name}", "0" * 64] for name in names]
            pack.writestr(zipfile.ZipInfo(INDEX), json.dumps({"images": listed, "skipped": []}))
        path.write_bytes(content.getvalue())
    with clock.running():
        clock.found["images"] = len(load_packs("growth", n, 32, keys, _PER_CLASS))


def start(clock: Clock) -> None:
    """Nothing but what tasks on images import: what of their memory is Python's and torch's own."""
    from pretraining_gain.compute.images import folder as image_folder
    from pretraining_gain.compute.images import packs as prepared

    with clock.running():
        clock.found["of"] = [image_folder.__name__, prepared.__name__]


def _jpegs(n: int) -> Iterator[bytes]:
    """n small pictures, a hundred different ones."""
    from PIL import Image

    rng, contents = np.random.default_rng(0), []
    for pixels in rng.integers(0, 255, (100, 4, 4, 3), dtype=np.uint8):
        content = io.BytesIO()
        Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC).save(content, "JPEG", quality=90)
        contents.append(content.getvalue())
    return (contents[number % 100] for number in range(n))


TASKS: dict[str, Callable[..., None]] = {
    task.__name__: task for task in (tables, reading, figures, bootstrap, claims, plan, folder, cached, packs, start)
}


def main(arguments: list[str]) -> None:
    clock = Clock()
    TASKS[arguments[0]](clock, **dict(argument.split("=", 1) for argument in arguments[1:]))
    print(json.dumps(clock.found))


if __name__ == "__main__":
    main(sys.argv[1:])
