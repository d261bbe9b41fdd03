"""Stage 2: finetune on a downstream dataset, from a pretraining or from scratch, and evaluate (paper, 2, 3, D.2)."""

from __future__ import annotations

from typing import Any

from pretraining_gain.compute.datasets import load_images
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model, load_backbone
from pretraining_gain.compute.progress import Progress
from pretraining_gain.compute.records import locked, read_record, read_weights, write_record
from pretraining_gain.compute.training import train
from pretraining_gain.errors import InputError
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.taxonomy import load_class_table


def finetune(run: Run) -> dict[str, Any]:
    """Make sure that record and predictions of a finetuning exist, and return the record.

    The pretraining's weights must be there (see `pretrain`). Does nothing when record and predictions are there;
    else trains, from the last checkpoint if there is one, and evaluates.
    """
    with locked(run):
        if not (run.record_path.exists() and run.predictions_path.exists()):
            _train_and_evaluate(run)
        return read_record(run)


def _train_and_evaluate(run: Run) -> None:
    images = run.target.images
    if images.class_table is None:
        raise InputError(
            f"downstream {run.downstream!r} of study {run.plan.name!r} has no class table: it cannot run here"
        )
    machine = this_machine()
    rows = load_class_table(images.class_table)
    data = load_images(images, rows, "train", run.recipe.resize_px)
    held_out = load_images(images, rows, "eval", run.recipe.resize_px)
    model = build_model(run.backbone, len(rows), run.seed)
    if run.pretraining:
        load_backbone(model, read_weights(run.pretraining), str(run.pretraining.weights_path))
    with Progress(f"finetune {run.run_id}", run.recipe.epochs) as progress:
        model, history = train(
            model,
            data,
            run.recipe,
            seed=run.seed,
            machine=machine,
            checkpoint=run.checkpoint_path,
            on_epoch=progress.epoch_done,
        )
    predictions = evaluate(model, held_out, run.recipe, machine)
    predictions.write(run.predictions_path)
    write_record(
        run,
        data,
        history,
        machine,
        eval_images=len(held_out),
        top1=predictions.top1,
        eval_content_hash=held_out.content_hash(),
    )
