"""Downloads, from a real HTTP server on this machine: fetched, checked, unpacked, read. Bad ones: `test_bad_downloads.py`."""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from published import Server, fetch, official_cifar, publishing, serve, tar_of

from pretraining_gain import data
from pretraining_gain.datasets import cifar10
from pretraining_gain.plan.representation import annotations_path
from pretraining_gain.plan.studies import load_study


@pytest.fixture
def server(monkeypatch, tmp_path):
    with publishing(monkeypatch, tmp_path / "data") as address:
        yield address


def test_cifar_is_fetched_unpacked_and_read(server, monkeypatch, tmp_path):
    content, pixels = official_cifar()
    serve(monkeypatch, server, content)
    folder = fetch("cifar10")
    assert len(list((folder / "train" / "bird").iterdir())) == 5
    assert len(list((folder / "test").iterdir())) == 2
    assert np.array_equal(np.asarray(Image.open(folder / "train" / "bird" / "0001.png")), pixels[2].transpose(1, 2, 0))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    images = load_study("mini").source.model_copy(update={"train_images_per_class": 5})
    loaded = cifar10.load_class(images, {"key": "cat"}, "train", 32)[0]
    assert np.array_equal(loaded[0], pixels[1].transpose(1, 2, 0))
    requests = len(Server.ranges)
    assert fetch("cifar10") == folder
    assert len(Server.ranges) == requests


def test_caltech_is_fetched_and_unpacked(server, monkeypatch):
    inner = tar_of({"101_ObjectCategories/emu/image_0001.jpg": b"picture"})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", inner)
    serve(monkeypatch, server, buffer.getvalue(), "caltech101")
    assert (fetch("caltech101") / "101_ObjectCategories/emu/image_0001.jpg").read_bytes() == b"picture"


def test_data_in_place_are_used(photographs):
    assert fetch("cifar10") == photographs.resolve() / "cifar-10"


def test_annotations_are_fetched_by_checksum_and_read_in_place(server, monkeypatch):
    content = b"Image Number,Category\n"
    serve(monkeypatch, server, content, "annotations", "sha256:" + hashlib.sha256(content).hexdigest())
    data.main("annotations")
    assert annotations_path().read_bytes() == content
    requests = len(Server.ranges)
    data.main("annotations")
    assert len(Server.ranges) == requests


def test_the_annotations_checksum_is_that_of_the_file_in_use(photographs):
    found = hashlib.sha256(annotations_path().read_bytes()).hexdigest()
    assert data.ANNOTATIONS_DOWNLOAD.checksum == f"sha256:{found}"
