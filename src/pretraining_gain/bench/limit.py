"""(1) Our training epoch against the synthetic limit: the same step on one batch that already lies on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from pretraining_gain.bench.given import N_CLASSES, Given, is_large
from pretraining_gain.bench.measure import Contestant, Effort, compare
from pretraining_gain.bench.ours import Unkept, recipe_for
from pretraining_gain.bench.photographs import tiled
from pretraining_gain.bench.records import Comparison, Goal, Part
from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import ImageSet, training_batches
from pretraining_gain.compute.training import build_optimizer, train
from pretraining_gain.plan.recipes import Recipe

LIMIT, OURS, AT_LEAST = "one batch in memory", "ours", 0.97


def limit(given: Given) -> Part:
    return Part(comparisons=[_at(setting, given) for setting in given.scale.limits])


def _at(setting: Setting, given: Given) -> Comparison:
    data, recipe = _data(setting, given), recipe_for(setting)
    n_batches = len(data) // recipe.batch_size
    holder: dict[str, Any] = {}

    def build() -> None:
        holder.clear()
        given.machine.accelerator.free_memory()  # else accelerate keeps every model that it ever prepared
        holder["model"] = build_model(setting.backbone, N_CLASSES, seed=0)

    def epoch() -> None:
        train(holder["model"], data, recipe, seed=0, machine=given.machine, checkpoint=Unkept())

    def prepare() -> None:
        build()
        holder["steps"] = steps_on_one_batch(holder["model"], data, recipe, given.machine)

    def steps() -> None:
        for _ in range(n_batches):
            holder["steps"]()

    items = n_batches * recipe.batch_size
    return compare(
        "limit",
        [Contestant(LIMIT, steps, items, prepare), Contestant(OURS, epoch, items, build)],
        Effort(given.scale.limit_s, 2 * given.scale.rounds),
        setting=str(setting),
        reference=LIMIT,
        device=given.device,
        goals=[Goal(contestant=OURS, reference=LIMIT, at_least=AT_LEAST)],
        notes=[
            f"batch {recipe.batch_size}, {n_batches} batches; images are "
            + ("prepared JPEGs of 256 pixels on disk" if is_large(setting) else "uint8 in memory")
        ],
    )


def _data(setting: Setting, given: Given) -> ImageSet:
    """As a run of ours has them; in memory the same few are repeated."""
    if is_large(setting):
        return given.photographs.task(setting.images, N_CLASSES).packed("train", setting.resize_px)
    few = given.photographs.task(min(setting.images, 20 * N_CLASSES), N_CLASSES)
    return tiled(few.decoded("train", setting.resize_px), setting.images)


def steps_on_one_batch(model: torch.nn.Module, data: ImageSet, recipe: Recipe, machine: Machine) -> Callable[[], None]:
    """The step of training with all that is not the network taken away: a function that takes it once."""
    model = model.to(machine.accelerator.device).train()
    optimizer = build_optimizer(model.parameters(), recipe, machine.device)
    model, optimizer = machine.prepare(model, optimizer)
    images, labels, _ = next(iter(training_batches(data, recipe, 0, 0, machine.device)))

    def step() -> None:
        with machine.accelerator.autocast():
            loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        machine.accelerator.backward(loss)
        optimizer.step()

    return step
