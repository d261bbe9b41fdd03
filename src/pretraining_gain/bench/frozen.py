"""(4) The recipe with a frozen backbone: the plain loop, ours image by image, and ours with features computed once a view."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from pretraining_gain.bench import baseline
from pretraining_gain.bench.accuracies import Seeded, accuracy
from pretraining_gain.bench.given import Given
from pretraining_gain.bench.measure import Effort, compare
from pretraining_gain.bench.ours import Unkept, anew, recipe_for
from pretraining_gain.bench.parity import N_EVAL
from pretraining_gain.bench.photographs import Task
from pretraining_gain.bench.records import Accuracy, Comparison, Goal, Part
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.models import build_model, freeze_backbone, load_backbone
from pretraining_gain.compute.training import train
from pretraining_gain.plan.recipes import Recipe

NAIVE, EXACT, CACHED, AT_LEAST = "plain loop, frozen", "ours, every epoch anew", "ours, features of views", 10.0
Weights = dict[str, Tensor]


def frozen(given: Given) -> Part:
    """Each network of the scale in turn."""
    compared = [_compared(given, setting) for setting in given.scale.frozen]
    return Part(comparisons=[speeds for speeds, _ in compared], accuracies=[top1 for _, top1 in compared])


def _compared(given: Given, setting: Setting) -> tuple[Comparison, Accuracy]:
    """Rounds are seeds; each loop starts from the same short pretraining on other classes, and reads the original files."""
    scale, n_classes = given.scale, given.scale.parity_classes
    task = given.photographs.task(setting.images, n_classes, N_EVAL)
    start = pretrained(given, setting)
    exact = recipe_for(setting, "finetune_imagenet", crop_scale_min=0.5)
    seeds = range(scale.frozen_seeds)

    def naive(seed: int, recipe: Recipe = exact, workers: int = 0) -> float:
        return plain(seed, task, recipe, setting.backbone, start, given.device, workers)

    one_epoch = exact.model_copy(update={"epochs": 1})
    workers = baseline.best_workers(lambda count: naive(0, one_epoch, count), scale.worker_counts)
    loops = [
        Seeded(NAIVE, partial(naive, workers=workers), seeds),
        Seeded(
            EXACT,
            partial(own, task=task, recipe=exact, start=start, backbone=setting.backbone, machine=given.machine),
            seeds,
        ),
    ]
    views = exact.model_copy(update={"frozen_views": scale.frozen_views})
    cached = partial(own, task=task, recipe=views, start=start, backbone=setting.backbone, machine=given.machine)
    loops.append(Seeded(CACHED, cached, seeds))
    n_eval = len(task.decoded("eval", 16))
    where = f"{setting}, {n_classes} classes, {setting.images} images, {setting.epochs} epochs"
    speeds = compare(
        "frozen",
        [loop.contestant(setting.images * setting.epochs + n_eval) for loop in loops],
        Effort(1e9, len(seeds), warm_up=False),
        setting=where,
        reference=NAIVE,
        device=given.device,
        goals=[Goal(contestant=CACHED, reference=NAIVE, at_least=AT_LEAST)],
        notes=[
            f"a round is a seed, training and evaluation from files; {NAIVE}: {workers} workers; "
            f"{CACHED}: {scale.frozen_views} views an image"
        ],
    )
    return speeds, accuracy("frozen", where, loops, NAIVE, n_eval)


def pretrained(given: Given, setting: Setting) -> Weights:
    """Weights after a short pretraining on classes that the task does not have."""
    n_classes, epochs = given.scale.parity_classes, given.scale.pretrain_epochs
    task = given.photographs.task(setting.images, n_classes, skip=n_classes)
    recipe = recipe_for(setting, crop_scale_min=0.5, epochs=epochs, lr_step_epochs=max(1, epochs // 3), lr=0.05)
    data = task.decoded("train", recipe.resize_px)
    model = build_model(setting.backbone, n_classes, seed=0)
    model, _ = train(model, data, recipe, seed=0, machine=anew(given.machine), checkpoint=Unkept())
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def plain(seed: int, task: Task, recipe: Recipe, backbone: str, start: Weights, device: str, workers: int) -> float:
    """Top-1 of the plain loop: every image is read, augmented and sent through the backbone in every epoch."""
    torch.manual_seed(seed)
    with baseline.as_torch_comes():
        model = _started(baseline.network(backbone, len(task.rows), seed, device), start)
        freeze_backbone(model)
        loader = baseline.torchvision_loader(task.folder / "train", recipe, workers, device, True)
        held_out = baseline.torchvision_loader(task.folder / "val", recipe, workers, device, False)
        return baseline.top1(baseline.train(model, loader, recipe, device), held_out, device)


def own(seed: int, task: Task, recipe: Recipe, backbone: str, start: Weights, machine: Machine) -> float:
    """Top-1 of ours, decoding included."""
    machine = anew(machine)
    data, held_out = (task.decoded(split, recipe.resize_px, afresh=split == "train") for split in ("train", "eval"))
    model = _started(build_model(backbone, len(task.rows), seed), start)
    model, _ = train(model, data, recipe, seed=seed, machine=machine, checkpoint=Unkept())
    return evaluate(model, held_out, recipe, machine).top1


def _started(model: nn.Module, start: Weights) -> nn.Module:
    load_backbone(model, start, "the pretraining of the benchmark")
    return model
