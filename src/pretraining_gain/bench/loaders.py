"""(2) End to end from JPEG files on disk: ours against torchvision's own loop and timm's loader, at their best worker counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from pretraining_gain.bench import baseline
from pretraining_gain.bench.given import N_CLASSES, Given, is_large
from pretraining_gain.bench.measure import Contestant, compare
from pretraining_gain.bench.ours import Unkept, recipe_for
from pretraining_gain.bench.photographs import Task
from pretraining_gain.bench.records import Comparison, Goal, Part
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.training import train
from pretraining_gain.plan.recipes import Recipe

OURS, TORCHVISION, TIMM = "ours", "torchvision loop", "timm loader"
#: At which image size ours should be so many times as fast as torchvision's loop.
AT_LEAST = {32: 1.5, 64: 1.3, 224: 1.0}
LOADERS = {TORCHVISION: ("torchvision", baseline.torchvision_loader), TIMM: ("timm", baseline.timm_loader)}


def loaders(given: Given) -> Part:
    return Part(comparisons=[_at(setting, given) for setting in given.scale.loaders])


def _at(setting: Setting, given: Given) -> Comparison:
    task, recipe = given.photographs.task(setting.images, N_CLASSES), recipe_for(setting)
    items = recipe.epochs * setting.images // recipe.batch_size * recipe.batch_size
    contestants, notes, absent = [_ours(setting, task, recipe, given, items)], [], {}
    for name, (package, make) in LOADERS.items():
        if find_spec(package) is None:
            absent[name] = f"{package} is not installed"
            continue
        work = plain_training(make, task, recipe, setting.backbone, given.device)
        one_epoch = recipe.model_copy(update={"epochs": 1})
        tried = plain_training(make, task, one_epoch, setting.backbone, given.device)
        workers = baseline.best_workers(tried, given.scale.worker_counts)
        notes.append(f"{name}: {workers} workers were the fastest of {given.scale.worker_counts}")
        contestants.append(Contestant(name, partial(work, workers), items))
        if given.device == "cuda":
            mixed = plain_training(make, task, recipe, setting.backbone, given.device, amp=True)
            contestants.append(Contestant(f"{name}, bf16", partial(mixed, workers), items))
    goal = AT_LEAST.get(setting.image_size_px, 1.0)
    return compare(
        "loaders",
        contestants,
        given.effort(given.scale.loaders_s),
        setting=str(setting),
        reference=TORCHVISION,
        device=given.device,
        goals=[
            Goal(contestant=OURS, reference=TORCHVISION, at_least=goal),
            Goal(contestant=OURS, reference=TIMM, at_least=1.0),
        ],
        absent=absent,
        notes=[
            f"{setting.images} files, {recipe.epochs} epochs, batch {recipe.batch_size}, network built in all",
            *notes,
        ],
    )


def _ours(setting: Setting, task: Task, recipe: Recipe, given: Given, items: int) -> Contestant:
    """Decoding or preparing the files, every time, and then the epochs."""

    def work() -> None:
        given.machine.accelerator.free_memory()  # else accelerate keeps every model that it ever prepared
        load = task.packed if is_large(setting) else task.decoded
        data = load("train", recipe.resize_px, afresh=True)
        model = build_model(setting.backbone, N_CLASSES, seed=0)
        train(model, data, recipe, seed=0, machine=given.machine, checkpoint=Unkept())

    return Contestant(OURS, work, items)


def plain_training(
    make: baseline.MakeLoader, task: Task, recipe: Recipe, backbone: str, device: str, amp: bool = False
) -> Callable[[int], Any]:
    """The plain loop with a loader of `make`, as a function of the number of workers."""

    def work(workers: int) -> Any:
        with baseline.as_torch_comes():
            loader = make(task.folder / "train", recipe, workers, device, True)
            return baseline.train(baseline.network(backbone, len(task.rows), 0, device), loader, recipe, device, amp)

    return work
