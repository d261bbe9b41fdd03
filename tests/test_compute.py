"""COMPUTE: networks, batches, the loop, evaluation, and runs that end the same however often they are killed."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pandas as pd
import pytest
import torch
from conftest import RECIPE, same, toy_pictures

from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import BACKBONES, build_model, freeze_backbone, load_backbone
from pretraining_gain.compute.pipeline import ImageSet, augment, draw_crops, evaluation_batches, training_batches
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.records import read_weights
from pretraining_gain.compute.training import train
from pretraining_gain.errors import InputError
from pretraining_gain.plan import studies
from pretraining_gain.plan.recipes import Recipe, lr_at
from pretraining_gain.plan.runs import Run


@pytest.fixture(scope="module")
def pictures() -> ImageSet:
    return toy_pictures()


def test_plan_and_compute_know_the_same_backbones():
    assert set(BACKBONES) == set(studies.BACKBONES)


@pytest.mark.parametrize("backbone", ["resnet50", "resnet18", "resnet10_w16"])
def test_networks_are_built_from_the_seed_alone(backbone):
    before = torch.random.get_rng_state()
    one, other = build_model(backbone, 7, seed=5), build_model(backbone, 7, seed=5)
    assert torch.equal(before, torch.random.get_rng_state())
    assert same(one.state_dict(), other.state_dict())
    assert not same(one.state_dict(), build_model(backbone, 7, seed=6).state_dict())
    wide = build_model(backbone, 9, seed=5).state_dict()
    assert torch.equal(one.state_dict()["conv1.weight"], wide["conv1.weight"])
    assert one.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 7)


def test_loading_a_backbone_drops_the_head_and_nothing_else():
    source, target = build_model("resnet10_w16", 7, seed=1), build_model("resnet10_w16", 9, seed=2)
    head = target.fc.weight.clone()
    load_backbone(target, source.state_dict(), "weights.safetensors")
    assert torch.equal(target.fc.weight, head)
    body = {name: tensor for name, tensor in target.state_dict().items() if not name.startswith("fc.")}
    assert same(body, {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("fc.")})


@pytest.mark.parametrize("other", ["resnet18", "resnet10_w32"])
def test_loading_another_backbone_is_refused(other):
    weights = build_model(other, 7, seed=1).state_dict()
    with pytest.raises(InputError, match=r"weights\.safetensors: weights are of another backbone"):
        load_backbone(build_model("resnet10_w16", 7, seed=1), weights, "weights.safetensors")


def test_an_epoch_shows_each_image_once_as_normalised_channels_last_floats(pictures):
    batches = list(training_batches(pictures, RECIPE, seed=0, epoch=0))
    labels = torch.cat([labels for _, labels, _ in batches])
    assert sorted(labels.tolist()) == sorted(pictures.labels.tolist())
    assert labels.tolist() != pictures.labels.tolist()
    images = batches[0][0]
    assert images.shape == (16, 3, 32, 32) and images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert -3 < images.mean() < 3 and 0.3 < images.std() < 2


def test_a_last_single_image_is_left_out(pictures):
    odd = ImageSet(pictures.images[:17], pictures.labels[:17], pictures.image_ids[:17])
    sizes = [len(labels) for _, labels, _ in training_batches(odd, RECIPE, 0, 0)]
    assert sizes == [16]


def test_augmentation_is_by_image_and_seeded():
    def augmented(n: int, seed: int, recipe: Recipe = RECIPE) -> torch.Tensor:
        ramp = torch.arange(32.0).expand(n, 3, 32, 32).contiguous()
        return augment(ramp, draw_crops(n, recipe, torch.Generator().manual_seed(seed)), 32)

    one = augmented(6, seed=1)
    assert torch.equal(one, augmented(6, seed=1)) and not torch.equal(one, augmented(6, seed=2))
    assert len({tuple(image[0, 0].tolist()) for image in one}) == 6
    assert one.min() >= 0 and one.max() <= 31
    mirrored = [bool(image[0, 0, 0] > image[0, 0, -1]) for image in augmented(120, seed=1)]
    assert 0.3 < sum(mirrored) / len(mirrored) < 0.7
    plain = augmented(6, seed=1, recipe=RECIPE.model_copy(update={"flip": False}))
    assert all(image[0, 0, 0] < image[0, 0, -1] for image in plain)


def test_a_crop_of_the_whole_image_is_the_image(pictures):
    whole = RECIPE.model_copy(update={"crop_scale_min": 1.0, "flip": False})
    images = pictures.images[:5].float()
    crops = draw_crops(5, whole, torch.Generator().manual_seed(1))
    assert torch.allclose(augment(images, crops, 32), images, atol=1e-3)


def test_a_crop_is_the_part_of_the_image_that_was_drawn():
    """The left upper quarter, and the right lower one mirrored, of an image of 8 pixels."""
    image = torch.arange(64.0).view(1, 1, 8, 8).expand(2, 3, 8, 8).contiguous()
    crops = torch.tensor([[[0.5, -0.5], [0.5, -0.5]], [[-0.5, 0.5], [0.5, 0.5]]])
    left, right = augment(image, crops, 4)
    assert torch.equal(left, image[0, :, :4, :4]) and torch.equal(right, image[1, :, 4:, 4:].flip(2))


def test_crops_keep_the_area_and_the_aspect_that_the_recipe_allows():
    crops = draw_crops(20_000, RECIPE, torch.Generator().manual_seed(0))
    width, height = crops[:, :, 0].abs().unbind(1)
    assert RECIPE.crop_scale_min <= (width * height).min() and (width * height).max() <= 1.0001
    assert (width / height).min() >= 3 / 4 - 1e-4 and (width / height).max() <= 4 / 3 + 1e-4
    assert (width * height).mean() == pytest.approx((1 + RECIPE.crop_scale_min) / 2, abs=0.01)
    assert crops.abs().sum(2).max() <= 1.0001  # extent and centre together stay within the image


def test_a_batch_is_the_same_from_whichever_batch_on_and_however_many_share_it(pictures):
    whole = list(training_batches(pictures, RECIPE, seed=3, epoch=1))
    later = list(training_batches(pictures, RECIPE, seed=3, epoch=1, first=2))
    assert len(later) == len(whole) - 2 and torch.equal(later[0][0], whole[2][0])
    other = list(training_batches(pictures, RECIPE, seed=3, epoch=2))
    assert other[0][1].tolist() != whole[0][1].tolist()
    for rank in range(3):
        for part, batch in zip(training_batches(pictures, RECIPE, 3, 1, part=(rank, 3)), whole, strict=True):
            assert torch.equal(part[0], batch[0][rank::3]) and torch.equal(part[1], batch[1][rank::3])
            assert part[2] == len(batch[1])


class Stored:
    """Images on disk, as a data set has them: notes when a batch is read."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images, self.shape, self.read = images, tuple(images.shape), []

    def __getitem__(self, positions: torch.Tensor) -> torch.Tensor:
        if len(self.read) == 4:
            raise InputError("pack 4 is damaged")
        self.read.append(len(positions))
        return self.images[positions]


