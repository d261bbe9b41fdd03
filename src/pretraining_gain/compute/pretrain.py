"""Stage 1: pretrain a network on a subset of the source's classes (paper, D.1, D.2)."""

from __future__ import annotations

from typing import Any

from pretraining_gain.compute.checkpoints import checkpoint_of
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.launch import launch
from pretraining_gain.compute.machine import defer_sigterm, this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.records import is_finished, locked, write_record
from pretraining_gain.compute.training import train_run
from pretraining_gain.compute.weights import write_weights
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run


def pretrain(run: Run | None) -> dict[str, Any] | None:
    """Make sure that weights and record of a pretraining exist; return the record, or None from scratch (None).

    Trains when one of them is missing or damaged, from the last checkpoint if there is one. Raises `Interrupted` on SIGTERM;
    the next call resumes.
    """
    if run is None:
        return None
    with locked(run):
        if not is_finished(run):
            launch(_train, run)
        return read_record(run.record_path)


def _train(run: Run) -> None:
    with defer_sigterm():
        machine = this_machine()
        rows = run.plan.source_classes.loc[list(run.subset.class_ids)]
        data = load_images(run.images, rows, "train", run.recipe.resize_px)
        model = build_model(run.backbone, len(rows), run.seed, run.recipe.image_size_px)
        checkpoint = checkpoint_of(run, machine.checkpoint_s)
        model, history = train_run(run, model, data, machine, checkpoint)
        if machine.is_main:
            write_weights(run, model)
            if not run.record_path.exists():  # weights made again keep the record that came with the project
                write_record(run, data, history, machine, checkpoint.starts)
            checkpoint.remove()
