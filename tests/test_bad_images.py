"""Bad images, folders and packs: each row is one way to be wrong, the file or folder that is named, and what is accepted."""

from __future__ import annotations

import errno
import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from refusal import Damage, changed, cut, folder, instead, link_to, missing, refused, whole

from pretraining_gain import prepare
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.images.packs import check_pack, load_packs, pack_path, read_pack
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.taxonomy import load_class_table


def picture(side: int = 32, seed: int = 0, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of which only the header says how large it is."""
    parts = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b""), b"IEND": b""}
    chunks = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def halved(path: Path) -> None:
    cut(path.stat().st_size // 2)(path)


def keep(n: int) -> Damage:
    return lambda folder: [path.unlink() for path in sorted(folder.iterdir())[n:]]


def rename(old: str, new: str) -> Damage:
    return lambda folder: os.rename(folder / old, os.fsencode(folder / new))


ACCEPTED = "JPEG, PNG, GIF, BMP, WEBP, HEIF of 4 pixels a side to 100 megapixels"
REPAIR = "repair or delete it, or set broken_images: skip"
#: How to break bird/0001.png, and what the line says beside its name.
BAD_FILES: dict[str, tuple[Damage, str]] = {
    "zero bytes": (whole(b""), "zero bytes"),
    "a truncated JPEG": (whole(encoded(picture(64), "JPEG", quality=95)[:1500]), REPAIR),
    "text": (whole(b"hello, I am text" * 50), "accepted: JPEG, PNG"),
    "a program for a printer": (whole(encoded(picture(), "EPS")), "accepted: JPEG, PNG"),
    "one pixel": (whole(encoded(picture(1), "PNG")), f"1x1 pixels; accepted: {ACCEPTED}"),
    "a decompression bomb": (whole(png_header(30_000, 30_000)), "900000000 pixels"),
    "a smaller bomb": (whole(png_header(10_001, 10_000)), f"10001x10000 pixels; accepted: {ACCEPTED}"),
    "16 bits": (whole(encoded(Image.fromarray(np.full((32, 32), 40_000, np.uint16)), "PNG")), "accepted: 8 bits"),
    "a folder": (folder, "is no file"),
    "a pipe": (instead(os.mkfifo), "is no file"),
    "a broken link": (link_to("/nowhere.png"), "a link that leads nowhere, to /nowhere.png"),
    "a link to itself": (instead(lambda path: path.symlink_to(path)), "a link that leads nowhere"),
}  # fmt: skip
FETCH = "fetch it with `python -m pretraining_gain.data STUDY`, or set PRETRAINING_GAIN_DATA to where the data are"
#: How to break the folder `bird`, and what the line says beside its name.
BAD_FOLDERS: dict[str, tuple[Damage, str]] = {
    "missing": (missing, f"is missing; {FETCH}"),
    "a file": (instead(lambda folder: folder.write_text("bird")), f"is a file; {FETCH}"),
    "a broken link": (link_to("/nowhere"), f"leads nowhere, to /nowhere; {FETCH}"),
    "a link to itself": (instead(lambda folder: folder.symlink_to(folder)), "is a link that leads nowhere"),
    "empty": (keep(0), f".webp); {FETCH}"),
    "no images in it": (instead(lambda folder: (folder.mkdir(), (folder / "1.txt").touch())), "has no images (.bmp, .gif,"),
    "one image": (keep(1), "has 1 images, train_images_per_class is 3; accepted: 1 to 1"),
    "fewer than asked": (keep(2), "has 2 images, train_images_per_class is 3; accepted: 1 to 2"),
    "a name of two lines": (rename("0001.png", "00\n01.png"), "'00\\n01.png' in"),
    "a name that is no UTF-8": (rename("0001.png", "\udcff.png"), "accepted: UTF-8 on one line"),
}  # fmt: skip
#: What looks odd and means the same pictures.
GOOD: dict[str, Damage] = {
    "PNG named jpg": rename("0001.png", "0001.jpg"),
    "loud suffix": rename("0001.png", "0001.PNG"),
    "a narrow space in a name": rename("0001.png", "0001 at 9.41\u202fAM.png"),
    "other files beside": lambda folder: [(folder / name).write_text("x") for name in (".DS_Store", "readme.txt")],
    "hidden files of macOS": lambda folder: [(folder / f"._{i:04d}.png").write_text("x") for i in range(4)],
    "a file of a store elsewhere": lambda folder: linked(folder / "0001.png", folder.parents[3] / "store"),
    "a folder elsewhere": lambda folder: linked(folder, folder.parents[3] / "store"),
    "the whole dataset elsewhere": lambda folder: linked(folder.parents[1], folder.parents[3] / "store"),
}


def linked(path: Path, store: Path) -> None:
    """Move what is at `path` to `store`, and leave a link."""
    path.rename(store)
    path.symlink_to(store)


def load(**changes: object) -> ImageSet:
    images = load_study("mini").source.model_copy(update={"train_images_per_class": 3, **changes})
    return load_images(images, load_class_table("cifar10").loc[[2, 3]], "train", 32)


@pytest.mark.parametrize(("damage", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_stops_with_its_path_or_is_replaced(bird, tmp_path, damage, said):
    damage(bird / "0001.png")
    with refused(f"image {bird / '0001.png'} cannot be decoded", said, REPAIR, unchanged=tmp_path):
        load()
    data = load(broken_images="skip")
    assert data.skipped == ["train/bird/0001.png"]
    assert data.image_ids[:3] == [f"train/bird/000{i}.png" for i in (0, 2, 3)]
    assert load(broken_images="skip").skipped == data.skipped  # from the cache, too


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_read_now_stops_the_run_and_is_used_later(bird, tmp_path, monkeypatch, number):
    read_bytes = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == "0001.png":
            raise OSError(number, os.strerror(number))
        return read_bytes(path)

    with monkeypatch.context() as for_now:
        for_now.setattr(Path, "read_bytes", failing)
        said = f"image {bird / '0001.png'} cannot be read: {os.strerror(number)}"
        with refused(said, "accepted", unchanged=tmp_path):
            load(broken_images="skip")
        with pytest.raises(InputError, match="cannot be read"):
            prepare.encode(bird / "0001.png", 32)
    data = load(broken_images="skip")
    assert data.skipped == []


def test_a_class_that_is_short_of_images_is_named(bird, capsys):
    for name in ("0000.png", "0002.png"):
        (bird / name).write_bytes(b"")
    assert len(load(broken_images="skip")) == 5
    assert capsys.readouterr().err == (
        "cifar10: 2 broken images are left out for train; the smallest class, 'bird', has 2\n"
    )


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(bird, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "file"))
    assert len(load()) == 6


def test_a_bomb_is_refused_before_it_is_decoded(bird, monkeypatch):
    decode, decoded = ImageFile.ImageFile.load, set()
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: (decoded.add(image.size), decode(image))[1])
    (bird / "0001.png").write_bytes(png_header(30_000, 30_000))
    load(broken_images="skip")
    assert decoded == {(32, 32)}


@pytest.mark.parametrize(("damage", "said"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_a_bad_folder_is_named(bird, tmp_path, damage, said):
    damage(bird)
    with refused(str(bird), said, unchanged=tmp_path):
        load()


@pytest.mark.parametrize("odd", GOOD)
def test_links_names_and_other_files_do_not_matter(bird, odd):
    plain = load()
    GOOD[odd](bird)
    assert torch.equal(load().images, plain.images)


def test_all_images_of_a_class_broken_is_an_error_even_when_broken_ones_are_skipped(bird, tmp_path):
    for path in bird.iterdir():
        path.write_bytes(b"")
    with refused(f"no image in {bird} can be decoded", "accepted: JPEG, PNG", unchanged=tmp_path):
        load(broken_images="skip")


def test_a_class_must_leave_something_to_evaluate_on(bird, tmp_path):
    ant = tmp_path / "data" / "caltech-101" / "101_ObjectCategories" / "ant"
    ant.mkdir(parents=True)
    for i in range(3):
        picture(seed=i).save(ant / f"image_{i:04d}.jpg")
    images = load_study("mini").downstreams[0].images.model_copy(update={"train_images_per_class": 3})
    rows = load_class_table("caltech101_animals")[:1]
    with refused("class 'ant' of dataset caltech101 has no image left for eval", "accepted", unchanged=tmp_path / "data"):
        load_images(images, rows, "eval", 32)
    more = images.model_copy(update={"train_images_per_class": 4})
    with refused("class 'ant'", "train_images_per_class is 4; accepted: 1 to 3", unchanged=tmp_path / "data"):
        load_images(more, rows, "train", 32)


@pytest.mark.parametrize("damage", [whole(b""), whole(b"no zip"), halved])
def test_a_damaged_cache_is_made_again(bird, tmp_path, damage):
    first, again = load(), load()
    assert (first.from_cache, again.from_cache) == (False, True)
    damage(sorted((tmp_path / "cache" / "decoded").iterdir())[0])
    third = load()
    assert third.from_cache is False
    assert third.content_hash() == first.content_hash()
    assert load().from_cache is True


JPEG = encoded(picture(), "JPEG")
INDEX = {"images": [["00000.jpg", "train/a/0.jpg", "0" * 64]], "skipped": []}


def pack(path: Path, image: bytes = JPEG, index: object = INDEX) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("00000.jpg", image)
        if index is not None:
            made.writestr("index.json", index if isinstance(index, str) else json.dumps(index))


DAMAGED = "delete it and run the preparation again"
BAD_PACKS: dict[str, tuple[Damage, str]] = {
    "missing": (missing, "make them with `python -m pretraining_gain.prepare STUDY`"),
    "a folder": (folder, DAMAGED),
    "zero bytes": (whole(b""), DAMAGED),
    "without an index": (lambda path: pack(path, index=None), DAMAGED),
    "an index without what was skipped": (lambda path: pack(path, index={"images": INDEX["images"]}), DAMAGED),
    "an index of what is not there": (lambda path: pack(path, index={"images": [["1.jpg", "a", "b"]], "skipped": []}), DAMAGED),
    "an image of another size": (lambda path: pack(path, encoded(picture(40), "JPEG")), "an image of 40x40 pixels, not 32 square"),
    "an image that is none": (lambda path: pack(path, b"text"), DAMAGED),
    "changed bytes": (changed(200, b"?"), "checksum of an image"),
}  # fmt: skip


#: The check compares checksums, it does not decode pixels.
OF_PIXELS = {"an image of another size", "an image that is none"}


@pytest.fixture
def good_pack(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PRETRAINING_GAIN_PREPARED", str(tmp_path))
    path = pack_path("imagenet1k", "train", 32, "n01440764")
    path.parent.mkdir(parents=True)
    pack(path)
    return path


@pytest.mark.parametrize(("damage", "said"), BAD_PACKS.values(), ids=BAD_PACKS)
def test_a_bad_pack_is_named(good_pack, tmp_path, damage, said):
    damage(good_pack)
    with refused(str(good_pack), said, unchanged=tmp_path):
        load_packs("imagenet1k", "train", 32, ["n01440764"], 5).images[torch.tensor([0])]


@pytest.mark.parametrize("wrong", sorted(BAD_PACKS.keys() - OF_PIXELS))
def test_a_bad_pack_is_named_by_the_check_of_a_preparation(good_pack, tmp_path, wrong):
    check_pack(good_pack)
    BAD_PACKS[wrong][0](good_pack)
    with refused(f"pack {good_pack} is", "missing" if wrong == "missing" else DAMAGED, unchanged=tmp_path):
        check_pack(good_pack)


def test_a_pack_that_cannot_be_read_now_is_not_called_damaged(good_pack, tmp_path, monkeypatch):
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(zipfile, "ZipFile", failing)
    with refused(f"pack {good_pack} cannot be read: {os.strerror(errno.EIO)}", unchanged=tmp_path):
        read_pack(good_pack)


def test_a_pack_without_images_is_a_class_without_images(good_pack, tmp_path):
    pack(good_pack, index={"images": [], "skipped": ["train/a/0.jpg"]})
    with refused("class 'n01440764' of dataset imagenet1k has no image left for train", "accepted", unchanged=tmp_path):
        load_images(load_study("paper").source, load_class_table("imagenet1k")[:1], "train", 32)
