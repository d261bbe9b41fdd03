"""Archives as they are published, and a real HTTP server on this machine that has them."""

from __future__ import annotations

import hashlib
import http.server
import importlib
import io
import pickle
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pretraining_gain import data
from pretraining_gain.datasets import find_dataset


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content` under any path, with `status` if set; understands ranges; stops after `cut` bytes of a request if
    set. `ranges` are the bytes that requests started from."""

    content, cut, status, ranges = b"", None, None, []

    def do_GET(self):
        if self.status:
            self.send_error(self.status)
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


@contextmanager
def publishing(monkeypatch: pytest.MonkeyPatch, place: Path) -> Iterator[str]:
    """The address of a server that runs within the block; data are to go to `place`."""
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(place))
    monkeypatch.setattr(Server, "ranges", [])
    for name in ("cut", "status"):
        monkeypatch.setattr(Server, name, None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
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
    found = checksum or "md5:" + hashlib.md5(content).hexdigest()
    served = {"url": f"{server}/archive", "checksum": found}
    if dataset == "annotations":
        monkeypatch.setattr(data, "ANNOTATIONS_DOWNLOAD", replace(data.ANNOTATIONS_DOWNLOAD, **served))
        return
    module, known = importlib.import_module(f"pretraining_gain.datasets.{dataset}"), find_dataset(dataset)
    monkeypatch.setattr(module, "DATASET", replace(known, download=replace(known.download, **served)))


def fetch(dataset: str) -> Path:
    """Fetch a dataset, or the annotations; return its folder."""
    if dataset == "annotations":
        return data.fetch(data.ANNOTATIONS_DOWNLOAD, data.annotations_path().parent)
    return Path(data.fetch_dataset(dataset))
