"""Stage 2: finetune on a downstream dataset, from a pretraining or from scratch, and evaluate (paper, 2, 3, D.2)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pretraining_gain.compute.checkpoints import checkpoint_of
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.launch import launch
from pretraining_gain.compute.machine import defer_sigterm, this_machine
from pretraining_gain.compute.models import build_model, load_backbone
from pretraining_gain.compute.records import is_finished, locked, write_findings, write_record
from pretraining_gain.compute.training import train_run
from pretraining_gain.compute.weights import read_start, write_weights
from pretraining_gain.datasets import SPLITS
from pretraining_gain.errors import InputError
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.plan.weights import IMAGENET, NORMALISATIONS, architecture_of, is_published


def finetune(run: Run) -> dict[str, Any]:
    """Make sure that record and predictions of a finetuning exist; return the record.

    The pretraining's weights must exist (see `pretrain`). Trains and evaluates when an outcome is missing or damaged, from
    the last checkpoint if there is one. Raises `Interrupted` on SIGTERM; the next call resumes.
    """
    with locked(run):
        if not is_finished(run):
            launch(_train_and_evaluate, run)
        return read_record(run.record_path)


def _train_and_evaluate(run: Run) -> None:
    images = run.target.images
    if images.class_table is None:
        raise InputError(
            f"downstream {run.downstream!r} of study {run.plan.name!r} has no class table; accepted: one that has, to be run"
        )
    with defer_sigterm():
        machine = this_machine()
        rows = load_class_table(images.class_table)
        model = build_model(run.backbone, len(rows), run.seed, run.recipe.image_size_px)
        if start := read_start(run):
            load_backbone(model, *start)
        if run.weights:
            _check_start(run, getattr(model, "pretrained_cfg", {}))
        data, held_out = (
            replace(load_images(images, rows, split, run.recipe.resize_px), normalisation=run.normalisation) for split in SPLITS
        )
        checkpoint = checkpoint_of(run, machine.checkpoint_s)
        model, history = train_run(run, model, data, machine, checkpoint)
        wall, device = time.perf_counter(), machine.device_seconds()
        predictions = evaluate(model, held_out, run.recipe, machine)
        (device_time_s,) = machine.total([machine.device_seconds() - device])
        if machine.is_main:
            predictions.write(run.predictions_path)
            if run.keeps_network:
                write_weights(run, model)
            evaluation = {"images": held_out, "top1": predictions.top1}
            evaluation |= {"wall_time_s": time.perf_counter() - wall, "device_time_s": device_time_s}
            write_record(run, data, history, machine, checkpoint.starts, evaluation)
            write_findings(run)
            checkpoint.remove()


def _check_start(run: Run, usual: Mapping[str, Any]) -> None:
    """Raise `InputError` for weights whose tensors fit the network and mean something else in it.

    These are published weights of another network (with other padding or activations, say), and a file of which nobody says
    how images were normalised, for a network that is usually trained otherwise than with ImageNet's means. `usual` is what
    timm says of the network; nothing if it is not timm's.
    """
    if is_published(run.weights):
        if (architecture := architecture_of(run.weights)) != run.backbone:
            raise InputError(f"weights {run.weights} are of {architecture}, not of {run.backbone}; accepted: the same backbone")
    elif run.pool not in run.plan.normalisation and tuple(usual.get("mean", IMAGENET[0])) != IMAGENET[0]:
        raise InputError(
            f"weights {run.weights}: {run.backbone} is usually trained on images of mean {usual['mean']}; accepted: a study "
            f"that says `normalisation: {{{run.pool}: …}}`, one of {', '.join(NORMALISATIONS)}"
        )