def test_stored_images_are_read_ahead_and_give_the_batches_of_those_in_memory(pictures):
    stored = Stored(pictures.images)
    data = replace(pictures, images=stored)
    pairs = zip(training_batches(data, RECIPE, 3, 1), training_batches(pictures, RECIPE, 3, 1), strict=True)
    for number, (one, other) in enumerate(pairs):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
        deadline = time.monotonic() + 300
        while len(stored.read) < min(number + 2, 3) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(stored.read) >= min(number + 2, 3)  # the next batch is read while this one is worked on


def test_what_goes_wrong_while_reading_ahead_is_said_and_a_loop_that_ends_early_reads_no_more(pictures):
    stored = Stored(pictures.images)
    recipe = RECIPE.model_copy(update={"batch_size": 4})
    data = replace(pictures, images=stored)
    with pytest.raises(InputError, match="pack 4 is damaged"):
        list(training_batches(data, recipe, 0, 0))
    stored.read.clear()
    threads = set(threading.enumerate())
    batches = training_batches(data, recipe, 0, 0)
    next(batches)
    batches.close()
    assert set(threading.enumerate()) == threads, "nothing is left to read"
    assert len(stored.read) <= 3


def test_evaluation_sees_the_central_crop_in_order(pictures):
    images = torch.zeros(5, 3, 40, 40, dtype=torch.uint8)
    images[:, :, 4:36, 4:36] = 255
    data = ImageSet(images, torch.arange(5), list("abcde"))
    seen = list(evaluation_batches(data, RECIPE, batch_size=2))
    assert [(number, len(images)) for number, images in seen] == [(0, 2), (1, 2), (2, 1)]
    assert seen[0][1].shape == (2, 3, 32, 32) and torch.all(seen[0][1] > 1)
    assert [number for number, _ in evaluation_batches(data, RECIPE, batch_size=2, part=(1, 2))] == [1]


