"""Cached features of a frozen backbone train the same head as fresh images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import RECIPE, same, toy_pictures

from pretraining_gain.compute import features, machine
from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.compute.training import train
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.plan.recipes import Recipe

FROZEN = RECIPE.model_copy(update={"epochs": 4, "freeze_backbone": True})
WITHOUT_AUGMENTATION = {"crop_scale_min": 1.0, "flip": False}


@pytest.fixture(scope="module")
def pictures() -> ImageSet:
    data = toy_pictures()  # 49 of them make the last batch of 16 a single image
    return replace(data, images=torch.cat([data.images, data.images[:1]]), labels=torch.cat([data.labels, data.labels[:1]]),
                   image_ids=[*data.image_ids, "again"])  # fmt: skip


def trained(pictures: ImageSet, tmp_path, recipe: Recipe, every_s: float = 999, **given):
    tmp_path.mkdir(exist_ok=True)
    checkpoint = Checkpoint(tmp_path / "c.pt", "run", every_s=every_s)
    start = build_model("resnet10_w16", 8, 0)
    return train(start, pictures, recipe, seed=3, machine=this_machine(), checkpoint=checkpoint, **given)


def views(n: int, **changes) -> Recipe:
    return FROZEN.model_copy(update={"frozen_views": n} | changes)


def close(one, other) -> bool:
    """Equal weights up to the rounding of sums in another order, equal history."""
    heads = zip(one[0].state_dict().items(), other[0].state_dict().values(), strict=True)
    same_top1 = [entry["top1"] for entry in one[1]] == [entry["top1"] for entry in other[1]]
    return same_top1 and all(torch.allclose(mine, theirs, atol=1e-6) for (_, mine), theirs in heads)


def test_without_augmentation_one_view_gives_the_head_of_fresh_images(pictures, tmp_path):
    exact = trained(pictures, tmp_path / "exact", FROZEN.model_copy(update=WITHOUT_AUGMENTATION))
    cached = trained(pictures, tmp_path / "cached", views(1, **WITHOUT_AUGMENTATION))
    assert close(exact, cached)
    assert exact[1][-1]["loss"] < exact[1][0]["loss"]
    machine = this_machine()
    guesses = [evaluate(model, pictures, FROZEN, machine).predictions for model, _ in (exact, cached)]
    assert guesses[0] == guesses[1]


def test_as_many_views_as_epochs_give_the_head_of_fresh_images(pictures, tmp_path, monkeypatch):
    """Whatever the size of the batches in which the backbone computes them: 10 is none of the recipe's."""
    monkeypatch.setattr(features, "inference_batch_size", lambda size_px, device: 10)
    exact = trained(pictures, tmp_path / "exact", FROZEN)
    assert close(exact, trained(pictures, tmp_path / "four", views(4)))
    assert close(exact, trained(pictures, tmp_path / "more", views(9)))
    assert not close(exact, trained(pictures, tmp_path / "two", views(2)))


def test_the_backbone_sees_each_view_once_and_stays_as_it_was(pictures, tmp_path, monkeypatch):
    seen = []
    real = features.features_of
    monkeypatch.setattr(features, "features_of", lambda model, images: seen.append(len(images)) or real(model, images))
    before = build_model("resnet10_w16", 8, 0).state_dict()
    model, _ = trained(pictures, tmp_path, views(2))
    assert sum(seen) == 2 * len(pictures)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_an_interrupted_head_resumes_and_ends_the_same(pictures, tmp_path):
    whole, _ = trained(pictures, tmp_path / "whole", views(2))

    def stop(epoch):
        if epoch["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(pictures, tmp_path / "cut", views(2), every_s=0, on_epoch=stop)
    assert same(trained(pictures, tmp_path / "cut", views(2))[0].state_dict(), whole.state_dict())


def test_sigterm_while_features_are_computed_stops_the_run(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(machine.Machine, "got_sigterm", lambda self: True)
    with pytest.raises(Interrupted, match="while computing features"):
        trained(pictures, tmp_path, views(2))


def test_a_diverging_head_says_so(pictures, tmp_path):
    with pytest.raises(InputError, match="diverged in epoch"):
        trained(pictures, tmp_path, views(1, lr=1e38))
