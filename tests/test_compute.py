"""COMPUTE: batches, the training loop, evaluation, and the files that a run writes."""

from __future__ import annotations

import threading
from dataclasses import replace

import pandas as pd
import pytest
import torch
from conftest import RECIPE, same, toy_pictures

from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.evaluation import evaluate
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.machine import this_machine
from pretraining_gain.compute.models import build_model
from pretraining_gain.compute.pipeline import (
    ImageSet,
    augment,
    augment_by_image,
    draw_crops,
    evaluation_batches,
    training_batches,
)
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.training import lr_at, train
from pretraining_gain.compute.weights import read_weights
from pretraining_gain.errors import InputError
from pretraining_gain.plan.recipes import Recipe
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.weights import IMAGENET


@pytest.fixture(scope="module")
def pictures() -> ImageSet:
    return toy_pictures()


def trained(pictures: ImageSet, tmp_path, recipe: Recipe, backbone: str = "resnet10_w16"):
    tmp_path.mkdir(exist_ok=True)
    checkpoint = Checkpoint(tmp_path / "c.pt", "run", every_s=999)
    return train(build_model(backbone, 8, 0, 32), pictures, recipe, seed=0, machine=this_machine(), checkpoint=checkpoint)


def test_an_epoch_shows_each_image_once_in_another_order(pictures):
    labels = torch.cat([labels for _, labels, _ in training_batches(pictures, RECIPE, seed=0, epoch=0)])
    assert sorted(labels.tolist()) == sorted(pictures.labels.tolist())
    assert labels.tolist() != pictures.labels.tolist()


