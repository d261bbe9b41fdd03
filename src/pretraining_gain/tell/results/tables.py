"""Write the tables of a study from its runs' records and predictions: `python -m pretraining_gain.tell.results.tables STUDY`

In `results/<study>/`: `runs.csv` (one row per finetuning), `class_counts.csv` (one row per finetuning and class), `costs.csv`
(one row per run of either stage: cost, machine, code, configuration and data), and their checksums in `SHA256SUMS`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pretraining_gain.commands import about_a_study
from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_root, write_atomically
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.run import PREDICTIONS, Run
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import check_name
from pretraining_gain.tell.results.card import write_card
from pretraining_gain.tell.results.correctness import Correctness, CorrectnessReader
from pretraining_gain.tell.results.evaluation import how_to_make
from pretraining_gain.tell.results.stored import write_checksums

#: What names a run in both tables, as its record has it.
_NAMES = ("run_id", "fingerprint")
#: What `costs.csv` takes from a record's cost; memory is that of the largest process.
_COST: tuple[str, ...] = ("train_images_seen", "eval_images_seen", "train_wall_time_s", "eval_wall_time_s", "device_time_s")
_COST += ("peak_memory_mb", "device_peak_memory_mb", "starts")
_YES_OR_NO = {True: "yes", False: "no", None: ""}


def write_tables(study_name: str) -> Path:
    """Write the tables of a study and return their folder. Raises `InputError` when a run is missing."""
    study = check_name(study_name)
    starts, runs = pretraining_runs(study_name), finetuning_runs(study_name)
    paths = {run: run.record_path for run in [*starts, *runs]}
    predictions = {run: paths[run].with_suffix(PREDICTIONS) for run in runs}
    missing = [run.run_id for run in runs if not (paths[run].exists() and predictions[run].exists())]
    missing += [run.run_id for run in starts if not paths[run].exists()]
    if missing:
        what = f"{len(missing)} run(s) of study {study.name!r} are missing, first {missing[0]}"
        raise InputError(f"{what}; {how_to_make(study_name)}")
    records = {run: read_record(path) for run, path in paths.items()}
    reader, counts = CorrectnessReader(how_to_make(study_name)), []
    for run in runs:
        found = reader.read(predictions[run], run.images.n_classes, records[run]["sha256"]["predictions"])
        counts.append(class_counts(found).assign(run_id=run.run_id))
    tables = {
        "class_counts": pd.concat(counts)[["run_id", "class_id", "n_images", "n_correct"]],
        "costs": pd.DataFrame([_cost_row(run, record) for run, record in records.items()]),
        "runs": pd.DataFrame([_run_row(run, predictions[run], records) for run in runs]),
    }
    folder = results_root() / study.name
    contents = {f"{name}.csv": table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items()}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_checksums(folder, contents)
    if study.keep_networks:
        write_card(study_name)
    return folder


def _run_row(run: Run, predictions: Path, records: Mapping[Run, dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a finetuning in `runs.csv`: what varies, what its pretraining was made of, and what came out.

    The source of a run from scratch has no classes, images or steps.
    """
    record = records[run]
    varies = ("downstream", "arm", "pool", "k", "design", "seed", "backbone")
    source = {"animal_classes": 0, "pretrain_images": 0, "pretrain_steps": 0}
    if run.pretraining:
        start, animal = records[run.pretraining], run.plan.source_classes["animal"]
        steps = math.ceil(start["train_images"] / start["recipe"]["batch_size"]) * len(start["history"])
        source["animal_classes"] = int(animal.loc[record["source_class_ids"]].sum())
        source |= {"pretrain_images": start["train_images"], "pretrain_steps": steps}
    return {
        **{name: record[name] for name in _NAMES},
        **{name: getattr(run, name) for name in varies},
        **source,
        **{name: record[name] for name in ("train_images", "eval_images", "top1")},
        **{name: record["cost"][name] for name in ("train_images_seen", "train_wall_time_s")},
        "predictions": predictions.name,
        "predictions_sha256": record["sha256"]["predictions"],
    }


def _cost_row(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    names = ("stage", "downstream", "arm", "design", "seed")
    cost, machine, origin = record["cost"], record["machine"], record["provenance"]
    return {
        **{name: record[name] for name in _NAMES},
        **{name: getattr(run, name) for name in names},
        "pretraining": run.pretraining.run_id if run.pretraining else "",
        **{name: cost[name] for name in _COST},
        "from_cache": _YES_OR_NO[cost["from_cache"]],
        **{"device": machine["device"], "machine": machine["name"], "devices": machine["devices"]},
        **{"commit": origin["commit"], "changed": _YES_OR_NO[origin["changed"]], "config_hash": origin["config_hash"]},
        "train_content_hash": record["train_content_hash"],
        "eval_content_hash": record.get("eval_content_hash", ""),
    }


def class_counts(found: Correctness) -> pd.DataFrame:
    """Count images and correct top-1 predictions of each class that has images: columns class_id, n_images, n_correct."""
    by_class = pd.Series(found.right).groupby(found.labels)
    return by_class.agg(n_images="size", n_correct="sum").rename_axis("class_id").reset_index()


if __name__ == "__main__":
    sys.exit(about_a_study("tell.results.tables", __doc__ or "", lambda study: print(write_tables(study)), default="toy"))
