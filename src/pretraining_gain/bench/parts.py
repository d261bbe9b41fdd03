"""Size each part of the benchmark, and compare one setting in each: limit, loaders, feeding, evaluation, parity and frozen."""

from __future__ import annotations

import io
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from pretraining_gain.bench import loops
from pretraining_gain.bench.images import LARGE_PX, Photographs, load
from pretraining_gain.bench.loops import NoCheckpoint, Training
from pretraining_gain.bench.measure import Aim, Effort, Work, compare, paired_difference
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.images.decoding import decode
from pretraining_gain.compute.machine import cpu_has_bf16
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import ImageSet, inference_batch_size, training_batches
from pretraining_gain.compute.training import build_optimizer, train
from pretraining_gain.plan.recipes import Recipe, RecipeChoice
from pretraining_gain.plan.resources import allowed_cores

#: Comparisons of speed, and comparisons of top-1, which have the field `top1`.
Found = list[dict[str, Any]]
OURS, TORCHVISION, TIMM, LIMIT = "ours", "torchvision loop", "timm loader", "one batch in memory"
PILLOW, REDUCED, V2 = "Pillow", "Pillow, at a fraction of the size", "torchvision v2, image by image"
#: Classes to measure speed, and to compare top-1, with up to so many held-out images of each.
N_CLASSES, N_COMPARED, N_EVAL = 8, 12, 20
#: By image size in pixels, how many times as fast as torchvision's loop ours should be.
_END_TO_END = {32: 1.5, 64: 1.3, 224: 1.0}


