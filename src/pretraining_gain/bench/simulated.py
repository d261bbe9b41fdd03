"""Write records and predictions in the form that real runs leave, with made-up outcomes."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd

from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.run import PREDICTIONS, Run


def write_run(run: Run, train_images: int, top1: float = 0, per_class: int = 0) -> None:
    """Write a record of three epochs, with two seconds of processor time per second, and the predictions of a finetuning.

    A share `top1` of `per_class` images of each class is right. Randomness: (seed, length of the run's id).
    """
    outcome: dict[str, Any] = {"eval_images": 0}
    path = run.record_path
    path.parent.mkdir(parents=True, exist_ok=True)
    if run.downstream:
        n_classes = run.images.n_classes
        labels = np.repeat(np.arange(n_classes), per_class)
        right = np.random.default_rng([run.seed, len(run.run_id)]).random(len(labels)) < top1
        ids = [f"{label}/{i}" for i, label in enumerate(labels)]
        guesses = np.where(right, labels, (labels + 1) % n_classes)
        table = pd.DataFrame({"image_id": ids, "label": labels, "prediction": guesses})
        content = gzip.compress(table.to_csv(index=False).encode(), 1, mtime=0)
        path.with_suffix(PREDICTIONS).write_bytes(content)
        outcome = {"sha256": {"predictions": hashlib.sha256(content).hexdigest()}, "eval_content_hash": "e" * 16}
        outcome |= {"eval_images": len(labels), "top1": float(right.mean())}
    seen, evaluated = 3 * train_images, outcome["eval_images"]
    cost: dict[str, Any] = {"train_images_seen": seen, "eval_images_seen": evaluated, "train_wall_time_s": seen / 1000}
    cost |= {"eval_wall_time_s": evaluated / 1000, "device_time_s": 2 * (seen + evaluated) / 1000, "starts": 1}
    cost |= {"peak_memory_mb": 500.0, "device_peak_memory_mb": None, "from_cache": None}
    machine = {"device": "cpu", "name": "x86_64", "devices": 1, "precision": "fp32", "threads": 1, "compiled": False}
    record: dict[str, Any] = {"run_id": run.run_id, "fingerprint": path.stem.rpartition(".")[2], "stage": run.stage}
    record |= {"parameters": run.parameters(), "machine": machine | {"torch": "2.13.0+cpu"}}
    record |= {"train_images": train_images, "recipe": run.recipe.model_dump(), "cost": cost, "train_content_hash": "a" * 16}
    record |= {"history": [{"epoch": epoch, "loss": 1.0, "top1": 0.5} for epoch in range(3)]}
    record |= {"source_class_ids": [] if run.pool == SCRATCH else list(run.subset.class_ids)}
    record |= {"provenance": {"commit": "c" * 40, "changed": False, "config_hash": run.plan.config_hash}}
    path.write_text(json.dumps(record | outcome), encoding="utf-8")
