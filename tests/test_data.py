"""Downloads: checksum, resume, and what is half-done, against a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import io
import pickle
import re
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from pretraining_gain import data
from pretraining_gain.compute.datasets import cifar10
from pretraining_gain.errors import InputError
from pretraining_gain.plan.representation import annotations_path
from pretraining_gain.plan.studies import load_study


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content` under any path but /gone; understands ranges; stops after `cut` bytes of a request if set."""

    content, cut, ranges = b"", None, []

    def do_GET(self):
        if self.path == "/gone":
            self.send_error(404)
            return
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        type(self).ranges.append(start)
        self.send_response(206 if wanted else 200)
        body = self.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(Server, "ranges", [])
    monkeypatch.setattr(Server, "cut", None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def official_cifar() -> tuple[bytes, np.ndarray]:
    """Twelve pictures in the layout of the published archive: five training batches of two, a test batch of two."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 3, 32, 32), dtype=np.uint8)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    files = {"cifar-10-batches-py/batches.meta": pickle.dumps({"label_names": names})}
    for i in range(6):
        batch = {"data": pixels[2 * i : 2 * i + 2].reshape(2, -1), "labels": [2, 3]}
        files[f"cifar-10-batches-py/{'test_batch' if i == 5 else f'data_batch_{i + 1}'}"] = pickle.dumps(batch)
    return tar_of(files), pixels


def serve(monkeypatch, server: str, content: bytes, dataset: str = "cifar10", checksum: str | None = None) -> None:
    monkeypatch.setattr(Server, "content", content)
    known = data.ARCHIVES[dataset]
    found = checksum or "md5:" + hashlib.md5(content).hexdigest()
    archive = data.Archive(f"{server}/archive", found, known.folder, known.unpack)
    monkeypatch.setitem(data.ARCHIVES, dataset, archive)


def test_cifar_is_fetched_unpacked_and_read(server, monkeypatch, tmp_path):
    content, pixels = official_cifar()
    serve(monkeypatch, server, content)
    folder = data.fetch("cifar10")
    assert len(list((folder / "train" / "bird").iterdir())) == 5 and len(list((folder / "test").iterdir())) == 2
    assert np.array_equal(np.asarray(Image.open(folder / "train" / "bird" / "0001.png")), pixels[2].transpose(1, 2, 0))
    monkeypatch.setenv("PRETRAINING_GAIN_CACHE", str(tmp_path / "cache"))
    images = load_study("mini").source.model_copy(update={"train_images_per_class": 5})
    loaded = cifar10.load_class(images, {"key": "cat"}, "train", 32)[0]
    assert np.array_equal(loaded[0], pixels[1].transpose(1, 2, 0))
    requests = len(Server.ranges)
    assert data.fetch("cifar10") == folder and len(Server.ranges) == requests


def test_caltech_is_fetched_and_unpacked(server, monkeypatch):
    inner = tar_of({"101_ObjectCategories/emu/image_0001.jpg": b"picture"})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", inner)
    serve(monkeypatch, server, buffer.getvalue(), "caltech101")
    assert (data.fetch("caltech101") / "101_ObjectCategories/emu/image_0001.jpg").read_bytes() == b"picture"


def test_a_cut_download_continues_where_it_stopped(server, monkeypatch):
    content, _ = official_cifar()
    serve(monkeypatch, server, content)
    monkeypatch.setattr(Server, "cut", 20_000)
    with pytest.raises(InputError, match="cannot fetch http"):
        data.fetch("cifar10")
    assert not (data.data_root() / "cifar-10").exists()
    monkeypatch.setattr(Server, "cut", None)
    assert data.fetch("cifar10").is_dir()
    assert Server.ranges == [0, 1 << 14]


def test_a_wrong_checksum_is_refused(server, monkeypatch):
    serve(monkeypatch, server, b"something else", checksum="md5:" + "0" * 32)
    with pytest.raises(InputError, match=r"cannot fetch http.*hash"):
        data.fetch("cifar10")
    assert not (data.data_root() / "cifar-10").exists()


def test_a_missing_page_is_named(server, monkeypatch):
    serve(monkeypatch, server, b"")
    archive = data.ARCHIVES["cifar10"]
    monkeypatch.setitem(
        data.ARCHIVES, "cifar10", data.Archive(f"{server}/gone", archive.checksum, "cifar-10", archive.unpack)
    )
    with pytest.raises(InputError, match=r"cannot fetch http.*/gone: 404"):
        data.fetch("cifar10")


def test_data_in_place_are_used(photographs):
    assert data.fetch("cifar10") == photographs.resolve() / "cifar-10"


def test_data_that_must_be_asked_for_are_named_with_their_place(photographs):
    with pytest.raises(InputError, match=r"image-net\.org; put it in .*/imagenet1k"):
        data.main("paper")


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
    assert data.ARCHIVES["annotations"].checksum == f"sha256:{found}"
