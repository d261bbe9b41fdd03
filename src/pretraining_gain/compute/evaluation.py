"""Evaluate: one prediction per image, from which everything else is counted (paper, 2 and 3)."""

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
from pretraining_gain.compute.pipeline import ImageSet, evaluation_batches, inference_batch_size
from pretraining_gain.errors import Interrupted
from pretraining_gain.paths import write_atomically
from pretraining_gain.plan.recipes import Recipe


@dataclass(frozen=True)
class Predictions:
    """Id, label and predicted label of each image (class ids of the downstream table): three lists of length N."""

    image_ids: list[str]
    labels: list[int]
    predictions: list[int]

    @property
    def top1(self) -> float:
        return sum(map(int.__eq__, self.labels, self.predictions)) / len(self.labels)

    def write(self, path: Path) -> None:
        """Write `image_id,label,prediction` as gzipped CSV, with the same bytes for the same content."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image_id", "label", "prediction"])
        writer.writerows(zip(self.image_ids, self.labels, self.predictions, strict=True))
        write_atomically(path, gzip.compress(text.getvalue().encode(), mtime=0))


@torch.inference_mode()
def evaluate(model: nn.Module, data: ImageSet, recipe: Recipe, machine: Machine) -> Predictions:
    """Predict the class of each image of `data`, central crop, in order, on every process. No randomness.

    Raises `Interrupted` on SIGTERM.
    """
    model.eval()
    size, guesses = inference_batch_size(recipe.image_size_px, machine.device), {}
    for number, images in evaluation_batches(data.near(machine.device), recipe, machine.device, size, machine.part):
        if machine.got_sigterm():
            raise Interrupted("stopped while evaluating; the training is kept")
        with machine.accelerator.autocast():
            guesses[number] = model(images).argmax(1)  # stays on the device, which need not wait for the next batch
    shares = gather_object([(number, guess.tolist()) for number, guess in guesses.items()])
    return Predictions(data.image_ids, data.labels.tolist(), [guess for _, part in sorted(shares) for guess in part])
