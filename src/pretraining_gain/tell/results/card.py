"""Write the model card of a study's best start: `results/<study>/network.md`, which `pretraining_gain.predict` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pretraining_gain.datasets import find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_root, write_atomically
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run, finetuning_runs
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.plan.weights import licence_of, sha256_of
from pretraining_gain.tell.results.evaluation import load_evaluation
from pretraining_gain.tell.results.gains import row_of
from pretraining_gain.tell.statistics import estimate_mean


def write_card(study_name: str) -> Path:
    """Write the card of the start with the highest top-1 on the study's first target; its network is that of the first seed.

    Raises `InputError` where that network was not kept.
    """
    study = load_study(study_name)
    target = study.downstreams[0]
    evaluation = load_evaluation(study_name, target.name)
    best = max(evaluation.correct, key=lambda arm: evaluation.correct[arm].mean())
    run = next(run for run in finetuning_runs(study_name) if (run.downstream, run.arm) == (target.name, best))
    if not run.weights_path.exists():
        again = f"delete {run.record_path} to do the run again"
        raise InputError(f"network {run.weights_path} was not kept; accepted: keep_networks set before the runs, {again}")
    folder, found = results_root() / study.name, row_of(estimate_mean(evaluation.answers, {best: 1.0}))
    record = read_record(run.record_path)
    sizes = f"{len(evaluation.seeds_of[best])} seeds, {len(evaluation.classes)} species, {len(evaluation.labels):,} images"
    text = _text(study, run, record, f"{found['mean']:.1%} (95 % interval {found['low']:.1%} to {found['high']:.1%}; {sizes})")
    facts = {
        "weights": run.weights_path.relative_to(folder).as_posix(),
        "sha256": sha256_of(str(run.weights_path)),
        "backbone": run.backbone,
        "image_size_px": run.recipe.image_size_px,
        "resize_px": run.recipe.resize_px,
        "normalisation": [list(values) for values in run.normalisation],
        "species": load_class_table(target.images.class_table)["name"].tolist(),
    }
    head = yaml.safe_dump({"pipeline_tag": "image-classification", "network": facts}, sort_keys=False, allow_unicode=True)
    path = folder / "network.md"
    write_atomically(path, f"---\n{head}---\n\n{text}".encode())
    return path


def _text(study: Study, run: Run, record: dict[str, Any], accuracy: str) -> str:
    recipe = ", ".join(f"{name} {value}" for name, value in run.recipe.model_dump().items())
    hashes = f"training {record['train_content_hash']}, evaluation {record['eval_content_hash']}"
    facts = {
        "Start": _start(study, run),
        "Top-1 of this start": accuracy,
        "Top-1 of this network": f"{record['top1']:.1%} (seed {run.seed}, {record['eval_images']:,} images)",
        "Recipe": recipe,
        "Training images": f"{record['train_images']:,} of {find_dataset(run.images.dataset).credit}",
        "Content hashes of the images": hashes,
        "Run": f"{run.run_id}.{run.fingerprint}",
    }
    lines = "\n".join(f"- **{name}**: {value}" for name, value in facts.items())
    return (
        f"# {run.target.title}: {run.images.n_classes} species\n\n{lines}\n\n"
        "The start was chosen on the same images as its top-1, which is therefore slightly too high. The network names one of "
        "its species on every photograph, also on one that shows none of them.\n"
    )


def _start(study: Study, run: Run) -> str:
    """Name the start with its source and licence."""
    if weights := run.start_facts:
        return f"{run.pool}: {weights['file']}, SHA-256 {weights['sha256']}, licence: {licence_of(run.weights)}"
    if run.pool == SCRATCH:
        return "random weights"
    return f"{run.title} of {find_dataset(study.pretraining[0].dataset).credit}"
