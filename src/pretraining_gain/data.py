"""Fetch the real datasets of a study: `python -m pretraining_gain.data mini`, or the bird annotations: `… annotations`.

The only command that uses the network. It checks files against their published checksums, continues downloads where
they were cut off, and unpacks to `$PRETRAINING_GAIN_DATA` in the form that the studies read. It uses existing data in place.
"""

from __future__ import annotations

import pickle
import shutil
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pooch
import requests
from filelock import FileLock
from tqdm import tqdm

from pretraining_gain.commands import about_a_study
from pretraining_gain.datasets import Download, find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import acquire, data_root, make_writable
from pretraining_gain.plan.representation import ANNOTATIONS_DOWNLOAD, annotations_path
from pretraining_gain.plan.studies import load_study
from pretraining_gain.plan.weights import is_published, sha256_of

_BLOCK = 1 << 14  # bytes; a cut connection loses at most one block
#: What unpacking raises for a member that is missing, cut off, or damaged.
BROKEN_ARCHIVE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, LookupError,
                  ValueError, TypeError, AttributeError, RuntimeError)  # fmt: skip


def fetch(download: Download, folder: Path) -> Path:
    """Make sure that `folder` holds the unpacked download, and return it. Raises `InputError` when it cannot be fetched.

    The archive is unpacked beside its place and renamed when complete, so a folder that exists is complete. One process
    fetches at a time; another one waits and uses what the first made.
    """
    if folder.is_dir():
        return folder
    if folder.is_symlink() or folder.exists():
        raise InputError(f"data folder {folder} is a file, or a link that leads nowhere; accepted: a folder, or nothing yet")
    downloads, url = make_writable(data_root() / "downloads"), download.url
    lock = FileLock(downloads / ".lock", mode=0o666)  # of everybody who shares the folder
    with acquire(lock, f"another process fetches into {downloads}"):
        if folder.is_dir():
            return folder
        try:
            path = pooch.retrieve(url, download.checksum, path=downloads, fname=Path(url).name, downloader=resume_download)
        except (requests.RequestException, ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"cannot fetch {url}: {reason}; accepted: the published file, try again or put it there") from None
        _unpack(download, Path(path), folder)
    return folder


def resume_download(url: str, output_file: str, _pooch: object) -> None:
    """Download for pooch: continue a partial file by an HTTP range request, and show progress."""
    # pooch chooses another temporary file each time; the partial file is named after the archive to be found again
    partial = Path(output_file).with_name(f"{Path(url).name}.partial")
    have = partial.stat().st_size if partial.exists() else 0
    with requests.get(url, stream=True, timeout=60, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        if response.status_code == 416:  # the partial file is complete
            shutil.move(partial, output_file)
            return
        response.raise_for_status()
        have = have if response.status_code == 206 else 0
        size = int(response.headers.get("Content-Length", 0)) + have
        bar = tqdm(total=size or None, initial=have, unit="B", unit_scale=True, desc=Path(url).name)
        with bar, open(partial, "ab" if have else "wb") as file:
            for block in response.iter_content(_BLOCK):
                file.write(block)
                bar.update(len(block))
    shutil.move(partial, output_file)


def _unpack(download: Download, file: Path, folder: Path) -> None:
    """Unpack beside `folder` and rename when complete, replacing what a killed process left."""
    unpacking = folder.with_name(f".{folder.name}.unpacking")
    try:
        shutil.rmtree(unpacking) if unpacking.is_dir() else unpacking.unlink(missing_ok=True)
        unpacking.mkdir()
        download.unpack(file, unpacking)
        unpacking.rename(folder)
    except (OSError, *BROKEN_ARCHIVE) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the archive
            raise InputError(f"cannot unpack {file} to {unpacking}: {error.strerror}; accepted: a disk with room for it") from None
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(
            f"archive {file} is not as it was published ({reason}); accepted: the published file, delete this one and try again"
        ) from None
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)


def fetch_dataset(name: str) -> str:
    """Fetch a dataset unless it is in place; say where it is. Raises `InputError` for one that must be requested."""
    dataset = find_dataset(name)
    folder = data_root() / dataset.folder
    if not dataset.folder:
        return "nothing to fetch"
    if dataset.download:
        return str(fetch(dataset.download, folder))
    if not folder.is_dir():
        raise InputError(f"{dataset.on_request or f'dataset {name!r} has no download'}; put it in {folder}")
    return str(folder)


def main(name: str) -> None:
    study = load_study(name) if name != "annotations" else None
    if study is None or study.representation == "annotated":
        print(f"annotations: {fetch(ANNOTATIONS_DOWNLOAD, annotations_path().parent)}")
    if study is None:
        return
    for weights in filter(is_published, study.weights.values()):
        from pretraining_gain.compute.weights import fetch_published

        print(f"{weights}: {fetch_published(weights)}, SHA-256 {sha256_of(weights)}")
    for dataset in sorted(study.datasets, key=lambda name: find_dataset(name).download is None):  # last what must be requested
        print(f"{dataset}: {fetch_dataset(dataset)}")


if __name__ == "__main__":
    sys.exit(about_a_study("data", __doc__ or "", main, default="mini"))
