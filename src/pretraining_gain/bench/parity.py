"""Accuracy beside speed: the same recipe through torchvision's loop and through ours, over seeds."""

from __future__ import annotations

from functools import partial

from pretraining_gain.bench import baseline
from pretraining_gain.bench.accuracies import Seeded, accuracy
from pretraining_gain.bench.given import Given
from pretraining_gain.bench.host import has_bf16
from pretraining_gain.bench.loaders import OURS, TORCHVISION
from pretraining_gain.bench.measure import Effort, compare
from pretraining_gain.bench.ours import Unkept, machine_for, recipe_for
from pretraining_gain.bench.photographs import Task
from pretraining_gain.bench.records import Goal, Part
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.training import train
from pretraining_gain.plan.recipes import Recipe

N_EVAL = 20


def parity(given: Given) -> Part:
    """Rounds are seeds: each loop trains with seed 0, then each with seed 1, and so on; evaluation is part of the time."""
    scale, setting = given.scale, given.scale.parity
    task = given.photographs.task(setting.images, scale.parity_classes, N_EVAL)
    recipe = recipe_for(setting, crop_scale_min=0.5, lr=0.05)
    workers = baseline.best_workers(
        lambda count: plain(0, task, recipe.model_copy(update={"epochs": 1}), setting.backbone, given.device, count),
        scale.worker_counts,
    )
    seeds = range(scale.parity_seeds)
    loops = [
        Seeded(TORCHVISION, partial(plain, task=task, recipe=recipe, backbone=setting.backbone, device=given.device,
                                    workers=workers), seeds),
        Seeded(OURS, partial(own, task=task, recipe=recipe, backbone=setting.backbone, device=given.device), seeds),
    ]  # fmt: skip
    absent = {}
    other = "fp32" if given.machine.precision == "bf16" else "bf16"
    if other == "fp32" or has_bf16(given.device):
        train_other = partial(
            own, task=task, recipe=recipe, backbone=setting.backbone, device=given.device, precision=other
        )
        loops.append(Seeded(f"{OURS}, {other}", train_other, seeds))
    else:
        absent[f"{OURS}, bf16"] = "this processor has no instructions for bf16"
    n_eval = len(task.decoded("eval", 16))
    where = f"{setting}, {scale.parity_classes} classes, {setting.images} images, {setting.epochs} epochs"
    speeds = compare(
        "parity",
        [loop.contestant(setting.images * setting.epochs + n_eval) for loop in loops],
        Effort(1e9, len(seeds), warm_up=False),
        setting=where,
        reference=TORCHVISION,
        device=given.device,
        goals=[Goal(contestant=OURS, reference=TORCHVISION, at_least=1.0)],
        absent=absent,
        notes=[f"a round is a seed, training and evaluation from files; {TORCHVISION}: {workers} workers"],
    )
    return Part(comparisons=[speeds], accuracies=[accuracy("parity", where, loops, TORCHVISION, n_eval)])


def plain(seed: int, task: Task, recipe: Recipe, backbone: str, device: str, workers: int) -> float:
    """Top-1 of torchvision's loop."""
    import torch

    torch.manual_seed(seed)
    with baseline.as_torch_comes():
        loader = baseline.torchvision_loader(task.folder / "train", recipe, workers, device, True)
        held_out = baseline.torchvision_loader(task.folder / "val", recipe, workers, device, False)
        model = baseline.train(baseline.network(backbone, len(task.rows), seed, device), loader, recipe, device)
        return baseline.top1(model, held_out, device)


def own(seed: int, task: Task, recipe: Recipe, backbone: str, device: str, precision: str = "auto") -> float:
    """Top-1 of ours, decoding included."""
    machine = machine_for(device, precision)
    data, held_out = (task.decoded(split, recipe.resize_px, afresh=split == "train") for split in ("train", "eval"))
    model = build_model(backbone, len(task.rows), seed)
    model, _ = train(model, data, recipe, seed=seed, machine=machine, checkpoint=Unkept())
    return evaluate(model, held_out, recipe, machine).top1
