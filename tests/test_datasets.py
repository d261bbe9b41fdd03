"""Images: folders of real files, splits, and broken files."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from official import put
from PIL import Image, ImageOps
from test_bad_images import load

from pretraining_gain.compute.images import decoding, load_images
from pretraining_gain.compute.images import folder as image_folder
from pretraining_gain.datasets import caltech101, cub100, dataset_names, find_dataset, tiny_imagenet
from pretraining_gain.errors import InputError
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table


def test_datasets_are_the_modules():
    names = ["caltech101", "cifar10", "cub100", "folder", "imagenet1k", "inat2021", "tiny_imagenet", "toy"]
    assert dataset_names() == names


def test_a_folder_is_read_in_order_and_up_to_the_limit(bird):
    data = load()
    assert data.image_ids == [f"train/{name}/{i:04d}.png" for name in ("bird", "cat") for i in range(3)]
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    first = np.asarray(Image.open(bird / "0000.png"))
    assert np.array_equal(data.images[0].permute(1, 2, 0).numpy(), first)


def test_decoding_happens_once_and_again_when_a_file_changes(bird, monkeypatch):
    decoder = Mock(wraps=image_folder.read_image)
    monkeypatch.setattr(image_folder, "read_image", decoder)
    one, other = load(), load()
    assert decoder.call_count == 6
    assert one.content_hash() == other.content_hash()
    Image.new("RGB", (32, 32)).save(bird.with_name("cat") / "0001.png")
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


QUARTERS = np.kron(np.uint8([[0, 80], [160, 255]]), np.ones((24, 32), np.uint8))  # which side is up shows
XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
#: Other tags that cameras write wrongly: a width of one third, a resolution that is no number, a fraction of nothing.
ODD_TAGS = [(0x0100, 5, struct.pack("<II", 1, 3)), (0x011A, 12, struct.pack("<d", float("nan"))), (0x011B, 5, bytes(8))]


def exif(orientation: int, kind: int, odd: int | None) -> bytes:
    """Camera data with the orientation as a number of `kind` (1, 3 or 4), and one odd tag."""
    entries = [struct.pack("<HHI", 0x0112, kind, 1) + orientation.to_bytes(4, "little")]
    value = b""
    if odd is not None:
        tag, of_kind, value = ODD_TAGS[odd]
        entries.append(struct.pack("<HHII", tag, of_kind, 1, 10 + 2 * 12 + 4))
    entries.sort()
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + value


def with_segments(content: bytes, segments: list[tuple[int, bytes]]) -> bytes:
    """Insert segments (marker, data) behind the first two bytes of a JPEG."""
    return content[:2] + b"".join(bytes([255, m]) + struct.pack(">H", len(d) + 2) + d for m, d in segments) + content[2:]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 9), st.sampled_from([1, 3, 4]), st.none() | st.integers(0, 2), st.none() | st.integers(1, 8), st.randoms(),
    st.lists(st.sampled_from([(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(65_000)), (0xFE, b"Exif\0\0 of old"),
                              (0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)), (0xED, b"Photoshop 3.0\0")]), max_size=4),
)  # fmt: skip
def test_both_decoders_set_every_jpeg_upright_as_pillow_does(orientation, kind, odd, in_xmp, random, others):
    """Exif in front of or behind any other segments, more than 64 kB of them too, and with other tags out of order."""
    segments = [(0xE1, exif(orientation, kind, odd)), *others]
    segments += [(0xE1, XMP % in_xmp)] if in_xmp else []
    random.shuffle(segments)
    plain = jpeg(QUARTERS, "L")
    content = with_segments(plain, segments)
    with Image.open(io.BytesIO(content)) as image:
        stated = image.getexif().get(0x0112)
    turned = Image.open(io.BytesIO(with_segments(plain, [(0xE1, exif(stated if isinstance(stated, int) else 1, 3, None))])))
    wanted = np.asarray(ImageOps.fit(ImageOps.exif_transpose(turned).convert("RGB"), (16, 16)))
    assert np.abs(decoding.decode(content, 16).astype(int) - wanted).mean() < 12


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
CUT_OFF = jpeg(GREY)[:300]
LEFT = [CUT_OFF, jpeg(GREY, "CMYK"), jpeg(GREY, exif=TURNED), b"\xff\xd8\xff"]
TAKEN = [jpeg(GREY), jpeg(GREY, exif=UPRIGHT), jpeg(GREY, "L"), jpeg(GREY, progressive=True)]


def test_the_fast_decoder_takes_plain_jpegs_and_leaves_others_to_pillow():
    assert [decoding._decode_jpeg(content, 16) for content in LEFT] == [None] * 4
    assert [decoding._decode_jpeg(content, 16).shape for content in TAKEN] == [(20, 25, 3)] * 4
    with pytest.raises(OSError, match="Truncated"):
        decoding.decode(CUT_OFF, 16)


@pytest.mark.parametrize("broken", [[], ["cougar_face/image_0001.jpg"]])
def test_caltechs_split_is_twenty_to_train_and_up_to_fifty_of_the_rest(tmp_path, monkeypatch, broken):
    """A broken file is replaced by another one, and no file is on both sides or among the near-duplicates."""
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    table = load_class_table("caltech101_animals")
    row = table[table["key"] == "cougar"].iloc[0].to_dict()
    root = tmp_path / "caltech-101" / "101_ObjectCategories"
    for name in [f"{folder}/image_{i:04d}.jpg" for folder in row["folders"].split(";") for i in range(1, 51)]:
        put(root / name, b"" if name in broken else jpeg(GREY))
    images = load_study("mini").downstreams[0].images.model_copy(update={"broken_images": "skip"})
    (_, train, skipped, _), (_, held_out, others, _) = (
        caltech101.load_class(images, row, split, 32) for split in ("train", "eval")
    )
    assert (len(train), len(held_out)) == (20, 50)
    assert not set(train) & set(held_out)
    assert not {*train, *held_out} & set(caltech101.near_duplicates(row["near_duplicates"]))
    assert set(skipped + others) <= set(broken)


def thumbnails(paths: list[Path]) -> np.ndarray:
    """Return each picture and its mirror image as normalised grey values: (2, N, 24 × 24)."""
    grey = np.stack([np.asarray(Image.open(path).convert("L").resize((24, 24), Image.Resampling.BOX), float) for path in paths])
    both = np.stack([grey, grey[:, :, ::-1]]).reshape(2, len(paths), -1)
    both -= both.mean(axis=2, keepdims=True)
    return both / np.linalg.norm(both, axis=2, keepdims=True)


def test_no_two_animals_of_caltech_are_nearly_the_same_picture(photographs):
    root = photographs / "caltech-101" / "101_ObjectCategories"
    for row in load_class_table("caltech101_animals").to_dict("records"):
        left_out = {root / name for name in caltech101.near_duplicates(row["near_duplicates"])}
        paths = [path for folder in row["folders"].split(";") for path in sorted((root / folder).iterdir())]
        assert left_out <= set(paths)
        plain, mirrored = thumbnails([path for path in paths if path not in left_out])
        for other in (plain, mirrored):
            assert np.triu(plain @ other.T, 1).max() < 0.92, row["key"]


def test_tiny_imagenet_is_read_and_fetched_in_its_published_layout(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    files = {f"train/n01443537/images/n01443537_{i}.JPEG": jpeg(GREY) for i in range(3)}
    files |= {f"val/images/val_{i}.JPEG": jpeg(GREY) for i in range(3)} | {"test/images/test_0.JPEG": jpeg(GREY)}
    files["val/val_annotations.txt"] = b"val_2.JPEG\tn01443537\t0\nval_0.JPEG\tn1\t0\nval_1.JPEG\tn01443537\t0\n"
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    folder = tmp_path / "tiny-imagenet-200"
    folder.mkdir()
    tiny_imagenet.unpack(tmp_path / "made.zip", folder)
    assert not (folder / "test").exists()
    images = load_study("mini").source.model_copy(update={"train_images_per_class": 2, "eval_images_per_class": 50})
    train, held_out = (tiny_imagenet.load_class(images, {"key": "n01443537"}, split, 32)[1] for split in ("train", "eval"))
    assert train == [f"train/n01443537/images/n01443537_{i}.JPEG" for i in range(2)]
    assert held_out == ["val/images/val_2.JPEG", "val/images/val_1.JPEG"]
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG n01443537\n")
    with pytest.raises(InputError, match=r"val_annotations.txt, line 1: 'val_0.JPEG n01443537'; accepted: file, wnid and box"):
        tiny_imagenet.load_class(images, {"key": "n01443537"}, "eval", 32)


def test_cub_trains_on_what_is_flagged_0_and_leaves_near_duplicates_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    row = {"key": "Gadwall", "near_duplicates": "4.jpg"}
    for i in range(5):
        put(tmp_path / "cub-100" / "images" / "Gadwall" / f"{i}.jpg", jpeg(GREY))
    put(tmp_path / "cub-100" / "images.txt", "".join(f"{i}, Gadwall/{i}.jpg\n" for i in range(5)).encode())
    put(tmp_path / "cub-100" / "train_test_split.txt", b"0, 1\n1, 0\n2, 0\n3, 1\n4, 1\n")
    images = load_study("mini").source.model_copy(update={"train_images_per_class": 2, "eval_images_per_class": 5})
    train, held_out = (cub100.load_class(images, row, split, 32)[1] for split in ("train", "eval"))
    assert train == ["images/Gadwall/1.jpg", "images/Gadwall/2.jpg"]
    assert held_out == ["images/Gadwall/0.jpg", "images/Gadwall/3.jpg"]


@pytest.mark.parametrize(
    ("dataset", "table", "train", "held_out"), [("tiny_imagenet", "tiny_imagenet_animals", 500, 50), ("cub100", "cub100", 29, 15)]
)
def test_the_real_datasets_have_what_their_tables_list(photographs, tmp_path, monkeypatch, dataset, table, train, held_out):
    if not (photographs / find_dataset(dataset).folder).is_dir():
        pytest.skip(f"{dataset} is not here")
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path))
    rows = load_class_table(table)[-2:]
    images = Images(dataset=dataset, class_table=table, n_classes=len(load_class_table(table)), train_images_per_class=train,
                    eval_images_per_class=50)  # fmt: skip
    assert len(load_images(images, rows, "train", 32)) == 2 * train
    assert len(load_images(images, rows, "eval", 32)) >= 2 * held_out
