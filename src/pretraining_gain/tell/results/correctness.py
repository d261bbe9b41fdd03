"""Which images each run got right, read strictly once and then from the cache.

Predictions are text: at the paper's size, reading and checking a study's takes minutes, and every notebook reads them. What
was found is kept under the checksum of the file that it was found in, so a file that changed is read anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, make_writable, write_atomically
from pretraining_gain.tell.results.stored import checksum, read_predictions

_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Hits:
    """`right` (N,) bool, whether each image's top-1 prediction is its label; `labels` (N,) int; `ids`: the images, as JSON.

    `images` names the images and their labels: equal where two runs were evaluated on the same, in the same order.
    """

    images: str
    labels: np.ndarray
    ids: bytes
    right: np.ndarray

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> Hits:
        labels = predictions["label"].to_numpy()
        ids = json.dumps(predictions["image_id"].tolist()).encode()
        images = hashlib.sha256(ids + labels.astype(np.int64).tobytes()).hexdigest()
        return cls(images, labels, ids, labels == predictions["prediction"].to_numpy())

    @property
    def image_ids(self) -> np.ndarray:
        return np.array(json.loads(self.ids), dtype=object)


class HitsReader:
    """Reads the runs of a target, which share their images: these are held, and kept on disk, once."""

    def __init__(self, again: str) -> None:
        """`again` says how to make predictions that are missing or damaged."""
        self._again = again
        self._images: dict[str, tuple[np.ndarray, bytes]] = {}

    def read(self, path: Path, n_classes: int, sha256: str) -> Hits:
        """The predictions in `path`. Raises `InputError` as `read_predictions` does."""
        place = _folder() / f"{sha256}-{n_classes}.npz"
        if place.exists() and checksum(path) == sha256:
            with suppress(*_DAMAGED):
                return self._kept(place)
        hits = Hits.of(read_predictions(path, n_classes, self._again, sha256))
        with suppress(InputError):  # what cannot be kept is read again
            self._keep(place, hits)
        return hits

    def _kept(self, place: Path) -> Hits:
        with np.load(place) as found:
            images, n, right = str(found["images"]), int(found["n"]), found["right"]
        if images not in self._images:
            with np.load(_images_path(images)) as found:
                self._images[images] = found["labels"], found["ids"].tobytes()
        return Hits(images, *self._images[images], np.unpackbits(right, count=n).astype(bool))

    def _keep(self, place: Path, hits: Hits) -> None:
        make_writable(place.parent)
        if not _images_path(hits.images).exists():
            _write(_images_path(hits.images), labels=hits.labels, ids=np.frombuffer(hits.ids, np.uint8))
        _write(place, images=np.array(hits.images), n=np.array(len(hits.right)), right=np.packbits(hits.right))


def _folder() -> Path:
    return cache_root() / "predictions"


def _images_path(images: str) -> Path:
    return _folder() / f"images-{images}.npz"


def _write(path: Path, **arrays: np.ndarray) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())