def test_schedule_is_torchs_step_schedule():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RECIPE.lr)
    steps = torch.optim.lr_scheduler.StepLR(optimizer, RECIPE.lr_step_epochs, gamma=0.1)
    for epoch in range(9):
        assert lr_at(RECIPE, epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        steps.step()


def test_training_learns_and_records_the_schedule(pictures, tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 12, "lr_step_epochs": 8})
    model, history = train(
        build_model("resnet10_w16", 8, 0),
        pictures,
        recipe,
        seed=0,
        machine=this_machine(),
        checkpoint=Checkpoint(tmp_path / "c.pt", "run", every_s=0),
    )
    assert [entry["lr"] for entry in history] == [lr_at(recipe, epoch) for epoch in range(12)]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    predictions = evaluate(model, pictures, recipe, this_machine())
    assert predictions.top1 > 0.6 and predictions.image_ids == pictures.image_ids


@pytest.mark.parametrize("batchnorm", ["eval", "train"])
def test_a_frozen_backbone_stays_as_it_was(pictures, tmp_path, batchnorm):
    recipe = RECIPE.model_copy(update={"freeze_backbone": True, "frozen_batchnorm": batchnorm})
    start = build_model("resnet10_w16", 8, 0)
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    checkpoint = Checkpoint(tmp_path / "c.pt", "run", every_s=0)
    after = train(start, pictures, recipe, seed=0, machine=this_machine(), checkpoint=checkpoint)[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if "running_" in name or "num_batches" in name}
    assert changed == {"fc.weight", "fc.bias"} | (statistics if batchnorm == "train" else set())


def test_only_the_head_is_trainable_when_frozen():
    model = build_model("resnet18", 4, 0)
    freeze_backbone(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]


def test_a_diverging_training_says_so(pictures, tmp_path):
    recipe = RECIPE.model_copy(update={"lr": 1e12, "epochs": 20})
    with pytest.raises(InputError, match=r"diverged in epoch .* smaller lr"):
        train(
            build_model("resnet10_w16", 8, 0),
            pictures,
            recipe,
            seed=0,
            machine=this_machine(),
            checkpoint=Checkpoint(tmp_path / "c.pt", "run", every_s=0),
        )


def test_stages_write_record_weights_and_predictions(results, small_study):
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    start = pretrain(run.pretraining)
    assert start["source_class_ids"] == list(run.subset.class_ids) and start["train_images"] == 32
    record = finetune(run)
    table = pd.read_csv(run.predictions_path)
    assert list(table) == ["image_id", "label", "prediction"]
    assert len(table) == record["eval_images"] == 24 * 5
    assert record["top1"] == pytest.approx((table["label"] == table["prediction"]).mean())
    assert record["fingerprint"] == run.fingerprint and record["pretraining"].startswith("animal-k4-s0")
    assert not run.checkpoint_path.exists()
    times = run.record_path.stat().st_mtime_ns, run.pretraining.weights_path.stat().st_mtime_ns
    assert finetune(run) == record and pretrain(run.pretraining) == start
    assert times == (run.record_path.stat().st_mtime_ns, run.pretraining.weights_path.stat().st_mtime_ns)


def test_missing_weights_are_made_again_the_same(results, small_study):
    run = Run(study=small_study, pool="animal", k=4)
    record = pretrain(run)
    weights = read_weights(run)
    run.weights_path.unlink()
    assert pretrain(run) == record
    assert same(read_weights(run), weights)


def test_finetuning_without_weights_or_with_damaged_ones_says_so(results, small_study):
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    with pytest.raises(InputError, match=r"cannot be read .*run 01_pretrain"):
        finetune(run)
    pretrain(run.pretraining)
    run.pretraining.weights_path.write_bytes(run.pretraining.weights_path.read_bytes()[:1000])
    with pytest.raises(InputError, match="safetensors cannot be read"):
        finetune(run)
    assert not run.record_path.exists() and not run.predictions_path.exists()