@pytest.mark.parametrize("normalisation", [IMAGENET, ((0.5, 0.4, 0.3), (0.5, 0.6, 0.7))])
def test_a_batch_is_normalised_float_and_channels_last(pictures, normalisation):
    whole = RECIPE.model_copy(update={"crop_scale_min": 1.0, "flip": False, "batch_size": len(pictures)})
    images, labels, n_images = next(training_batches(replace(pictures, normalisation=normalisation), whole, seed=0, epoch=0))
    assert (tuple(images.shape), images.dtype, n_images) == ((48, 3, 32, 32), torch.float32, len(labels))
    assert images.is_contiguous(memory_format=torch.channels_last)
    mean, std = torch.tensor(normalisation)
    _, evaluated = next(evaluation_batches(replace(pictures, normalisation=normalisation), RECIPE, "cpu", len(pictures)))
    by_hand = (pictures.images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert torch.allclose(evaluated, by_hand, atol=1e-5)
    expected = (pictures.images.double().mean((0, 2, 3)) / 255 - mean) / std
    assert torch.allclose(images.double().mean((0, 2, 3)), expected.double(), atol=1e-3)


def test_a_last_single_image_is_dropped(pictures):
    odd = ImageSet(pictures.images[:17], pictures.labels[:17], pictures.image_ids[:17])
    assert [len(labels) for _, labels, _ in training_batches(odd, RECIPE, 0, 0)] == [16]


def augmented(n: int, seed: int, recipe: Recipe = RECIPE) -> torch.Tensor:
    ramp = torch.arange(32.0).expand(n, 3, 32, 32).contiguous()
    return augment(ramp, draw_crops(n, recipe, torch.Generator().manual_seed(seed)), 32)


def test_augmentation_is_seeded_and_differs_between_images():
    one = augmented(6, seed=1)
    assert torch.equal(one, augmented(6, seed=1))
    assert not torch.equal(one, augmented(6, seed=2))
    assert len({tuple(image[0, 0].tolist()) for image in one}) == 6


def test_half_of_the_images_are_mirrored_or_none():
    mirrored = [bool(image[0, 0, 0] > image[0, 0, -1]) for image in augmented(120, seed=1)]
    assert 0.3 < sum(mirrored) / len(mirrored) < 0.7
    plain = augmented(120, seed=1, recipe=RECIPE.model_copy(update={"flip": False}))
    assert all(image[0, 0, 0] < image[0, 0, -1] for image in plain)


@pytest.mark.parametrize("way", [augment, augment_by_image])
def test_a_crop_is_the_part_of_the_image_that_was_drawn(way):
    """The left upper quarter, and the right lower one mirrored, of an image of 8 pixels."""
    image = torch.arange(64).view(1, 1, 8, 8).expand(2, 3, 8, 8).to(torch.uint8)
    crops = torch.tensor([[[0.5, -0.5], [0.5, -0.5]], [[-0.5, 0.5], [0.5, 0.5]]])
    left, right = way(image, crops, 4)
    assert torch.equal(left, image[0, :, :4, :4])
    assert torch.equal(right, image[1, :, 4:, 4:].flip(2))


def test_large_images_are_augmented_alike_image_by_image_and_in_one_batch():
    """On a CPU and on CUDA: on a smooth picture they differ by the rounding to pixels and bytes, a tenth of its contrast."""
    recipe = RECIPE.model_copy(update={"image_size_px": 112, "resize_px": 128, "crop_scale_min": 0.08})
    ramp = torch.arange(0, 256, 2, dtype=torch.uint8)
    across, down = ramp.expand(128, 128), ramp[:, None].expand(128, 128)
    images = torch.stack([across, down, across.flip(1)]).expand(40, -1, -1, -1)
    crops = draw_crops(40, recipe, torch.Generator().manual_seed(0))
    difference = (augment(images, crops, 112) - augment_by_image(images, crops, 112)).abs()
    assert difference.mean() < 1.5
    assert difference.max() < 6
    large = ImageSet(images, torch.zeros(40, dtype=torch.int64), ["a"] * 40)
    batch, _, _ = next(training_batches(large, recipe.model_copy(update={"batch_size": 40}), 0, 0))
    assert (batch.dtype, batch.shape[2:]) == (torch.float32, (112, 112))
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_crops_keep_the_area_and_the_aspect_that_the_recipe_allows():
    crops = draw_crops(20_000, RECIPE, torch.Generator().manual_seed(0))
    width, height = crops[:, :, 0].abs().unbind(1)
    assert RECIPE.crop_scale_min <= (width * height).min() <= (width * height).max() <= 1.0001
    assert 3 / 4 - 1e-4 <= (width / height).min() <= (width / height).max() <= 4 / 3 + 1e-4
    assert (width * height).mean() == pytest.approx((1 + RECIPE.crop_scale_min) / 2, abs=0.01)
    assert crops.abs().sum(2).max() <= 1.0001  # extent and centre together stay within the image


def test_a_batch_is_the_same_from_any_batch_on(pictures):
    whole = list(training_batches(pictures, RECIPE, seed=3, epoch=1))
    later = list(training_batches(pictures, RECIPE, seed=3, epoch=1, first=2))
    assert len(later) == len(whole) - 2
    assert torch.equal(later[0][0], whole[2][0])
    other = list(training_batches(pictures, RECIPE, seed=3, epoch=2))
    assert other[0][1].tolist() != whole[0][1].tolist()


@pytest.mark.parametrize("rank", range(3))
def test_processes_share_a_batch(pictures, rank):
    whole = training_batches(pictures, RECIPE, seed=3, epoch=1)
    for (images, labels, n), all_of_it in zip(training_batches(pictures, RECIPE, 3, 1, part=(rank, 3)), whole, strict=True):
        assert torch.equal(images, all_of_it[0][rank::3])
        assert torch.equal(labels, all_of_it[1][rank::3])
        assert n == len(all_of_it[1])


class Stored:
    """Images on disk; counts batches read, and can fail at one of them."""

    def __init__(self, images: torch.Tensor, fails_at: int = 999) -> None:
        self.images, self.shape, self.fails_at = images, tuple(images.shape), fails_at
        self.n_read, self.has_read = 0, threading.Condition()

    def __getitem__(self, positions: torch.Tensor) -> torch.Tensor:
        with self.has_read:
            self.n_read += 1
            self.has_read.notify_all()
        if self.n_read > self.fails_at:
            raise InputError("pack 4 is damaged")
        return self.images[positions]


def test_stored_images_are_prefetched_and_give_the_batches_of_those_in_memory(pictures):
    stored = Stored(pictures.images)
    pairs = zip(
        training_batches(replace(pictures, images=stored), RECIPE, 3, 1), training_batches(pictures, RECIPE, 3, 1), strict=True
    )
    for number, (one, other) in enumerate(pairs):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
        with stored.has_read:  # nobody asks for the next batch yet, and it is read
            assert stored.has_read.wait_for(lambda: stored.n_read >= min(number + 2, 3), timeout=600)  # noqa: B023


def test_an_error_of_the_prefetching_thread_is_raised(pictures):
    data = replace(pictures, images=Stored(pictures.images, fails_at=4))
    with pytest.raises(InputError, match="pack 4 is damaged"):
        list(training_batches(data, RECIPE.model_copy(update={"batch_size": 4}), 0, 0))


def test_a_loop_that_ends_early_reads_no_more(pictures):
    stored = Stored(pictures.images)
    batches = training_batches(replace(pictures, images=stored), RECIPE.model_copy(update={"batch_size": 4}), 0, 0)
    next(batches)
    before = threading.active_count()
    batches.close()
    assert threading.active_count() == before - 1  # the thread has ended
    assert stored.n_read <= 3


def test_evaluation_sees_the_central_crop_in_order():
    images = torch.zeros(5, 3, 40, 40, dtype=torch.uint8)
    images[:, :, 4:36, 4:36] = 255
    data = ImageSet(images, torch.arange(5), list("abcde"))
    seen = list(evaluation_batches(data, RECIPE, "cpu", 2))
    assert [(number, len(images)) for number, images in seen] == [(0, 2), (1, 2), (2, 1)]
    assert seen[0][1].shape == (2, 3, 32, 32)
    assert torch.all(seen[0][1] > 1)
    assert [number for number, _ in evaluation_batches(data, RECIPE, "cpu", 2, part=(1, 2))] == [1]


def test_schedule_is_torchs_step_schedule():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RECIPE.lr)
    steps = torch.optim.lr_scheduler.StepLR(optimizer, RECIPE.lr_step_epochs, gamma=0.1)
    for epoch in range(9):
        assert lr_at(RECIPE, epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        steps.step()


@pytest.mark.parametrize(
    ("stage", "epochs"), [("pretrain", (29, 30, 60)), ("inat_mini_animals", (19, 20, 40)), ("imagenet_animals", (4, 5, 10))]
)
def test_learning_rate_follows_the_papers_schedule(stage, epochs):
    study = load_study("paper")
    recipe = (study.pretrain if stage == "pretrain" else study.downstream(stage).recipe).resolve()
    assert [lr_at(recipe, epoch) for epoch in (0, *epochs)] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_training_learns_and_records_the_schedule(pictures, tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 12, "lr_step_epochs": 8})
    model, history = trained(pictures, tmp_path, recipe)
    assert [entry["lr"] for entry in history] == [lr_at(recipe, epoch) for epoch in range(12)]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    predictions = evaluate(model, pictures, recipe, this_machine())
    assert predictions.top1 > 0.6
    assert predictions.image_ids == pictures.image_ids


