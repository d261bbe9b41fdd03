"""The parts of the benchmark that train and evaluate: limit, loaders, evaluation, parity and frozen backbone."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch.nn import functional as F

from pretraining_gain.bench import loops
from pretraining_gain.bench.images import Photographs, Task, tiled
from pretraining_gain.bench.loops import NoCheckpoint, Training
from pretraining_gain.bench.measure import Contestant, Effort, compare, n_cores, paired_difference
from pretraining_gain.bench.scale import Scale, Setting
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.machine import Machine, cpu_has_bf16
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import training_batches
from pretraining_gain.compute.training import build_optimizer, train

Comparison = dict[str, Any]
OURS, TORCHVISION, TIMM, LIMIT = "ours", "torchvision loop", "timm loader", "one batch in memory"
CACHED, EXACT, FROZEN, VIEWS = "ours, decoded before", "ours, every epoch anew", "plain loop, frozen", "ours, features of views"
N_CLASSES, N_EVAL, N_VIEWS = 8, 20, 2
#: By image size in pixels, how many times as fast as torchvision's loop ours should be.
_END_TO_END = {32: 1.5, 64: 1.3, 224: 1.0}


@dataclass(frozen=True)
class Given:
    """The inputs of every part: the machine, the amount of work, and the images."""

    machine: Machine
    scale: Scale
    photographs: Photographs

    @property
    def device(self) -> str:
        return self.machine.device

    @property
    def effort(self) -> Effort:
        wait = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        return Effort(self.scale.rounds, self.scale.budget_s, synchronize=wait)

    @property
    def worker_counts(self) -> list[int]:
        return [0] if self.scale.name == "tiny" else sorted({0, 1, 2, n_cores()})


def limit(given: Given) -> list[Comparison]:
    """Compare our training epoch with the same steps on one batch that already lies on the device."""
    return [_limit(setting, given) for setting in given.scale.limits]


def _limit(setting: Setting, given: Given) -> Comparison:
    recipe, few = setting.recipe(), given.photographs.task(min(setting.images, 20 * N_CLASSES), N_CLASSES)
    data = few.load("train", recipe.resize_px)
    data = data if setting.is_large else tiled(data, setting.images)
    n_batches, machine = len(data) // recipe.batch_size, given.machine
    held: dict[str, Any] = {}

    def build() -> None:
        held.clear()
        machine.accelerator.free_memory()  # accelerate keeps every model that it ever prepared
        held["model"] = build_model(setting.backbone, N_CLASSES, seed=0)

    def prepare_steps() -> None:
        build()
        model = held["model"].to(machine.accelerator.device).train()
        optimizer = build_optimizer(model.parameters(), recipe, machine.device)
        held["prepared"] = machine.prepare(model, optimizer)
        held["batch"] = next(iter(training_batches(data, recipe, 0, 0, machine.device)))

    def steps() -> None:
        (model, optimizer), (images, labels, _) = held["prepared"], held["batch"]
        for _ in range(n_batches):
            with machine.accelerator.autocast():
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            machine.accelerator.backward(loss)
            optimizer.step()

    def epoch() -> None:
        train(held["model"], data, recipe, seed=0, machine=machine, checkpoint=NoCheckpoint())

    items = n_batches * recipe.batch_size
    contestants = [Contestant(LIMIT, steps, items, prepare_steps), Contestant(OURS, epoch, items, build)]
    what = "prepared JPEGs" if setting.is_large else "uint8 in memory"
    notes = [f"batch {recipe.batch_size}, {n_batches} batches; images are {what}"]
    effort = replace(given.effort, rounds=2 * given.scale.rounds)
    return compare("limit", str(setting), contestants, LIMIT, effort, aims=[(OURS, LIMIT, 0.97)], notes=notes)


def loaders(given: Given) -> list[Comparison]:
    """Compare trainings from JPEG files on disk: ours, torchvision's loop and timm's loader, at their best worker counts."""
    return [_loaders(setting, given) for setting in given.scale.loaders]


def _loaders(setting: Setting, given: Given) -> Comparison:
    recipe, task = setting.recipe(), given.photographs.task(setting.images, N_CLASSES)
    training = Training(task, setting.backbone, N_CLASSES, recipe, given.device)
    items = recipe.epochs * setting.images // recipe.batch_size * recipe.batch_size
    contestants, absent = [Contestant(OURS, training.ours, items)], {}
    notes = [f"{setting.images} files, {recipe.epochs} epochs, batch {recipe.batch_size}, network built in all"]
    for name, package, make in ((TORCHVISION, "torchvision", loops.torchvision_loader), (TIMM, "timm", loops.timm_loader)):
        if find_spec(package) is None:
            absent[name] = f"{package} is not installed"
            continue
        workers = _best_workers(training, given, loader=make)
        notes.append(f"{name}: {workers} workers were the fastest of {given.worker_counts}")
        work = partial(training.plain, workers=workers, loader=make)
        contestants.append(Contestant(name, work, items))
        if given.device == "cuda":
            contestants.append(Contestant(f"{name}, bf16", partial(work, amp=True), items))
    aims = [(OURS, TORCHVISION, _END_TO_END.get(setting.image_size_px, 1.0)), (OURS, TIMM, 1.0)]
    return compare("loaders", str(setting), contestants, TORCHVISION, given.effort, aims=aims, absent=absent, notes=notes)


def _best_workers(training: Training, given: Given, **chosen: Any) -> int:
    once = replace(training, recipe=training.recipe.model_copy(update={"epochs": 1}))
    return loops.best_workers(lambda count: once.plain(workers=count, **chosen), given.worker_counts)


def evaluation(given: Given) -> list[Comparison]:
    """Compare evaluations from JPEG files on disk: torchvision's loop, and ours with and without images decoded before."""
    return [_evaluation(setting, given) for setting in given.scale.evaluations]


