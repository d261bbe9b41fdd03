"""Check a CUDA device against the CPU in a few minutes: `python -m tests.on_cuda [--out results/reliability/cuda.json]`

Trains 20 steps and evaluates, with images in memory, with stored ones and with a frozen backbone, in fp32 and bf16; shares a step
between two devices where there are two; stops a run with SIGTERM and resumes it. Exits with 1 if a check fails.
`--device cpu` shows that the script works.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pretraining_gain.bench.loops import NoCheckpoint, machine_for
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.launch import launch
from pretraining_gain.compute.machine import cpu_has_bf16, this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.compute.training import train
from pretraining_gain.paths import project_root, write_atomically
from pretraining_gain.plan.recipes import Recipe, RecipeChoice
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table

#: Share of images with the same prediction as on the CPU that a check requires, by precision.
LEAST = {"fp32": 0.995, "bf16": 0.9}
SMALL = {"epochs": 1, "lr_step_epochs": 1, "lr": 0.01, "batch_size": 48}
SMALL |= {"image_size_px": 32, "resize_px": 32, "crop_scale_min": 0.5}
RECIPES = {
    "images in memory": RecipeChoice(based_on="pretrain", changes=SMALL),
    "stored images": RecipeChoice(based_on="pretrain", changes=SMALL),
    "frozen backbone": RecipeChoice(based_on="finetune_imagenet", changes=SMALL),
    "frozen backbone, cached features": RecipeChoice(based_on="finetune_imagenet", changes=SMALL | {"frozen_views": 1}),
}


@dataclass(frozen=True)
class Stored:
    """Images that are handed out batch by batch in host memory, as packs are."""

    pixels: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pixels.shape)

    def __getitem__(self, positions: torch.Tensor) -> torch.Tensor:
        return self.pixels[positions]

    def checksums(self) -> bytes:
        return b""


def pictures(per_class: int) -> ImageSet:
    """Draw images of the toy world's source classes."""
    source = load_study("toy").source.model_copy(update={"train_images_per_class": per_class})
    return load_images(source, load_class_table(source.class_table), "train", 32)


def predictions(device: str, precision: str, data: ImageSet, recipe: Recipe, backbone: str) -> torch.Tensor:
    """Train one epoch from the same start and return the predictions for the training images."""
    machine, model = machine_for(device, precision), build_model(backbone, int(data.labels.max()) + 1, seed=0)
    model, _ = train(model, data, recipe, seed=0, machine=machine, checkpoint=NoCheckpoint())
    return torch.tensor(evaluate(model, data, recipe, machine).predictions)


def compare_with_cpu(device: str, per_class: int, backbone: str) -> list[dict[str, Any]]:
    """Return one row per path and precision: share of equal predictions, and whether it is large enough."""
    rows, data = [], pictures(per_class)
    for path, choice in RECIPES.items():
        given = replace(data, images=Stored(data.images)) if path == "stored images" else data  # type: ignore[arg-type]
        wanted = predictions("cpu", "fp32", given, choice.resolve(), backbone)
        for precision, least in LEAST.items():
            if precision == "bf16" and device == "cpu" and not cpu_has_bf16():
                continue
            started = time.perf_counter()
            found = (predictions(device, precision, given, choice.resolve(), backbone) == wanted).double().mean().item()
            row = {"check": path, "precision": precision, "same predictions": found, "at least": least}
            rows.append(row | {"seconds": round(time.perf_counter() - started, 1), "passed": found >= least})
    return rows


def one_step(place: str, backbone: str = "resnet18") -> None:
    """Take one step on one batch of 48, shared by as many devices as there are; rank 0 keeps the weights."""
    machine, data = this_machine(), pictures(2)
    recipe = RECIPES["images in memory"].resolve()
    model, _ = train(build_model(backbone, 24, 0), data, recipe, seed=0, machine=machine, checkpoint=NoCheckpoint())
    if machine.is_main:
        torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, place)


def share_a_step(device: str, folder: Path) -> dict[str, Any]:
    """Compare a step of two devices, whose BatchNorm is synchronised, with the step of one, in fp32."""
    if device == "cpu" or torch.cuda.device_count() < 2:
        return {"check": "two devices share a step", "skipped": "one device", "passed": True}
    os.environ |= {"PRETRAINING_GAIN_DEVICE": device, "PRETRAINING_GAIN_PRECISION": "fp32"}
    ends = []
    for n in (1, 2):
        os.environ["PRETRAINING_GAIN_DEVICES"] = str(n)
        launch(one_step, str(folder / f"{n}.pt"))
        ends.append(torch.load(folder / f"{n}.pt", weights_only=True))
    os.environ["PRETRAINING_GAIN_DEVICES"] = "1"
    farthest = max((ends[0][name].double() - ends[1][name].double()).abs().max().item() for name in ends[0])
    return {"check": "two devices share a step", "farthest weight": farthest, "passed": farthest < 1e-4}


_PRETRAIN = """
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.plan.runs import Run
if __name__ == "__main__":
    pretrain(Run(study="toy", pool="animal", k=4))
"""


def stop_and_resume(device: str, folder: Path) -> dict[str, Any]:
    """Stop a pretraining with SIGTERM after its first checkpoint, resume it, and read its record."""
    os.environ |= {"PRETRAINING_GAIN_RESULTS": str(folder), "PRETRAINING_GAIN_DEVICE": device}
    run = Run(study="toy", pool="animal", k=4)
    command, often = [sys.executable, "-c", _PRETRAIN], os.environ | {"PRETRAINING_GAIN_CHECKPOINT_S": "0"}
    process = subprocess.Popen(command, env=often, stderr=subprocess.DEVNULL)
    while not run.checkpoint_path.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    stopped = process.wait() != 0 and not run.record_path.exists()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    record = json.loads(run.record_path.read_text())
    found = {"starts": record["cost"]["starts"], "epochs": len(record["history"]), "top-1": record["history"][-1]["top1"]}
    passed = stopped and found["starts"] == 2 and found["epochs"] == run.recipe.epochs
    return {"check": "SIGTERM, then resume"} | found | {"passed": passed}


def main(arguments: list[str] | None = None) -> int:
    """Run all checks; return 1 if one fails."""
    parser = argparse.ArgumentParser(prog="tests.on_cuda", description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--per-class", type=int, default=40, help="images of each of the 24 classes; 40 are 20 steps")
    parser.add_argument("--out", type=Path, default=project_root() / "results" / "reliability" / "cuda.json")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks: list[Callable[[], Any]] = [
            lambda: compare_with_cpu(given.device, given.per_class, given.backbone),
            lambda: [share_a_step(given.device, folder)],
            lambda: [stop_and_resume(given.device, folder)],
        ]
        rows = []
        for check in checks:
            found = check()
            print(*found, sep="\n", flush=True)
            rows += found
    content = {"schema_version": 1, "machine": machine_for(given.device).describe(), "checks": rows}
    write_atomically(given.out, (json.dumps(content, indent=1) + "\n").encode())
    return int(not all(row["passed"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
