"""Images: folders of real files, splits, and broken files."""

from __future__ import annotations

import io
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageOps

from pretraining_gain.compute.images import decoding, load_images
from pretraining_gain.compute.images import folder as image_folder
from pretraining_gain.datasets import caltech101, dataset_names
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table


def test_datasets_are_the_modules():
    assert dataset_names() == ["caltech101", "cifar10", "folder", "imagenet1k", "inat2021", "toy"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of `cifar-10/train` with four PNG files each."""
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    train = tmp_path / "data" / "cifar-10" / "train"
    for name in ("bird", "cat"):
        (train / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(train / name / f"{i:04d}.png")
    return train


def load():
    images = load_study("mini").source.model_copy(update={"train_images_per_class": 3})
    return load_images(images, load_class_table("cifar10").loc[[2, 3]], "train", 32)


def test_a_folder_is_read_in_order_and_up_to_the_limit(folder):
    data = load()
    assert data.image_ids == [f"train/{name}/{i:04d}.png" for name in ("bird", "cat") for i in range(3)]
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    first = np.asarray(Image.open(folder / "bird" / "0000.png"))
    assert np.array_equal(data.images[0].permute(1, 2, 0).numpy(), first)


def test_decoding_happens_once_and_again_when_a_file_changes(folder, monkeypatch):
    decoder = Mock(wraps=image_folder.decode)
    monkeypatch.setattr(image_folder, "decode", decoder)
    one, other = load(), load()
    assert decoder.call_count == 6
    assert one.content_hash() == other.content_hash()
    Image.new("RGB", (32, 32)).save(folder / "cat" / "0001.png")
    assert load().content_hash() != one.content_hash()
    assert decoder.call_count == 9


TURNED, UPRIGHT = Image.Exif(), Image.Exif()
TURNED[0x0112], UPRIGHT[0x0112] = 6, 1


def jpeg(pixels: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_wide_picture_becomes_its_central_square_in_rgb(mode):
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = 255  # the central square is white
    pixels = decoding.decode(jpeg(wide, mode), 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels[:, 2:-2].min() > 220


def test_a_turned_picture_becomes_upright():
    half = np.zeros((32, 32, 3), dtype=np.uint8)
    half[:16] = 255  # white above; stored turned by 90 degrees, as EXIF says
    pixels = decoding.decode(jpeg(np.rot90(half), exif=TURNED), 16)
    assert pixels[:6].min() > 200
    assert pixels[-6:].max() < 55


@pytest.mark.parametrize("size_px", [8, 32, 64, 100, 256])
def test_a_jpeg_decoded_at_a_fraction_of_its_size_looks_as_pillow_has_it(size_px):
    """Smooth pictures, larger and smaller than what is asked for, in colour and grey; of odd sizes, a little askew."""
    y, x = np.mgrid[0:208, 0:304] / 40
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], 2)
    colour = Image.fromarray(np.uint8(127 + 100 * waves))
    odd = colour.crop((0, 0, 301, 201))
    for image, mean in ((colour, 1), (colour.convert("L"), 1), (colour.crop((0, 0, 96, 128)), 1), (odd, 8)):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=92)
        fast, wanted = decoding.decode(file.getvalue(), size_px), ImageOps.fit(
            Image.open(file).convert("RGB"), (size_px, size_px), method=Image.Resampling.BICUBIC
        )  # fmt: skip
        difference = np.abs(fast.astype(int) - np.asarray(wanted))
        assert fast.shape == (size_px, size_px, 3)
        assert difference.mean() < mean


GREY = np.full((40, 50, 3), 200, dtype=np.uint8)
LEFT = {"cut": jpeg(GREY)[:300], "CMYK": jpeg(GREY, "CMYK"), "turned": jpeg(GREY, exif=TURNED), "none": b"\xff\xd8\xff"}
TAKEN = [jpeg(GREY), jpeg(GREY, exif=UPRIGHT), jpeg(GREY, "L"), jpeg(GREY, progressive=True)]


@pytest.mark.parametrize("content", LEFT.values(), ids=LEFT)
def test_what_the_fast_decoder_does_not_take_is_left_to_pillow(content):
    assert decoding._decode_jpeg(content, 16) is None


@pytest.mark.parametrize("content", TAKEN, ids=["plain", "upright", "grey", "progressive"])
def test_the_fast_decoder_takes_plain_jpegs(content):
    assert decoding._decode_jpeg(content, 16).shape == (20, 25, 3)


def test_a_jpeg_that_is_cut_off_is_an_error():
    with pytest.raises(OSError, match="Truncated"):
        decoding.decode(LEFT["cut"], 16)


def test_caltechs_split_is_twenty_to_train_and_up_to_fifty_of_the_rest(photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path))
    images = load_study("mini").downstreams[0].images
    table = load_class_table("caltech101_animals")
    for row in table[table["key"].isin(["cougar", "wild_cat", "leopard"])].to_dict("records"):
        train, held_out = (caltech101.load_class(images, row, split, 32)[1] for split in ("train", "eval"))
        total = sum(
            len(list((photographs / "caltech-101/101_ObjectCategories" / name).iterdir()))
            for name in row["folders"].split(";")
        )
        assert len(train) == 20
        assert len(held_out) == min(50, total - 20)
        assert not set(train) & set(held_out)
