"""Downloads, from a real HTTP server on this machine: fetched, checked, unpacked, read; what goes wrong is named in one line
and the next try goes on."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from conftest import wait_for
from filelock import FileLock
from PIL import Image
from published import Server, fetch, official_cifar, publishing, serve, tar_of
from refusal import assert_one_line, refused

from pretraining_gain import data
from pretraining_gain.datasets import cifar10
from pretraining_gain.errors import InputError
from pretraining_gain.plan.representation import annotations_path
from pretraining_gain.plan.studies import load_study

CIFAR = official_cifar()[0]
BATCHES = "cifar-10-batches-py"
META = {f"{BATCHES}/batches.meta": pickle.dumps({"label_names": ["airplane"]})}
TRY_AGAIN = "accepted: the published file, try again or put it there"


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
    serve(monkeypatch, server, zip_of({CALTECH: INNER}), "caltech101")
    assert (fetch("caltech101") / "101_ObjectCategories/emu/image_0001.jpg").read_bytes() == b"picture" * 1000


def test_a_second_fetch_waits_for_the_first_and_uses_what_it_made(server, monkeypatch, capsys):
    serve(monkeypatch, server, CIFAR)
    folder, downloads = data.data_root() / "cifar-10", data.data_root() / "downloads"
    downloads.mkdir(parents=True)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(downloads / ".lock"):
            second = pool.submit(fetch, "cifar10")
            wait_for(lambda: f"another process fetches into {downloads}" in capsys.readouterr().err or second.done())
            folder.mkdir()
        assert second.result() == folder
    assert not Server.ranges


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


def fails(dataset: str, *said: str) -> None:
    """Fetching is refused in one line; nothing stands under the dataset's name or half-unpacked beside it."""
    with pytest.raises(InputError) as caught:
        fetch(dataset)
    assert_one_line(str(caught.value), *said)
    there = {path.name for path in data.data_root().iterdir()} if data.data_root().is_dir() else set()
    assert there <= {"downloads"}


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


BAD_SERVERS: dict[str, tuple[dict[str, Any], str]] = {
    "a page that is gone": ({"status": 404}, "/archive: 404"),
    "another file": ({"content": b"something else"}, "hash of downloaded file"),
    "an empty file": ({"content": b""}, "hash of downloaded file"),
    "cut off": ({"cut": 20_000}, "IncompleteRead"),
}


@pytest.mark.parametrize(("changes", "said"), BAD_SERVERS.values(), ids=BAD_SERVERS)
def test_what_a_server_does_wrong_is_named_and_the_next_try_succeeds(server, monkeypatch, changes, said):
    serve(monkeypatch, server, CIFAR)
    with monkeypatch.context() as for_now:
        for name, value in changes.items():
            for_now.setattr(Server, name, value)
        fails("cifar10", f"cannot fetch {server}/archive", said, TRY_AGAIN)
    assert fetch("cifar10").is_dir()


def timed_out(*_: object, **__: object) -> None:
    raise requests.ReadTimeout("read timed out")


#: What fails on this machine: name of the function that fails, how, what is said.
FAILURES: dict[str, tuple[str, Callable[..., None], str]] = {
    "a server that does not answer": ("requests.get", timed_out, "timed out"),
    "a disk full of the archive": ("pretraining_gain.data.tqdm", full, "No space left on device"),
    "a disk full of the files": ("PIL.Image.Image.save", full, "cannot unpack"),
}


@pytest.mark.parametrize(("function", "failure", "said"), FAILURES.values(), ids=FAILURES)
def test_what_fails_on_the_way_is_named_and_the_next_try_succeeds(server, monkeypatch, function, failure, said):
    serve(monkeypatch, server, CIFAR)
    with monkeypatch.context() as for_now:
        for_now.setattr(function, failure)
        fails("cifar10", "archive", said, "accepted: a disk with room for it" if "unpack" in said else TRY_AGAIN)
    assert fetch("cifar10").is_dir()


def test_a_server_that_is_down_is_named(server, monkeypatch):
    serve(monkeypatch, "http://127.0.0.1:9", CIFAR)
    fails("cifar10", "cannot fetch http://127.0.0.1:9/archive", TRY_AGAIN)


def test_a_cut_download_continues_where_it_stopped(server, monkeypatch):
    serve(monkeypatch, server, CIFAR)
    with monkeypatch.context() as for_now:
        for_now.setattr(Server, "cut", 20_000)
        fails("cifar10", "IncompleteRead")
    assert fetch("cifar10").is_dir()
    assert Server.ranges == [0, 1 << 14]


