"""Fetch the real datasets of a study: `python -m pretraining_gain.data mini`, or the bird annotations: `… annotations`.

The only command that uses the network.

Archives are checked against their published checksums, downloads continue where they were cut off, and the files are
put under `$PRETRAINING_GAIN_DATA` in the form that the studies read. What is there already is used in place.
"""

from __future__ import annotations

import pickle
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
import requests
from PIL import Image
from tqdm import tqdm

from pretraining_gain.commands import about_a_study
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root, make_writable
from pretraining_gain.plan.representation import ANNOTATIONS
from pretraining_gain.plan.studies import load_study

_BLOCK = 1 << 14  # what a cut connection loses at most
#: What unpacking raises where a member is missing, cut off, or none of what it should be.
BROKEN_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, LookupError,
                  ValueError, TypeError, AttributeError, RuntimeError)  # fmt: skip


@dataclass(frozen=True)
class Archive:
    """A published archive: where it is, its checksum, where its files go, and how they get there."""

    url: str
    checksum: str
    folder: str
    unpack: Callable[[Path, Path], None]


def download(url: str, output_file: str, _pooch: object) -> None:
    """A pooch downloader that continues a partial file by an HTTP range request and shows progress."""
    # pooch names a new temporary file each time; a partial file has to be found again, so it is named after the archive
    partial = Path(output_file).with_name(f"{Path(url).name}.partial")
    have = partial.stat().st_size if partial.exists() else 0
    with requests.get(url, stream=True, timeout=60, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        if response.status_code == 416:  # the partial file is complete
            shutil.move(partial, output_file)
            return
        response.raise_for_status()
        resumed = response.status_code == 206
        size = int(response.headers.get("Content-Length", 0)) + (have if resumed else 0)
        with (
            open(partial, "ab" if resumed else "wb") as file,
            tqdm(
                total=size or None, initial=have if resumed else 0, unit="B", unit_scale=True, desc=Path(url).name
            ) as bar,
        ):
            for block in response.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
    shutil.move(partial, output_file)


_CALTECH_TAR = "101_ObjectCategories.tar.gz"


def unpack_caltech101(archive: Path, folder: Path) -> None:
    """The published zip holds a tar with `101_ObjectCategories/<class>/image_NNNN.jpg`."""
    with zipfile.ZipFile(archive) as outer:
        name = next((name for name in outer.namelist() if name.endswith(_CALTECH_TAR)), None)
        if name is None:
            raise LookupError(f"it has no {_CALTECH_TAR}")
        with outer.open(name) as inner, tarfile.open(fileobj=inner, mode="r:gz") as tar:
            tar.extractall(folder, filter="data")


def unpack_cifar10(archive: Path, folder: Path) -> None:
    """The published arrays as lossless files `{train,test}/<class>/NNNN.png`, numbered in the official order."""
    with tarfile.open(archive) as tar:
        names = {Path(member.name).name: member for member in tar.getmembers()}
        classes = _unpickled(tar, names["batches.meta"])["label_names"]
        for split, parts in {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}.items():
            count = dict.fromkeys(classes, 0)
            for part in parts:
                batch = _unpickled(tar, names[part])
                pixels = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                for image, label in zip(pixels, batch["labels"], strict=True):
                    name = classes[label]
                    path = folder / split / name / f"{count[name]:04d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(path)
                    count[name] += 1


def _unpickled(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict:
    """CIFAR-10's official files are pickles; they are opened only after the archive's checksum was verified."""
    file = tar.extractfile(member)
    if file is None:
        raise InputError(f"{member.name} in the CIFAR-10 archive is not a file")
    return pickle.load(file, encoding="latin1")


def copy_annotations(file: Path, folder: Path) -> None:
    shutil.copy(file, folder / ANNOTATIONS)


_BIODIVERSITY = "https://raw.githubusercontent.com/RolnickLab/ImageNetBiodiversity/5cc900ff96ed473063144140e6fb2c85ce507bbf"
#: Dataset -> its archive. Addresses and checksums of images are those that torchvision.datasets publishes.
ARCHIVES = {
    "cifar10": Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "md5:c58f30108f718f92721af3b95e74349a",
        "cifar-10",
        unpack_cifar10,
    ),
    "caltech101": Archive(
        "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
        "md5:3138e1922a9193bfa496528edbbc45d0",
        "caltech-101",
        unpack_caltech101,
    ),
    "annotations": Archive(
        f"{_BIODIVERSITY}/{ANNOTATIONS}",
        "sha256:cae4d02d648353769fbff81c164b33d0812db3cdc20a158a98ff4d15c3706966",
        "imagenet-biodiversity",
        copy_annotations,
    ),
}
#: What has to be asked for where it is published: these files are not ours to fetch.
ASK_FOR = {
    "imagenet1k": "ImageNet-1K is given to researchers on request at image-net.org; put it in {}/imagenet1k",
    "inat2021": "iNaturalist 2021 (44 GB train_mini, 224 GB train) is at github.com/visipedia/inat_comp; put it in {}/inat2021",
}


def fetch(dataset: str) -> Path:
    """Make sure that `dataset` is in place; returns its folder. Raises `InputError` when it cannot be fetched.

    The archive is unpacked beside its place and renamed when complete, so a folder that exists is whole.
    """
    archive = ARCHIVES[dataset]
    folder = data_root() / archive.folder
    if folder.is_dir():
        return folder
    if folder.is_symlink() or folder.exists():
        raise InputError(f"data folder {folder} is a file, or a link that leads nowhere; accepted: a folder, or nothing yet")
    downloads = make_writable(data_root() / "downloads")
    try:
        path = pooch.retrieve(
            archive.url, known_hash=archive.checksum, path=downloads, fname=Path(archive.url).name, downloader=download
        )
    except (requests.RequestException, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"cannot fetch {archive.url}: {reason}; accepted: the published file, try again or put it there") from None
    _unpack(archive, Path(path), folder)
    return folder


def _unpack(archive: Archive, file: Path, folder: Path) -> None:
    """Unpack beside `folder`, and give it its name when all is there; what a killed process left is made anew."""
    unpacking = folder.with_name(f".{folder.name}.unpacking")
    try:
        shutil.rmtree(unpacking) if unpacking.is_dir() else unpacking.unlink(missing_ok=True)
        unpacking.mkdir()
        archive.unpack(file, unpacking)
        unpacking.rename(folder)
    except OSError as error:
        if error.errno is None:  # of what is in the archive
            raise InputError(_not_as_published(file, error)) from None
        raise InputError(f"cannot unpack {file} to {unpacking}: {error.strerror}; accepted: a disk with room for it") from None
    except BROKEN_ARCHIVE as error:
        raise InputError(_not_as_published(file, error)) from None
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)


def _not_as_published(file: Path, error: Exception) -> str:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return f"archive {file} is not as it was published ({reason}); accepted: the published file, delete this one and try again"


def main(name: str) -> None:
    if name in ARCHIVES:
        print(f"{name}: {fetch(name)}")
        return
    study = load_study(name)
    datasets = dict.fromkeys(images.dataset for images in (study.source, *(d.images for d in study.downstreams)))
    if study.representation == "annotated":
        datasets = {"annotations": None} | datasets
    for dataset in datasets:
        if dataset == "toy":
            print("toy: drawn in memory, nothing to fetch")
        elif dataset in ARCHIVES:
            print(f"{dataset}: {fetch(dataset)}")
        elif (data_root() / dataset).is_dir():
            print(f"{dataset}: {data_root() / dataset}")
        elif dataset in ASK_FOR:
            raise InputError(ASK_FOR[dataset].format(data_root()))
        else:
            raise InputError(
                f"dataset {dataset!r} of study {study.name!r} has no download here; "
                f"accepted: toy, {', '.join(ARCHIVES)}"
            )


if __name__ == "__main__":
    sys.exit(about_a_study("data", __doc__ or "", main, default="mini"))