def test_training_leaves_torchs_random_numbers_alone_and_does_not_depend_on_them(pictures, tmp_path):
    """Also of a network with dropout."""
    ends = []
    for number in range(2):
        torch.manual_seed(number)
        before = torch.random.get_rng_state()
        ends.append(trained(pictures, tmp_path / str(number), RECIPE, "efficientnet_b0")[0].state_dict())
        assert torch.equal(before, torch.random.get_rng_state())
    assert same(*ends)


@pytest.mark.parametrize("batchnorm", ["eval", "train"])
def test_a_frozen_backbone_stays_as_it_was(pictures, tmp_path, batchnorm):
    recipe = RECIPE.model_copy(update={"freeze_backbone": True, "frozen_batchnorm": batchnorm})
    before, after = build_model("resnet10_w16", 8, 0).state_dict(), trained(pictures, tmp_path, recipe)[0].state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    statistics = {name for name in before if "running_" in name or "num_batches" in name}
    assert changed == {"fc.weight", "fc.bias"} | (statistics if batchnorm == "train" else set())


def test_a_diverging_training_says_so(pictures, tmp_path):
    with pytest.raises(InputError, match=r"diverged in epoch .* smaller lr"):
        trained(pictures, tmp_path, RECIPE.model_copy(update={"lr": 1e12, "epochs": 20}))


def test_stages_write_record_weights_and_predictions(results, small_study):
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    start, record = pretrain(run.pretraining), finetune(run)
    assert start["source_class_ids"] == list(run.subset.class_ids)
    assert start["train_images"] == 32
    table = pd.read_csv(run.predictions_path)
    assert list(table) == ["image_id", "label", "prediction"]
    assert len(table) == record["eval_images"] == 24 * 5
    assert record["top1"] == pytest.approx((table["label"] == table["prediction"]).mean())
    assert record["fingerprint"] == run.fingerprint
    assert record["pretraining"] == f"animal-k4-s0-resnet10_w16.{run.pretraining.fingerprint}"
    assert {"device", "devices", "precision", "threads", "torch", "timm"} <= record["machine"].keys()
    assert not run.checkpoint_path.exists()


def test_a_finished_run_is_not_done_again(results, small_study):
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    before = pretrain(run.pretraining), finetune(run)
    times = [path.stat().st_mtime_ns for path in (run.record_path, run.pretraining.weights_path)]
    assert (pretrain(run.pretraining), finetune(run)) == before
    assert times == [path.stat().st_mtime_ns for path in (run.record_path, run.pretraining.weights_path)]


def test_missing_weights_are_made_again_the_same(results, small_study):
    run = Run(study=small_study, pool="animal", k=4)
    record, weights = pretrain(run), read_weights(run)
    run.weights_path.unlink()
    assert pretrain(run) == record
    assert same(read_weights(run), weights)


@pytest.mark.parametrize(("keep", "said"), [(0, r"cannot be read .*run 01_pretrain"), (1000, "safetensors cannot be read")])
def test_finetuning_without_whole_weights_is_refused(results, small_study, keep, said):
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    if keep:
        pretrain(run.pretraining)
        run.pretraining.weights_path.write_bytes(run.pretraining.weights_path.read_bytes()[:keep])
    with pytest.raises(InputError, match=said):
        finetune(run)
    assert not run.record_path.exists()
    assert not run.predictions_path.exists()
