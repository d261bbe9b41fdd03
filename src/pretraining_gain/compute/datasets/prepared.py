"""Large datasets in the compact form that training reads: one pack a class, made once by `pretraining_gain.prepare`.

A pack is an ordinary zip file of JPEGs, stored uncompressed, each a decoded, upright, RGB square of S pixels; its last
member `index.json` lists for each image its id and the SHA-256 of the original file. A pack appears under its name only
when it is whole. Shared by the datasets that are prepared.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.errors import InputError
from pretraining_gain.paths import prepared_root
from pretraining_gain.plan.studies import Images

INDEX = "index.json"
_HEADER = struct.Struct("<26xHH")  # of a zip member: lengths of its name and extra field stand at byte 26


def pack_path(images: Images, split: str, size_px: int, key: str) -> Path:
    """Where the pack of one class is. Whatever decides which images are in it is in the path."""
    choice = "-".join(str(images.options[name]) for name in sorted(images.options)) if split == "eval" else ""
    part = "-".join(filter(None, [split, choice, f"seed{images.split_seed}" if choice else ""]))
    return prepared_root() / images.dataset / f"{size_px}px" / part / f"{key}.zip"


@dataclass(frozen=True)
class Packs:
    """Images of many packs, decoded when asked for: position -> (file, byte offset, bytes, CRC-32)."""

    paths: list[Path]
    files: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    crcs: np.ndarray
    size_px: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.files), 3, self.size_px, self.size_px

    @cached_property
    def _workers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(1, torch.get_num_threads()))

    def __getitem__(self, positions: Tensor) -> Tensor:
        """(B,) int64 -> (B, 3, S, S) uint8, in that order. Raises `InputError` naming a pack that is damaged."""
        decoded = list(self._workers.map(self._decode, positions.tolist()))
        return torch.from_numpy(np.stack(decoded).transpose(0, 3, 1, 2).copy())

    def checksums(self) -> bytes:
        return self.crcs.tobytes()

    def _decode(self, position: int) -> np.ndarray:
        path = self.paths[self.files[position]]
        with open(path, "rb") as file:
            file.seek(int(self.offsets[position]))
            content = file.read(int(self.sizes[position]))
        if zlib.crc32(content) != self.crcs[position]:
            raise InputError(f"pack {path} is damaged; delete it and run the preparation again")
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image)


def load_set(images: Images, rows: pd.DataFrame, split: str, size_px: int) -> ImageSet:
    """The packs of the classes in `rows`, up to the study's number of images a class, label i for the i-th row."""
    limit = images.train_images_per_class if split == "train" else images.eval_images_per_class
    paths = [pack_path(images, split, size_px, key) for key in rows["key"]]
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(paths)} prepared classes are missing, first {missing[0]}; "
            "make them with `python -m pretraining_gain.prepare STUDY`"
        )
    read = [read_pack(path) for path in paths]
    counts = [min(limit, len(members)) for members, _ in read]
    members = [member for (found, _), n in zip(read, counts, strict=True) for member in found[:n]]
    table = np.array([(member["offset"], member["size"], member["crc"]) for member in members], dtype=np.int64)
    files = np.repeat(np.arange(len(paths)), counts)
    stored = Packs(paths, files, table[:, 0], table[:, 1], table[:, 2], size_px)
    skipped = [name for _, index in read for name in index["skipped"]]
    return ImageSet(stored, torch.from_numpy(files), [member["image_id"] for member in members], skipped)


def read_pack(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What is in a pack: for each image its id, offset, size and CRC-32, in order; and the index as written."""
    try:
        with zipfile.ZipFile(path) as pack, open(path, "rb") as file:
            index = json.loads(pack.read(INDEX))
            members = [_locate(pack.getinfo(name), file, image_id) for name, image_id, _ in index["images"]]
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"pack {path} is damaged ({reason}); delete it and run the preparation again") from None
    return members, index


def _locate(info: zipfile.ZipInfo, file: io.BufferedReader, image_id: str) -> dict[str, Any]:
    file.seek(info.header_offset)
    name_length, extra_length = _HEADER.unpack(file.read(_HEADER.size))
    offset = info.header_offset + _HEADER.size + name_length + extra_length
    return {"image_id": image_id, "offset": offset, "size": info.file_size, "crc": info.CRC}
