"""Compare one setting in each part that trains and evaluates: limit, loaders, evaluation, parity and frozen backbone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from pretraining_gain.bench import loops
from pretraining_gain.bench.images import Photographs, tiled
from pretraining_gain.bench.loops import NoCheckpoint, Training
from pretraining_gain.bench.measure import Aim, Effort, compare, paired_difference
from pretraining_gain.bench.scale import Scale, Setting
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.machine import Machine, cpu_has_bf16
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import training_batches
from pretraining_gain.compute.training import build_optimizer, train
from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.resources import allowed_cores

#: Comparisons of speed, and comparisons of top-1, which have the field `top1`.
Found = list[dict[str, Any]]
OURS, TORCHVISION, TIMM, LIMIT = "ours", "torchvision loop", "timm loader", "one batch in memory"
CACHED, EXACT = "ours, decoded before", "ours, every epoch anew"
FROZEN, VIEWS = "plain loop, frozen", "ours, features of views"
N_CLASSES, N_EVAL, N_VIEWS = 8, 20, 2
#: By image size in pixels, how many times as fast as torchvision's loop ours should be.
_END_TO_END = {32: 1.5, 64: 1.3, 224: 1.0}
#: Dense bf16 operations per second of a card, by a part of its name, from its data sheet.
_PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "V100": 125e12}


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
        on_cpu = self.device == "cpu"
        wait = (lambda: None) if on_cpu else torch.cuda.synchronize
        return Effort(self.scale.rounds, self.scale.budget_s, on_cpu=on_cpu, synchronize=wait)

    def best_workers(self, work: Callable[[int], object]) -> int:
        """Return the number of loader workers with which `work` was fastest, tried once each after a warm-up."""
        counts = [0] if self.scale.name == "tiny" else sorted({0, 1, 2, allowed_cores()})
        seconds: dict[int, float] = {}
        for count in [counts[0], *counts] if len(counts) > 1 else []:
            started = time.perf_counter()
            work(count)
            seconds[count] = time.perf_counter() - started
        return min(seconds, key=seconds.__getitem__, default=0)


def limit(given: Given, setting: Setting) -> Found:
    """Compare our training epoch with the same steps on one batch that already lies on the device."""
    recipe, few = setting.recipe(), given.photographs.task(min(setting.images, 20 * N_CLASSES), N_CLASSES)
    if setting.is_large:
        data = given.photographs.task(setting.images, N_CLASSES).load("train", recipe.resize_px)
    else:
        data = tiled(few.load("train", recipe.resize_px), setting.images)
    n_batches, machine = len(data) // recipe.batch_size, given.machine
    held: dict[str, Any] = {}

    def build() -> None:
        held.clear()
        machine.accelerator.free_memory()  # accelerate keeps every model that it ever prepared
        held["model"] = build_model(setting.backbone, N_CLASSES, seed=0)

    def prepare_steps() -> None:
        build()
        model = held["model"].to(machine.accelerator.device).train()
        held["prepared"] = machine.prepare(model, build_optimizer(model.parameters(), recipe))
        held["batch"] = next(iter(training_batches(data, recipe, 0, 0, machine.device)))

    def steps(n: int = n_batches) -> None:
        (model, optimizer), (images, labels, _) = held["prepared"], held["batch"]
        for _ in range(n):
            with machine.accelerator.autocast():
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            machine.accelerator.backward(loss)
            optimizer.step()

    def epoch() -> None:
        train(held["model"], data, recipe, seed=0, machine=machine, checkpoint=NoCheckpoint())

    items, what = n_batches * recipe.batch_size, "prepared JPEGs" if setting.is_large else "uint8 in memory"
    notes, prepare = [f"batch {recipe.batch_size}, {n_batches} batches; images are {what}"], {LIMIT: prepare_steps, OURS: build}
    ways, aim = {LIMIT: steps, OURS: epoch}, (OURS, LIMIT, 0.97)
    found = compare("limit", str(setting), ways, items, given.effort, aim, notes=notes, prepare=prepare)
    if given.device == "cuda":
        prepare_steps()
        with FlopCounterMode(display=False) as counted:
            steps(1)
        flops = counted.get_total_flops() / recipe.batch_size * found["outcomes"][1]["items_per_s"]["median"]
        card = torch.cuda.get_device_name()
        peak = next((peak for name, peak in _PEAK_FLOPS.items() if name in card), None)
        share = f", {flops / peak:.0%} of the bf16 peak of {card}" if peak else ""
        notes.append(f"ours: {flops / 1e12:.1f} TFLOP/s of convolutions and products{share}")
    return [found]


def loaders(given: Given, setting: Setting) -> Found:
    """Compare trainings from JPEG files: ours, torchvision's loop and timm's loader, at their best worker counts."""
    recipe, task = setting.recipe(), given.photographs.task(setting.images, N_CLASSES)
    training = Training(task, setting.backbone, N_CLASSES, recipe, given.device)
    items = recipe.epochs * setting.images // recipe.batch_size * recipe.batch_size
    ways: dict[str, Callable[[], object]] = {}
    notes = [f"{setting.images} files, {recipe.epochs} epochs, batch {recipe.batch_size}, network built in all"]
    for name, make in ((TORCHVISION, loops.torchvision_loader), (TIMM, loops.timm_loader)):
        workers = given.best_workers(partial(training.one_epoch, loader=make))
        notes.append(f"{name}: {workers} workers were the fastest")
        ways[name] = partial(training.plain, workers=workers, loader=make)
        if given.device == "cuda":
            ways[f"{name}, bf16"] = partial(training.plain, workers=workers, loader=make, amp=True)
    aims = (OURS, TORCHVISION, _END_TO_END[setting.image_size_px]), (OURS, TIMM, 1.0)
    return [compare("loaders", str(setting), ways | {OURS: training.ours}, items, given.effort, *aims, notes=notes)]


def evaluation(given: Given, setting: Setting) -> Found:
    """Compare evaluations from JPEG files on disk: torchvision's loop, and ours with and without images decoded before."""
    recipe, task = setting.recipe(), given.photographs.task(setting.images, N_CLASSES)
    model = build_model(setting.backbone, N_CLASSES, seed=0).to(given.device)
    plain = build_model(setting.backbone, N_CLASSES, seed=0).to(given.device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def ours(afresh: bool) -> None:
        evaluate(model, task.load("train", recipe.resize_px, afresh=afresh), recipe, given.machine)

    def theirs(workers: int) -> None:
        with loops.torch_defaults():
            batches = loops.torchvision_loader(task.folder / "train", recipe, workers, given.device, False)
            loops.plain_top1(plain, batches, given.device)

    workers = given.best_workers(theirs)
    ways = {TORCHVISION: partial(theirs, workers), OURS: partial(ours, True), CACHED: partial(ours, False)}
    notes = [f"{setting.images} files, {TORCHVISION}: {workers} workers were the fastest"]
    return [compare("evaluation", str(setting), ways, setting.images, given.effort, (OURS, TORCHVISION, 1.0), notes=notes)]


def parity(given: Given, setting: Setting) -> Found:
    """Compare speed and top-1 of one recipe through torchvision's loop and through ours, one round per seed."""
    recipe = setting.recipe(crop_scale_min=0.5, lr=0.05)
    training = _on_held_out(given, setting, recipe)
    ways: dict[str, Callable[..., float]] = {TORCHVISION: training.plain, OURS: training.ours}
    other = "fp32" if given.machine.precision == "bf16" else "bf16"
    if other == "fp32" or cpu_has_bf16():
        ways[f"{OURS}, {other}"] = partial(training.ours, precision=other)
    return _over_seeds("parity", given, setting, training, ways, (OURS, TORCHVISION, 1.0))


def frozen(given: Given, setting: Setting) -> Found:
    """Compare the frozen recipe in the plain loop, in ours with every epoch anew, and in ours on features of a few views.

    All start from one short pretraining on classes that the task does not have.
    """
    n_classes, epochs = given.scale.classes, given.scale.pretrain_epochs
    before = setting.recipe(crop_scale_min=0.5, epochs=epochs, lr_step_epochs=max(1, epochs // 3), lr=0.05)
    data = given.photographs.task(setting.images, n_classes, skip=n_classes).load("train", before.resize_px)
    machine, model = loops.machine_for(given.device, given.machine.precision), build_model(setting.backbone, n_classes, seed=0)
    model, _ = train(model, data, before, seed=0, machine=machine, checkpoint=NoCheckpoint())
    start = {name: tensor.cpu() for name, tensor in model.state_dict().items()}

    recipe = setting.recipe("finetune_imagenet", crop_scale_min=0.5)
    exact = _on_held_out(given, setting, recipe, start)
    views = replace(exact, recipe=recipe.model_copy(update={"frozen_views": N_VIEWS}))
    ways: dict[str, Callable[..., float]] = {FROZEN: exact.plain, EXACT: exact.ours, VIEWS: views.ours}
    return _over_seeds("frozen", given, setting, exact, ways, (VIEWS, FROZEN, 12.0))


def _on_held_out(given: Given, setting: Setting, recipe: Recipe, start: dict[str, torch.Tensor] | None = None) -> Training:
    """Return a training that ends with an evaluation of held-out images."""
    task = given.photographs.task(setting.images, given.scale.classes, N_EVAL)
    return Training(task, setting.backbone, given.scale.classes, recipe, given.device, is_evaluated=True, start=start)


def _over_seeds(
    name: str, given: Given, setting: Setting, training: Training, ways: dict[str, Callable[..., float]], aim: Aim
) -> Found:
    """Train each way with each seed, interleaved; return the comparison of speeds and that of top-1, paired by seed.

    The reference is a plain loop, which gets its best number of workers.
    """
    seeds, reference, workers = range(given.scale.seeds), aim[1], given.best_workers(training.one_epoch)
    ways = ways | {reference: partial(ways[reference], workers=workers)}
    top1: dict[str, list[float]] = {way: [] for way in ways}
    n_images = len(list((training.task.folder / "val").glob("*/*")))

    def next_seed(way: str) -> None:
        top1[way].append(ways[way](len(top1[way]) % len(seeds)))  # a profile asks again

    where = f"{setting}, {given.scale.classes} classes, {setting.images} images, {setting.epochs} epochs"
    effort, items = replace(given.effort, rounds=len(seeds), exactly=True), setting.images * setting.epochs + n_images
    notes = [f"a round is a seed, training and evaluation from files; {reference}: {workers} workers"]
    speeds = compare(name, where, {way: partial(next_seed, way) for way in ways}, items, effort, aim, notes=notes)
    top1 = {way: values[: len(seeds)] for way, values in top1.items()}
    accuracy = {"name": name, "setting": where, "reference": reference, "seeds": [*seeds], "images": n_images}
    accuracy |= {"top1": top1, "seed_sd": {way: statistics.stdev(values) for way, values in top1.items()}}
    accuracy["differences"] = {way: paired_difference(top1[way], top1[reference]) for way in ways if way != reference}
    return [speeds, accuracy]