def _evaluation(setting: Setting, given: Given) -> Comparison:
    recipe, task = setting.recipe(), given.photographs.task(setting.images, N_CLASSES)
    model = build_model(setting.backbone, N_CLASSES, seed=0).to(given.device)
    plain = build_model(setting.backbone, N_CLASSES, seed=0).to(given.device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def ours(afresh: bool) -> None:
        evaluate(model, task.load("train", recipe.resize_px, afresh=afresh), recipe, given.machine)

    def theirs(workers: int) -> None:
        with loops.torch_defaults():
            batches = loops.torchvision_loader(task.folder / "train", recipe, workers, given.device, False)
            loops.plain_top1(plain, batches, given.device)

    workers = loops.best_workers(theirs, given.worker_counts)
    ways = {TORCHVISION: partial(theirs, workers), OURS: partial(ours, True), CACHED: partial(ours, False)}
    contestants = [Contestant(name, work, setting.images) for name, work in ways.items()]
    notes = [f"{setting.images} files, {TORCHVISION}: {workers} workers were the fastest of {given.worker_counts}"]
    return compare("evaluation", str(setting), contestants, TORCHVISION, given.effort, aims=[(OURS, TORCHVISION, 1.0)], notes=notes)


def parity(given: Given) -> tuple[list[Comparison], list[Comparison]]:
    """Compare speed and top-1 of one recipe through torchvision's loop and through ours, one round per seed."""
    found = []
    for setting in given.scale.parity:
        task = given.photographs.task(setting.images, given.scale.classes, N_EVAL)
        recipe = setting.recipe(crop_scale_min=0.5, lr=0.05)
        training = Training(task, setting.backbone, given.scale.classes, recipe, given.device, is_evaluated=True)
        workers = _best_workers(training, given)
        ways: dict[str, Callable[[int], float]] = {TORCHVISION: partial(training.plain, workers=workers), OURS: training.ours}
        other = "fp32" if given.machine.precision == "bf16" else "bf16"
        if other == "fp32" or (given.device == "cpu" and cpu_has_bf16()):
            ways[f"{OURS}, {other}"] = partial(training.ours, precision=other)
        notes = [f"a round is a seed, training and evaluation from files; {TORCHVISION}: {workers} workers"]
        found.append(_over_seeds("parity", setting, given, task, ways, (OURS, TORCHVISION, 1.0), notes))
    return [speeds for speeds, _ in found], [top1 for _, top1 in found]


def frozen(given: Given) -> tuple[list[Comparison], list[Comparison]]:
    """Compare the frozen recipe in the plain loop, in ours with every epoch anew, and in ours on features of a few views."""
    found = []
    for setting in given.scale.frozen:
        n_classes, exact = given.scale.classes, setting.recipe("finetune_imagenet", crop_scale_min=0.5)
        task = given.photographs.task(setting.images, n_classes, N_EVAL)
        start = _pretrained(setting, given)
        training = Training(task, setting.backbone, n_classes, exact, given.device, is_evaluated=True, start=start)
        views = replace(training, recipe=exact.model_copy(update={"frozen_views": N_VIEWS}))
        workers = _best_workers(training, given)
        ways: dict[str, Callable[[int], float]]
        ways = {FROZEN: partial(training.plain, workers=workers), EXACT: training.ours, VIEWS: views.ours}
        notes = [f"a round is a seed, from files; {FROZEN}: {workers} workers; {VIEWS}: {N_VIEWS} views per image"]
        found.append(_over_seeds("frozen", setting, given, task, ways, (VIEWS, FROZEN, 10.0), notes))
    return [speeds for speeds, _ in found], [top1 for _, top1 in found]


def _pretrained(setting: Setting, given: Given) -> dict[str, torch.Tensor]:
    """Return weights after a short pretraining on classes that the task does not have."""
    n_classes, epochs = given.scale.classes, given.scale.pretrain_epochs
    recipe = setting.recipe(crop_scale_min=0.5, epochs=epochs, lr_step_epochs=max(1, epochs // 3), lr=0.05)
    data = given.photographs.task(setting.images, n_classes, skip=n_classes).load("train", recipe.resize_px)
    machine, model = loops.machine_for(given.device, given.machine.precision), build_model(setting.backbone, n_classes, seed=0)
    model, _ = train(model, data, recipe, seed=0, machine=machine, checkpoint=NoCheckpoint())
    return {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def _over_seeds(
    name: str,
    setting: Setting,
    given: Given,
    task: Task,
    ways: dict[str, Callable[[int], float]],
    aim: tuple[str, str, float],
    notes: list[str],
) -> tuple[Comparison, Comparison]:
    """Train each way with each seed, interleaved; return the comparison of speeds and that of top-1, paired by seed."""
    seeds = range(given.scale.seeds)
    top1: dict[str, list[float]] = {way: [] for way in ways}
    n_images = len(list((task.folder / "val").glob("*/*")))

    def next_seed(way: str) -> None:
        top1[way].append(ways[way](len(top1[way]) % len(seeds)))  # a profile asks once more

    where = f"{setting}, {given.scale.classes} classes, {setting.images} images, {setting.epochs} epochs"
    contestants = [Contestant(way, partial(next_seed, way), setting.images * setting.epochs + n_images) for way in ways]
    effort, reference = replace(given.effort, rounds=len(seeds), budget_s=1e9, warm_up=False), aim[1]
    speeds = compare(name, where, contestants, reference, effort, aims=[aim], notes=notes)
    top1 = {way: values[: len(seeds)] for way, values in top1.items()}
    accuracy = {"name": name, "setting": where, "reference": reference, "seeds": [*seeds], "images": n_images, "top1": top1}
    accuracy["seed_sd"] = {way: statistics.stdev(values) for way, values in top1.items()}
    accuracy["differences"] = {way: paired_difference(top1[way], top1[reference]) for way in ways if way != reference}
    return speeds, accuracy
