"""Evaluation: one prediction an image, from which everything else is counted (paper, 2 and 3)."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate.utils import gather_object
from torch import nn

from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.pipeline import ImageSet, evaluation_batches
from pretraining_gain.errors import Interrupted
from pretraining_gain.paths import write_atomically
from pretraining_gain.plan.recipes import Recipe


@dataclass(frozen=True)
class Predictions:
    """Per image its id, its label and the predicted label (class ids of the downstream table): three lists of length N."""

    image_ids: list[str]
    labels: list[int]
    predictions: list[int]

    @property
    def top1(self) -> float:
        hits = sum(label == guess for label, guess in zip(self.labels, self.predictions, strict=True))
        return hits / len(self.labels)

    def write(self, path: Path) -> None:
        """Write `image_id,label,prediction` as gzipped CSV, the same bytes for the same content."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image_id", "label", "prediction"])
        writer.writerows(zip(self.image_ids, self.labels, self.predictions, strict=True))
        write_atomically(path, gzip.compress(text.getvalue().encode(), mtime=0))


@torch.inference_mode()
def evaluate(model: nn.Module, data: ImageSet, recipe: Recipe, machine: Machine) -> Predictions:
    """Top-1 prediction for each image of `data`, central crop, in order, on every process. No randomness.

    Raises `Interrupted` when the process is told to end.
    """
    model.eval()
    parts: list[tuple[int, list[int]]] = []
    for number, images in evaluation_batches(data.near(machine.device), recipe, machine.device, part=machine.part):
        if machine.told_to_end():
            raise Interrupted("told to end while evaluating; the training is kept")
        with machine.accelerator.autocast():
            parts.append((number, model(images).argmax(1).tolist()))
    guesses = [guess for _, part in sorted(gather_object(parts)) for guess in part]
    return Predictions(data.image_ids, data.labels.tolist(), guesses)