#: What is in the partial file of an earlier try; whether one more try is enough.
PARTIAL: dict[str, tuple[bytes, bool]] = {
    "all of it": (CIFAR, True),
    "half of it": (CIFAR[: len(CIFAR) // 2], True),
    "half of another file": (b"x" * 1000, False),
    "more than there is": (CIFAR + b"x", False),
}


@pytest.mark.parametrize(("content", "enough"), PARTIAL.values(), ids=PARTIAL)
def test_what_an_earlier_try_left_is_used_or_thrown_away(server, monkeypatch, content, enough):
    serve(monkeypatch, server, CIFAR)
    downloads = data.data_root() / "downloads"
    downloads.mkdir(parents=True)
    (downloads / "archive.partial").write_bytes(content)
    if not enough:
        fails("cifar10", "hash of downloaded file", TRY_AGAIN)
    assert fetch("cifar10").is_dir()
    assert {path.name for path in downloads.iterdir()} == {"archive", ".lock"}


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


INNER = tar_of({"101_ObjectCategories/emu/image_0001.jpg": b"picture" * 1000})
CALTECH = "caltech-101/101_ObjectCategories.tar.gz"
#: Archives whose checksum is right and which are not what they should be: dataset, content, what is said of it.
BAD_ARCHIVES: dict[str, tuple[str, bytes, str]] = {
    "no tar": ("cifar10", b"no tar" * 100, "ReadError"),
    "a tar that is cut off": ("cifar10", CIFAR[:-3000], "EOFError"),
    "a tar without a batch": ("cifar10", tar_of(META), "KeyError: 'data_batch_1'"),
    "a batch that is no pickle": ("cifar10", tar_of(META | {f"{BATCHES}/data_batch_1": b"text"}), "UnpicklingError"),
    "a batch of another form": ("cifar10", tar_of(META | {f"{BATCHES}/data_batch_1": pickle.dumps([1])}), "TypeError"),
    "a batch of other images": (
        "cifar10", tar_of(META | {f"{BATCHES}/data_batch_1": pickle.dumps({"data": [1], "labels": [0]})}), "ValueError",
    ),
    "a zip that is cut off": ("caltech101", zip_of({CALTECH: INNER})[:-30], "BadZipFile"),
    "a zip without the tar": ("caltech101", zip_of({"readme.txt": b"x"}), "it has no 101_ObjectCategories.tar.gz"),
    "a zip with a tar that is cut off": ("caltech101", zip_of({CALTECH: INNER[:-40]}), "Error"),
    "a tar that leads elsewhere": ("caltech101", zip_of({CALTECH: tar_of({"../../x": b"x"})}), "OutsideDestinationError"),
    "a tar with an absolute name": ("caltech101", zip_of({CALTECH: tar_of({"/etc/../../x/y": b"x"})}), "OutsideDestinationError"),
}  # fmt: skip


@pytest.mark.parametrize(("dataset", "content", "said"), BAD_ARCHIVES.values(), ids=BAD_ARCHIVES)
def test_an_archive_that_is_not_what_it_should_be_is_named(server, monkeypatch, tmp_path, dataset, content, said):
    serve(monkeypatch, server, content, dataset)
    fails(dataset, f"archive {data.data_root() / 'downloads' / 'archive'} is not as it was published", said, "accepted: the pub")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


#: What a killed process or somebody else left in the place of `.cifar-10.unpacking`.
LEFT: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: (path / "train" / "emu").mkdir(parents=True),
    "a file": Path.touch,
    "a link": lambda path: path.symlink_to("/nowhere"),
}


@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT)
def test_a_half_unpacked_folder_is_made_again(server, monkeypatch, leave):
    serve(monkeypatch, server, CIFAR)
    data.data_root().mkdir()
    leave(data.data_root() / ".cifar-10.unpacking")
    folder = fetch("cifar10")
    assert sorted(path.name for path in (folder / "train").iterdir()) == ["bird", "cat"]
    assert {path.name for path in data.data_root().iterdir()} == {"cifar-10", "downloads"}


IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "a file": Path.touch,
    "a broken link": lambda path: path.symlink_to("/nowhere"),
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("put", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_what_stands_where_the_data_should_be_is_named_before_anything_is_fetched(server, monkeypatch, put):
    serve(monkeypatch, server, CIFAR)
    data.data_root().mkdir()
    folder = data.data_root() / "cifar-10"
    put(folder)
    with refused(f"{folder} is a file, or a link that leads nowhere; accepted: a folder", unchanged=data.data_root()):
        fetch("cifar10")
    assert not Server.ranges


def test_a_dataset_on_request_is_named_with_its_place(monkeypatch, tmp_path):
    """The annotations are in place, so that nothing is fetched; ImageNet is nowhere."""
    (tmp_path / "imagenet-biodiversity").mkdir()
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    with refused("ImageNet-1K is given to researchers on request at image-net.org; put it in", str(tmp_path), unchanged=tmp_path):
        data.main("paper")


def test_what_can_be_fetched_comes_before_what_must_be_requested(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PRETRAINING_GAIN_DATA", str(tmp_path))
    monkeypatch.setattr(data, "fetch", lambda download, folder: folder)
    with pytest.raises(InputError, match="cub-100"):
        data.main("imagenet200")
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == ["tiny_imagenet", "caltech101"]


def test_annotations_of_another_version_are_refused(server, monkeypatch):
    serve(monkeypatch, server, b"Image Number\n", "annotations", "sha256:" + hashlib.sha256(b"").hexdigest())
    fails("annotations", f"cannot fetch {server}/archive", "hash of downloaded file", TRY_AGAIN)