@dataclass(frozen=True)
class Setting:
    """A backbone at an image size in pixels, with how many images in all, a multiple of the batch size, and how many epochs."""

    backbone: str
    image_size_px: int
    images: int
    batch_size: int
    epochs: int = 1

    @property
    def is_large(self) -> bool:
        return self.image_size_px >= LARGE_PX

    def recipe(self, **changes: Any) -> Recipe:
        """Return the paper's recipe at this setting; large images leave room for crops, as is usual for ImageNet."""
        sizes = {"image_size_px": self.image_size_px, "resize_px": 256 if self.is_large else self.image_size_px}
        usual = {"epochs": self.epochs, "lr_step_epochs": max(1, self.epochs // 3), "batch_size": self.batch_size}
        return RecipeChoice(based_on="pretrain", changes=usual | sizes | changes).resolve()

    def __str__(self) -> str:
        return f"{self.backbone}, {self.image_size_px} px"


@dataclass(frozen=True)
class Scale:
    """Settings of each part, rounds and seconds per comparison, seeds and epochs of those over seeds, and numbers of loader
    workers to try."""

    name: str
    settings: dict[str, list[Setting]]
    rounds: int = 5
    budget_s: float = 30
    seeds: int = 5
    pretrain_epochs: int = 45
    drawn_per_class: int = 60
    workers: tuple[int, ...] = tuple(sorted({0, 1, 2, allowed_cores()}))

    def short(self) -> Scale:
        """Return the largest network of each part alone, in fewer rounds."""
        last = {part: settings[-1:] for part, settings in self.settings.items()}
        return replace(self, name=f"{self.name}, short", settings=last, rounds=3, budget_s=15, seeds=2, pretrain_epochs=5)


CPU = Scale("cpu", {
    "limit": [Setting("resnet10_w16", 32, 2560, 128), Setting("resnet18", 32, 512, 64), Setting("resnet50", 64, 128, 32),
              Setting("resnet50", 224, 32, 16)],
    "loaders": [Setting("resnet10_w16", 32, 320, 64, 15), Setting("resnet18", 32, 320, 64, 5),
                Setting("resnet50", 64, 96, 32, 5), Setting("resnet50", 224, 32, 16)],
    "feeding": [Setting("", 32, 128, 64), Setting("", 64, 128, 64), Setting("", 224, 64, 32)],
    "evaluation": [Setting("resnet18", 32, 320, 64), Setting("resnet50", 64, 160, 64), Setting("resnet50", 224, 48, 16)],
    "parity": [Setting("resnet10_w16", 32, 240, 32, 15)],
    "frozen": [Setting("resnet10_w16", 32, 480, 32, 15), Setting("resnet18", 32, 480, 32, 15)],
})  # fmt: skip
CUDA = replace(CPU, name="cuda", settings=CPU.settings | {
    "limit": [replace(one, images=40 * one.images, batch_size=4 * one.batch_size) for one in CPU.settings["limit"][:-1]]
             + [Setting("resnet50", 224, 5120, 256)],
    "loaders": [replace(one, images=320, batch_size=64, epochs=3 * one.epochs) for one in CPU.settings["loaders"][:-1]]
               + [Setting("resnet50", 224, 2048, 256, 3)],
    "evaluation": [replace(one, images=2048, batch_size=256) for one in CPU.settings["evaluation"]],
    "feeding": [Setting("", 224, 512, 256)],
})  # fmt: skip


@dataclass(frozen=True)
class Given:
    """The inputs of every part: the device, the amount of work, and the images."""

    device: str
    scale: Scale
    photographs: Photographs

    @property
    def effort(self) -> Effort:
        on_cpu = self.device == "cpu"
        wait = (lambda: None) if on_cpu else torch.cuda.synchronize
        return Effort(self.scale.rounds, self.scale.budget_s, on_cpu=on_cpu, synchronize=wait)

    def best_workers(self, work: Callable[..., object]) -> int:
        """Return the number of loader workers with which `work` was fastest, tried once each after a warm-up."""
        seconds = {}
        for workers in (self.scale.workers[0], *self.scale.workers):
            started = time.perf_counter()
            work(workers=workers)
            seconds[workers] = time.perf_counter() - started
        return min(seconds, key=seconds.__getitem__)


def limit(given: Given, setting: Setting) -> Found:
    """Compare our training epoch with the same steps on one batch that already lies on the device."""
    recipe, machine = setting.recipe(), loops.machine_for(given.device)
    data = load(given.photographs.task(setting.images, N_CLASSES), "train", recipe.resize_px)
    n_batches = setting.images // setting.batch_size
    images, labels, _ = next(iter(training_batches(data, recipe, 0, 0, given.device)))
    held: dict[str, Any] = {}

    def build() -> None:
        machine.accelerator.free_memory()  # accelerate keeps every model that it ever prepared
        held["ours"], alone = (build_model(setting.backbone, N_CLASSES, seed=0) for _ in range(2))
        alone.to(machine.accelerator.device).train()
        held["alone"] = machine.prepare(alone, build_optimizer(alone.parameters(), recipe))

    def steps() -> None:
        model, optimizer = held["alone"]
        for _ in range(n_batches):
            with machine.accelerator.autocast():
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad(set_to_none=True)
            machine.accelerator.backward(loss)
            optimizer.step()

    def epoch() -> None:
        train(held["ours"], data, recipe, seed=0, machine=machine, checkpoint=NoCheckpoint())

    what = "prepared JPEGs" if setting.is_large else "uint8 in memory"
    notes, aim = [f"batch {setting.batch_size}, {n_batches} batches; images are {what}"], (OURS, LIMIT, 0.97)
    ways = {LIMIT: steps, OURS: epoch}
    return [compare("limit", str(setting), ways, setting.images, given.effort, aim, notes=notes, prepare=build)]


def loaders(given: Given, setting: Setting) -> Found:
    """Compare trainings from JPEG files: ours, torchvision's loop and timm's loader, at their best worker counts."""
    task = given.photographs.task(setting.images, N_CLASSES)
    training = Training(task, setting.backbone, N_CLASSES, setting.recipe(), given.device)
    ways: dict[str, Work] = {}
    notes = [f"{setting.images} files, {setting.epochs} epochs, batch {setting.batch_size}, network built in all"]
    for name, loader in ((TORCHVISION, loops.torchvision_loader), (TIMM, loops.timm_loader)):
        workers = given.best_workers(partial(training.plain, loader=loader, epochs=1))
        notes.append(f"{name}: {workers} workers were the fastest")
        ways[name] = partial(training.plain, workers=workers, loader=loader)
    aims, items = ((OURS, TORCHVISION, _END_TO_END[setting.image_size_px]), (OURS, TIMM, 1.0)), setting.epochs * setting.images
    return [compare("loaders", str(setting), ways | {OURS: training.ours}, items, given.effort, *aims, notes=notes)]


def feeding(given: Given, setting: Setting) -> Found:
    """Compare decoders and ways to augment on one core."""
    task, threads = given.photographs.task(setting.images, N_CLASSES), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with patch("pretraining_gain.compute.images.packs.n_workers", return_value=1):
            return [_decoding(given, setting, task), *_augmenting(given, setting, task)]
    finally:
        torch.set_num_threads(threads)


def _decoding(given: Given, setting: Setting, task: Path) -> dict[str, Any]:
    """Compare ours with Pillow at full size, as torchvision's image folder reads, and at the fraction that ours decodes."""
    files, size_px = [path.read_bytes() for path in sorted(task.glob("train/*/*"))], setting.recipe().resize_px

    def pillow(content: bytes, size_px: int, reduced: bool = False) -> np.ndarray:
        with Image.open(io.BytesIO(content)) as image:
            if reduced:
                image.draft("RGB", (size_px, size_px))
            return np.asarray(ImageOps.fit(image.convert("RGB"), (size_px, size_px), Image.Resampling.BICUBIC))

    def all_by(engine: Callable[[bytes, int], np.ndarray]) -> np.ndarray:
        return np.stack([engine(content, size_px) for content in files])

    ways = {PILLOW: partial(all_by, pillow), REDUCED: partial(all_by, partial(pillow, reduced=True)), OURS: partial(all_by, decode)}
    aims = (OURS, PILLOW, 1.5), (OURS, REDUCED, 1.0)
    difference = np.abs(all_by(decode).astype(float) - all_by(pillow)).mean()
    notes = [f"{OURS}: pixels differ from {PILLOW}'s by {difference:.1f} of 255 in the mean"]
    return compare("decoding", f"files to {size_px} px", ways, len(files), given.effort, *aims, notes=notes)


def _augmenting(given: Given, setting: Setting, task: Path) -> Found:
    """Compare ways from uint8 images in memory to a normalised batch: crop, resize, mirror.

    Of large images, also measure what one core decodes for a GPU, which crops them itself, and decodes and crops for a CPU.
    """
    from torchvision.transforms import v2  # after `pretraining_gain.compute`, which makes it importable

    recipe = setting.recipe()
    data, stored = (load(task, "train", recipe.resize_px, in_memory=in_memory) for in_memory in (True, False))
    crop = v2.RandomResizedCrop(recipe.image_size_px, scale=(recipe.crop_scale_min, 1.0), antialias=True)
    normalise = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(loops.MEAN, loops.STD)]
    steps = v2.Compose([crop, v2.RandomHorizontalFlip(), *normalise])

    def by_image() -> None:
        for positions in torch.randperm(len(data)).split(recipe.batch_size):
            torch.stack([steps(data.images[position]) for position in positions.tolist()])

    def by_batch(images: ImageSet) -> None:
        deque(training_batches(images, recipe, 0, 0), maxlen=0)

    def decoded() -> None:
        for positions in torch.arange(len(stored)).split(recipe.batch_size):
            stored.images[positions]

    where = f"{recipe.resize_px} px in memory to {recipe.image_size_px} px"
    ways: dict[str, Work] = {V2: by_image, OURS: partial(by_batch, data)}
    found = [compare("augmenting", where, ways, len(data), given.effort, (OURS, V2, 1.0))]
    if setting.is_large:
        ways = {"ours, decoded and cropped": partial(by_batch, stored), "ours, decoded": decoded}
        found.append(compare("per core", f"prepared {recipe.resize_px} px images", ways, len(stored), given.effort))
    return found


def evaluation(given: Given, setting: Setting) -> Found:
    """Compare evaluations from JPEG files on disk: torchvision's loop, and ours with and without images decoded before."""
    batch_size = inference_batch_size(setting.image_size_px, given.device)
    recipe, task = setting.recipe(batch_size=batch_size), given.photographs.task(setting.images, N_CLASSES)
    machine = loops.machine_for(given.device)
    model, plain = (build_model(setting.backbone, N_CLASSES, seed=0).to(given.device) for _ in range(2))
    plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    def ours(afresh: bool) -> None:
        evaluate(model, load(task, "train", recipe.resize_px, afresh=afresh), recipe, machine)

    def theirs(workers: int) -> None:
        loops.plain_top1(plain, loops.torchvision_loader(task / "train", recipe, workers, given.device, False), given.device)

    workers = given.best_workers(theirs)
    ways = {TORCHVISION: partial(theirs, workers), OURS: partial(ours, True), "ours, decoded before": partial(ours, False)}
    notes = [f"{setting.images} files, batch {batch_size}, {TORCHVISION}: {workers} workers were the fastest"]
    return [compare("evaluation", str(setting), ways, setting.images, given.effort, (OURS, TORCHVISION, 1.0), notes=notes)]


def parity(given: Given, setting: Setting) -> Found:
    """Compare speed and top-1 of one recipe through torchvision's loop and through ours, one round per seed."""
    task = given.photographs.task(setting.images, N_COMPARED, N_EVAL)
    training = Training(task, setting.backbone, N_COMPARED, setting.recipe(crop_scale_min=0.5, lr=0.05), given.device)
    ways: dict[str, Callable[..., float]] = {OURS: training.ours}
    other = "fp32" if loops.machine_for(given.device).precision == "bf16" else "bf16"
    if other == "fp32" or cpu_has_bf16():
        ways[f"{OURS}, {other}"] = partial(training.ours, precision=other)
    return _over_seeds("parity", given, setting, training, ways, (OURS, TORCHVISION, 1.0))


def frozen(given: Given, setting: Setting) -> Found:
    """Compare the frozen recipe in the plain loop, in ours with new crops in every epoch, and in ours on features of two views.

    All start from one short pretraining on classes that the task does not have.
    """
    other_classes = given.photographs.task(setting.images, N_COMPARED, skip=N_COMPARED)
    recipe = replace(setting, epochs=given.scale.pretrain_epochs).recipe(crop_scale_min=0.5, lr=0.05)
    model = Training(other_classes, setting.backbone, N_COMPARED, recipe, given.device).trained(loops.machine_for(given.device))
    start = {name: tensor.cpu() for name, tensor in model.state_dict().items()}

    task = given.photographs.task(setting.images, N_COMPARED, N_EVAL)
    recipe = setting.recipe(freeze_backbone=True, crop_scale_min=0.5)
    exact = Training(task, setting.backbone, N_COMPARED, recipe, given.device, start)
    views = replace(exact, recipe=recipe.model_copy(update={"frozen_views": 2}))
    ways = {"ours, new crops in every epoch": exact.ours, "ours, features of views": views.ours}
    return _over_seeds("frozen", given, setting, exact, ways, ("ours, features of views", "plain loop, frozen", 12.0))


def _over_seeds(
    name: str, given: Given, setting: Setting, training: Training, ways: dict[str, Callable[..., float]], aim: Aim
) -> Found:
    """Train each way with each seed, interleaved; return the comparison of speeds and that of top-1, paired by seed.

    The reference is the plain loop, which gets its best number of workers.
    """
    seeds, reference, workers = [*range(given.scale.seeds)], aim[1], given.best_workers(partial(training.plain, epochs=1))
    ways = {reference: partial(training.plain, workers=workers)} | ways
    top1: dict[str, list[float]] = {way: [] for way in ways}
    n_images = len([*training.task.glob("val/*/*")])

    def next_seed(way: str) -> None:
        top1[way].append(ways[way](len(top1[way]) % len(seeds)))  # a profile asks again

    where = f"{setting}, {N_COMPARED} classes, {setting.images} images, {setting.epochs} epochs"
    effort, items = replace(given.effort, rounds=len(seeds), exactly=True), setting.images * setting.epochs + n_images
    notes = [f"a round is a seed, training and evaluation from files; {reference}: {workers} workers"]
    speeds = compare(name, where, {way: partial(next_seed, way) for way in ways}, items, effort, aim, notes=notes)
    top1 = {way: values[: len(seeds)] for way, values in top1.items()}
    accuracy = {"name": name, "setting": where, "reference": reference, "seeds": seeds, "images": n_images}
    accuracy |= {"top1": top1, "seed_sd": {way: statistics.stdev(values) for way, values in top1.items()}}
    accuracy["differences"] = {way: paired_difference(top1[way], top1[reference]) for way in ways if way != reference}
    return [speeds, accuracy]
