"""Stage 1: train a network on a subset of the source's classes (paper, D.1, D.2)."""

from __future__ import annotations

from typing import Any

from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.launch import launch
from pretraining_gain.compute.machine import stoppable, this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.records import (
    checkpoint_of,
    is_finished,
    locked,
    read_record,
    write_record,
    write_weights,
)
from pretraining_gain.compute.training import train_run
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.taxonomy import load_class_table


def pretrain(run: Run | None) -> dict[str, Any] | None:
    """Make sure that weights and record of a pretraining exist, and return the record; nothing to do for scratch (None).

    Does nothing when both are there and whole. Trains when the weights are missing, from the last checkpoint if there
    is one. Raises `Interrupted` when the process is told to end; the next call goes on.
    """
    if run is None:
        return None
    with locked(run):
        if not is_finished(run):
            launch(_train, run)
        return read_record(run)


def _train(run: Run) -> None:
    with stoppable():
        machine = this_machine()
        rows = load_class_table(run.plan.source.class_table).loc[list(run.subset.class_ids)]
        data = load_images(run.images, rows, "train", run.recipe.resize_px)
        model = build_model(run.backbone, len(rows), run.seed)
        checkpoint = checkpoint_of(run, machine)
        model, history = train_run(run, model, data, machine, checkpoint)
        if machine.speaks:
            write_weights(run, model)
            if not run.record_path.exists():  # weights made again keep the record that came with the project
                write_record(run, data, history, machine, checkpoint.starts)
            checkpoint.remove()
