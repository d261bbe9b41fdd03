"""Packs: the compact form of large datasets that training reads, made once by `pretraining_gain.prepare`.

A pack holds one class. It is a zip file of JPEGs, stored uncompressed, each a decoded, upright, RGB square of S pixels;
its last member `index.json` lists each image's id and the SHA-256 of the original file. A pack gets its name only when
it is complete.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from torch import Tensor

from pretraining_gain.compute.images.decoding import BROKEN
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.errors import InputError
from pretraining_gain.paths import prepared_root
from pretraining_gain.plan.resources import allowed_cores

INDEX = "index.json"
DAMAGED = (*BROKEN, zipfile.BadZipFile, zlib.error, RuntimeError)  # what reading a zip file raises
_PARTS_PER_WORKER = 4  # of a batch: single images cost a tenth more, large parts leave workers idle
_HEADER_BYTES = 30  # of a zip member, before its name; the preparation writes no extra field


def pack_path(dataset: str, part_name: str, size_px: int, key: str) -> Path:
    """Return the path of the pack of one class."""
    return prepared_root() / dataset / f"{size_px}px" / part_name / f"{key}.zip"


def n_workers() -> int:
    """Return the number of decoding threads: one per core that this process may use, shared within its run.

    Decoding releases Python's lock and is no arithmetic, so torch's number of threads does not limit it.
    """
    return max(1, allowed_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@dataclass(frozen=True)
class Packs:
    """Images of many packs, decoded on access. Image i is in `paths[files[i]]`; `places` (N, 3) int64 has its byte
    offset, bytes and CRC-32."""

    paths: list[Path]
    files: np.ndarray
    places: np.ndarray
    size_px: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.files), 3, self.size_px, self.size_px

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(n_workers())

    def __getitem__(self, positions: Tensor) -> Tensor:
        """Decode images at positions (B,) int64 to (B, 3, S, S) uint8. Raises `InputError` naming a damaged pack."""
        batch = np.empty((len(positions), self.size_px, self.size_px, 3), dtype=np.uint8)
        parts = _PARTS_PER_WORKER * n_workers()
        list(self._workers.map(self._decode_all, np.array_split(positions.numpy(), parts), np.array_split(batch, parts)))
        return torch.from_numpy(batch).permute(0, 3, 1, 2)

    def checksums(self) -> bytes:
        return self.places[:, 2].tobytes()

    def _decode_all(self, positions: np.ndarray, into: np.ndarray) -> None:
        for position, place in zip(positions.tolist(), into, strict=True):
            self._decode(position, place)

    def _decode(self, position: int, into: np.ndarray) -> None:
        path = self.paths[self.files[position]]
        offset, size, crc = self.places[position].tolist()
        try:
            with open(path, "rb", buffering=0) as file:  # a twentieth of the decoding time, so no file stays open
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise InputError(f"pack {path} cannot be read: {error.strerror}") from None
        if zlib.crc32(content) != crc:
            raise InputError(damaged(path, "checksum of an image"))
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(content)
            if (height, width) == into.shape[:2]:
                simplejpeg.decode_jpeg(content, buffer=into)
                return
        except ValueError as error:
            raise InputError(damaged(path, error)) from None
        raise InputError(damaged(path, f"an image of {width}x{height} pixels, not {self.size_px} square"))


def load_packs(dataset: str, part_name: str, size_px: int, keys: list[str], limit: int) -> ImageSet:
    """Load the first `limit` images of each pack in `keys`, label i for the i-th. Raises `InputError` for missing packs."""
    paths = [pack_path(dataset, part_name, size_px, key) for key in keys]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(paths)} prepared classes are missing, first {missing[0]}; "
            "make them with `python -m pretraining_gain.prepare STUDY`"
        )
    image_ids: list[str] = []
    skipped: list[str] = []
    places = []
    for path in paths:
        index, found = read_pack(path)
        image_ids += [image_id for _, image_id, _ in index["images"][:limit]]
        skipped += index["skipped"]
        places.append(found[:limit])
    files = np.repeat(np.arange(len(paths)), [len(found) for found in places])
    stored = Packs(paths, files, np.concatenate(places), size_px)
    return ImageSet(stored, torch.from_numpy(files), image_ids, skipped)


def read_pack(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Read a pack's index, `images` (name, image id, SHA-256 of the original) and `skipped`; and (N, 3) int64: byte
    offset, bytes and CRC-32 of each image. Raises `InputError` for a damaged pack."""
    try:
        with zipfile.ZipFile(path) as pack:
            index = json.loads(pack.read(INDEX))
            places = [_place(pack.getinfo(name)) for name, _, _ in index["images"]]
            if not isinstance(index["skipped"], list):
                raise ValueError("the index has no list of skipped images")
            return index, np.array(places, dtype=np.int64).reshape(-1, 3)
    except DAMAGED as error:
        raise _unusable(path, error) from None


def check_pack(path: Path) -> None:
    """Compare all checksums of a pack. Raises `InputError` if it is missing or damaged, anywhere in it."""
    if not path.exists():
        raise InputError(f"pack {path} is missing")
    read_pack(path)
    try:
        with zipfile.ZipFile(path) as pack:
            first = pack.testzip()
    except DAMAGED as error:
        raise _unusable(path, error) from None
    if first:
        raise InputError(damaged(path, f"checksum of {first}"))


def _unusable(path: Path, error: Exception) -> InputError:
    """Tell a damaged pack, which must be made again, from one that cannot be read at the moment."""
    if isinstance(error, OSError) and error.errno and path.is_file():
        return InputError(f"pack {path} cannot be read: {error.strerror}")
    return InputError(damaged(path, f"{type(error).__name__} {error}"))


def damaged(path: Path, error: object) -> str:
    return f"pack {path} is damaged ({' '.join(str(error).split())}); delete it and run the preparation again"


def _place(info: zipfile.ZipInfo) -> tuple[int, int, int]:
    return info.header_offset + _HEADER_BYTES + len(info.filename), info.file_size, info.CRC
