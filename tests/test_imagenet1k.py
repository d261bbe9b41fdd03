"""ImageNet-1K in its official layouts: what is read, and what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from official import ODD, first_validation_image, make_devkit, make_imagenet, patches, put
from refusal import refused

from pretraining_gain import prepare
from pretraining_gain.compute.images import load_images
from pretraining_gain.datasets import imagenet1k
from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("official") / "imagenet1k"
    make_imagenet(root)
    return root


TABLE = load_class_table("imagenet1k")
WNIDS = list(TABLE["key"][:12])


@pytest.fixture
def few(imagenet, tmp_path, monkeypatch) -> Path:
    """The first twelve classes of ImageNet, to be damaged at will."""
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    folder = tmp_path / "imagenet1k"
    for part in ("val", *(f"train/{wnid}" for wnid in WNIDS)):
        shutil.copytree(imagenet / part, folder / part)
    return folder


def listed(split: str, n_train: int = 2, n_eval: int = 1) -> list[list[str]]:
    """Ids of the images of the first twelve classes."""
    images = load_study("paper").source
    images = images.model_copy(update={"train_images_per_class": n_train, "eval_images_per_class": n_eval})
    found = imagenet1k.list_originals(images, TABLE[:12], split)
    return [[image_id for image_id, _ in paths] for paths in found]


def test_training_images_are_found_by_wnid_not_by_the_order_of_folders(few):
    (few / "train" / "a_folder_that_sorts_first").mkdir()
    put(few / "train" / WNIDS[0] / f"._{WNIDS[0]}_0.JPEG", b"of macOS")
    assert listed("train") == [[f"train/{wnid}/{wnid}_{i}.JPEG" for i in (0, 1)] for wnid in WNIDS]


def test_the_three_layouts_of_val_mean_the_same_classes(few):
    first = first_validation_image()
    expected = [f"ILSVRC2012_val_{first[label]:08d}.JPEG" for label in range(12)]
    by_package = listed("eval")
    make_devkit(few)
    assert by_package == listed("eval") == [[f"val/{name}"] for name in expected]
    for name, wnid in zip(expected, WNIDS, strict=True):
        put(few / "val" / wnid / name, (few / "val" / name).read_bytes())
    for path in (few / "val").glob("*.JPEG"):
        path.unlink()
    assert listed("eval") == [[f"val/{wnid}/{name}"] for name, wnid in zip(expected, WNIDS, strict=True)]


def test_the_devkit_decides_where_it_and_the_package_differ(few):
    """With another ground truth, image 1 is of another class."""
    make_devkit(few)
    truth = few / "ILSVRC2012_devkit_t12" / "data" / "ILSVRC2012_validation_ground_truth.txt"
    labels = truth.read_text().split()
    labels[first_validation_image()[0] - 1] = "999"  # this devkit's number of class 1
    truth.write_text("\n".join(labels))
    with pytest.raises(InputError, match=r"1 of 12 classes .*: n01440764 \(0 of at least 1\)"):
        listed("eval")


@pytest.mark.parametrize("damage", ["meta.mat", "ILSVRC2012_validation_ground_truth.txt"])
def test_a_damaged_devkit_is_named(few, damage):
    make_devkit(few)
    (few / "ILSVRC2012_devkit_t12" / "data" / damage).write_bytes(b"not a number\n" * 20)
    with pytest.raises(InputError, match=f"{damage} cannot be read"):
        listed("eval")


def test_missing_and_half_extracted_classes_are_listed(few):
    shutil.rmtree(few / "train" / "n01440764")
    (few / "train" / "n01443537" / "n01443537_1.JPEG").unlink()
    with refused("imagenet1k/train: 2 of 12 classes", "n01440764 (0 of", "n01443537 (1 of at least 2)", unchanged=few):
        listed("train")


def test_the_devkit_knows_how_many_images_a_class_has(few):
    make_devkit(few, n_train=3)
    with pytest.raises(InputError, match=r"12 of 12 classes .*n01440764 \(2 of at least 3\)"):
        listed("train", n_train=1300)


def test_without_the_devkit_the_total_shows_that_images_are_missing(imagenet, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(imagenet.parent))
    monkeypatch.setattr(imagenet1k, "SMALLEST_CLASS", 2)
    images = load_study("paper").source
    monkeypatch.setattr(imagenet1k, "ALL_TRAINING_IMAGES", 2000)
    assert sum(map(len, imagenet1k.list_originals(images, TABLE, "train"))) == 2000
    monkeypatch.setattr(imagenet1k, "ALL_TRAINING_IMAGES", 2001)
    with pytest.raises(InputError, match=r"train has 2,000 images, the official training set 2,001"):
        imagenet1k.list_originals(images, TABLE, "train")


def test_odd_files_are_packed_upright_and_in_colour(few, monkeypatch):
    """Each odd file shows what its patches show: as plain JPEG, or, in gray, their brightness."""
    monkeypatch.setenv("PRETRAINING_GAIN_PREPARED", str(few.parent / "prepared"))
    images = load_study("paper").source.model_copy(update={"train_images_per_class": 2})
    part = prepare.Part(images, "train", 32)
    monkeypatch.setattr(prepare.Part, "rows", lambda self: TABLE[:12])
    prepare._make_packs(part, workers=2)
    loaded = load_images(images, TABLE[:12], "train", 32)
    assert loaded.images.shape == (24, 3, 32, 32)
    assert loaded.labels.tolist() == [i for i in range(12) for _ in (0, 1)]
    for position, (wnid, kind) in enumerate(ODD.items()):
        assert loaded.image_ids[2 * position] == f"train/{wnid}/{wnid}_0.JPEG"
        found = loaded.images[torch.tensor([2 * position])][0].permute(1, 2, 0).numpy().astype(int)
        mode = "L" if kind == "grayscale" else "RGB"
        upright = patches(10 * position).resize((48, 40)).convert(mode).convert("RGB")
        plain = np.asarray(upright.crop((4, 0, 44, 40)).resize((32, 32))).astype(int)
        assert np.abs(found - plain).mean() < 8 < np.abs(np.rot90(found) - plain).mean(), kind
