"""Load per-image correctness of a run, with a cache.

Predictions are text: reading and checking those of a study of the paper's size takes minutes, and every notebook reads them.
The cache is keyed by the checksum of the predictions, so a changed file is read again.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, make_writable, write_atomically
from pretraining_gain.tell.results.stored import checksum, read_predictions

#: What numpy and zipfile raise for a damaged file; RuntimeError where its bytes ask for a password or an unknown compression.
_DAMAGED = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Correctness:
    """`right` (N,) bool: whether each image's top-1 prediction is its label, `labels` (N,) int; `ids`: the images, as JSON.

    `images` is a hash of ids and labels: runs with the same were evaluated on the same images in the same order.
    """

    images: str
    labels: np.ndarray
    ids: bytes
    right: np.ndarray

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> Correctness:
        """Compare the columns `label` and `prediction` of a table with one row per image."""
        labels = predictions["label"].to_numpy()
        ids = json.dumps(predictions["image_id"].tolist()).encode()
        images = hashlib.sha256(ids + labels.astype(np.int64).tobytes()).hexdigest()
        return cls(images, labels, ids, labels == predictions["prediction"].to_numpy())

    @property
    def image_ids(self) -> np.ndarray:
        return np.array(json.loads(self.ids), dtype=object)


class CorrectnessReader:
    """Reads the runs of a target. They share their images, which are held in memory, and cached on disk, once.

    `again` says how to make predictions that are missing or damaged.
    """

    def __init__(self, again: str) -> None:
        self._again = again
        self._folder = cache_root() / "predictions"
        self._images: dict[str, tuple[np.ndarray, bytes]] = {}

    def read(self, path: Path, n_classes: int, sha256: str) -> Correctness:
        """Return the correctness of the predictions in `path`. Raises `InputError` as `read_predictions` does."""
        cached = self._folder / f"{sha256}-{n_classes}.npz"
        if cached.exists() and checksum(path) == sha256:
            with suppress(*_DAMAGED):
                with np.load(cached) as stored:
                    [images] = stored
                    right = np.unpackbits(stored[images]).astype(bool)
                if images not in self._images:
                    with np.load(self._shared(images)) as stored:
                        self._images[images] = stored["labels"], stored["ids"].tobytes()
                labels, ids = self._images[images]
                return Correctness(images, labels, ids, right[: len(labels)])
        found = Correctness.of(read_predictions(path, n_classes, self._again, sha256))
        with suppress(InputError):  # a cache that cannot be written
            make_writable(self._folder)
            if found.images not in self._images:  # it is missing, damaged, or not read yet
                _save(self._shared(found.images), labels=found.labels, ids=np.frombuffer(found.ids, np.uint8))
            _save(cached, **{found.images: np.packbits(found.right)})
        labels, ids = self._images.setdefault(found.images, (found.labels, found.ids))
        return Correctness(found.images, labels, ids, found.right)

    def _shared(self, images: str) -> Path:
        return self._folder / f"images-{images}.npz"


def _save(path: Path, **arrays: np.ndarray) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())
