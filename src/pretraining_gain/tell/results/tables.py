"""Tables of a study, written from the records and predictions of its runs: `python -m pretraining_gain.tell.results.tables STUDY`

In `results/<study>/`: `runs.csv` (one row a finetuning), `class_counts.csv` (one row a finetuning and class), `costs.csv`
(one row a run of either stage: what it cost, on what machine, from which code, configuration and data), and `SHA256SUMS` of
these three, which `sha256sum --check` understands.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.commands import about_a_study
from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_root, write_atomically
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run, finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import check_name
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.results.correctness import Hits, HitsReader
from pretraining_gain.tell.results.evaluation import how_to_make
from pretraining_gain.tell.results.stored import write_checksums

#: What a record says of the cost of its run, as `costs.csv` has it; memory is that of the largest process.
_COST: tuple[str, ...] = ("train_images_seen", "eval_images_seen", "train_wall_time_s", "eval_wall_time_s", "device_time_s")
_COST += ("peak_memory_mb", "device_peak_memory_mb", "starts")
_YES_OR_NO = {True: "yes", False: "no", None: ""}


def write_tables(study_name: str) -> Path:
    """Write the tables of a study; returns their folder. Raises `InputError` when a run is missing."""
    study = check_name(study_name)
    starts, runs = pretraining_runs(study, study_name), finetuning_runs(study, study_name)
    missing = [run.run_id for run in runs if not (run.record_path.exists() and run.predictions_path.exists())]
    missing += [run.run_id for run in starts if not run.record_path.exists()]
    if missing:
        raise InputError(
            f"{len(missing)} run(s) of study {study.name!r} are missing, first {missing[0]}; "
            + how_to_make(study.name)
        )
    records = {run: read_record(run.record_path) for run in [*starts, *runs]}
    reader = HitsReader(how_to_make(study.name))
    counts = [_class_counts_of(run, records[run], reader) for run in runs]
    tables = {
        "class_counts": pd.concat(counts)[["run_id", "class_id", "n_images", "n_correct"]],
        "costs": pd.DataFrame([_cost_row(run, record) for run, record in records.items()]),
        "runs": pd.DataFrame([_run_row(run, records) for run in runs]),
    }
    folder = results_root() / study.name
    contents = {f"{name}.csv": table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items()}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_checksums(folder, contents)
    return folder


def _class_counts_of(run: Run, record: Mapping[str, Any], reader: HitsReader) -> pd.DataFrame:
    hits = reader.read(run.predictions_path, run.images.n_classes, record["sha256"]["predictions"])
    return class_counts(hits).assign(run_id=run.run_id)


def _run_row(run: Run, records: Mapping[Run, dict[str, Any]]) -> dict[str, Any]:
    """A finetuning in `runs.csv`: what varies, what its pretraining was made of, and what came out."""
    record = records[run]
    varies = ("run_id", "fingerprint", "downstream", "arm", "pool", "k", "design", "seed", "backbone")
    return {name: getattr(run, name) for name in varies} | {
        **_source_facts(run, records),
        **{name: record[name] for name in ("train_images", "eval_images", "top1")},
        **{name: record["cost"][name] for name in ("train_images_seen", "train_wall_time_s")},
        "predictions": run.predictions_path.name,
        "predictions_sha256": record["sha256"]["predictions"],
    }


def _cost_row(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """A run in `costs.csv`: what the record says of its cost, machine, code, configuration and data."""
    names = ("run_id", "fingerprint", "stage", "downstream", "arm", "design", "seed")
    cost, machine, origin = record["cost"], record["machine"], record["provenance"]
    return {name: getattr(run, name) for name in names} | {
        "pretraining": run.pretraining.run_id if run.pretraining else "",
        **{name: cost[name] for name in _COST},
        "from_cache": _YES_OR_NO[cost["from_cache"]],
        **{"device": machine["device"], "machine": machine["name"], "devices": machine["devices"]},
        **{"commit": origin["commit"], "changed": _YES_OR_NO[origin["changed"]], "config_hash": origin["config_hash"]},
        "train_content_hash": record["train_content_hash"],
        "eval_content_hash": record.get("eval_content_hash", ""),
    }


def _source_facts(run: Run, records: Mapping[Run, dict[str, Any]]) -> dict[str, int]:
    """What the pretraining was made of: animal classes as drawn, images, gradient steps. Zero from scratch."""
    if run.pretraining is None:
        return {"animal_classes": 0, "pretrain_images": 0, "pretrain_steps": 0}
    animal, source = load_class_table(run.plan.source.class_table)["animal"], records[run.pretraining]
    steps = math.ceil(source["train_images"] / source["recipe"]["batch_size"]) * len(source["history"])
    animals = int(animal.loc[records[run]["source_class_ids"]].sum())
    return {"animal_classes": animals, "pretrain_images": source["train_images"], "pretrain_steps": steps}


def class_counts(hits: Hits) -> pd.DataFrame:
    """Images and correct top-1 predictions of each class that has images: columns class_id, n_images, n_correct."""
    n_images, n_correct = np.bincount(hits.labels), np.bincount(hits.labels, hits.right).astype(int)
    there = np.flatnonzero(n_images)
    return pd.DataFrame({"class_id": there, "n_images": n_images[there], "n_correct": n_correct[there]})


if __name__ == "__main__":
    sys.exit(about_a_study("tell.results.tables", __doc__ or "", lambda study: print(write_tables(study)), default="toy"))
