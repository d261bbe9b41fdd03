"""Folders of image files, decoded once into a uint8 cache.

A folder or a file may be a link. An image's id in the results is its path in the dataset's own folder.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pretraining_gain.compute.images.decoding import ACCEPTED, BrokenImage, read_image
from pretraining_gain.compute.listing import SUFFIXES, image_files
from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, make_writable, write_atomically
from pretraining_gain.plan.code import code_hash
from pretraining_gain.plan.parts import Images


class Decoded(NamedTuple):
    """Images of a class: (N, S, S, 3) uint8, N ids, the broken files left out, and whether they came from the cache."""

    pixels: np.ndarray
    image_ids: list[str]
    skipped: list[str]
    from_cache: bool


def list_images(folder: Path) -> list[Path]:
    """List image files in `folder`, sorted by name. Raises `InputError` when it is missing, no folder, or has none."""
    paths = image_files(folder)
    if paths:
        return paths
    what = "is a file" if folder.exists() else "is missing"
    if folder.is_dir():
        what = f"has no images ({', '.join(sorted(SUFFIXES))})"
    elif folder.is_symlink() and not folder.exists():
        what = f"is a link that leads nowhere, to {os.readlink(folder)}"
    raise InputError(
        f"data folder {folder} {what}; fetch it with `python -m pretraining_gain.data STUDY`, "
        "or set PRETRAINING_GAIN_DATA to where the data are"
    )


def load_part(images: Images, key: str, paths: list[Path], split: str, root: Path, size_px: int) -> Decoded:
    """Decode the first `paths` of class `key`: as many as the study trains on, or at most as many as it evaluates on.

    Raises `InputError` if a class has fewer images than the study trains on: its folder is incomplete.
    """
    n = images.per_class(split)
    if split == "train" and len(paths) < n:
        where = f"class {key!r} in {paths[0].parent if paths else root}"
        raise InputError(f"{where} has {len(paths)} images, train_images_per_class is {n}; accepted: 1 to {len(paths)}")
    return load_files(paths, root, size_px, images.broken_images, n)


def load_files(paths: list[Path], root: Path, size_px: int, broken_images: str, wanted: int | None = None) -> Decoded:
    """Decode the first `wanted` of `paths` (default: all) to (N, S, S, 3) uint8, or read them from the cache if these
    very files were decoded before.

    Ids are paths below `root`. A file that cannot be decoded stops with its path, or, when `broken_images` is `skip`,
    is listed and replaced by the next that can.
    """
    wanted = len(paths) if wanted is None else wanted
    ids = [path.relative_to(root).as_posix() for path in paths]
    read = list(zip(ids, paths, strict=True))[: None if broken_images == "skip" else wanted]
    listing = [f"{name} {_state(path)}" for name, path in read]
    how = [str(size_px), str(wanted), broken_images, code_hash("compute.images.decoding")]
    key = hashlib.sha256("\n".join([*listing, *how]).encode(errors="surrogateescape")).hexdigest()[:24]
    cached = cache_root() / "decoded" / f"{key}.npz"
    try:
        with np.load(cached) as stored:
            return Decoded(stored["pixels"], stored["ids"].tolist(), stored["skipped"].tolist(), True)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # missing or damaged: decode again
        pass
    decoded = _decode(read, size_px, broken_images, wanted)
    buffer = io.BytesIO()
    skipped = np.array(decoded.skipped, dtype=str)
    np.savez(buffer, pixels=decoded.pixels, ids=np.array(decoded.image_ids, dtype=str), skipped=skipped)
    with suppress(InputError):  # a cache that cannot be written costs time, no more
        write_atomically(make_writable(cached.parent) / cached.name, buffer.getvalue())
    return decoded


def _state(path: Path) -> str:
    """Return size and time of a file, which change when its content does."""
    try:
        state = path.stat()
    except OSError as error:
        return str(error.strerror)
    return f"{state.st_size} {state.st_mtime_ns}"


def _decode(files: list[tuple[str, Path]], size_px: int, broken_images: str, wanted: int) -> Decoded:
    pixels: list[np.ndarray] = []
    kept: list[str] = []
    skipped: list[str] = []
    for name, path in files:
        if len(kept) == wanted:
            break
        try:
            pixels.append(read_image(path, size_px)[0])
            kept.append(name)
        except BrokenImage as error:
            if broken_images != "skip":
                raise InputError(error) from None
            skipped.append(name)
    if skipped and not kept:
        raise InputError(f"no image in {files[0][1].parent} can be decoded, first {files[0][1].name}; accepted: {ACCEPTED}")
    return Decoded(np.array(pixels, dtype=np.uint8).reshape(-1, size_px, size_px, 3), kept, skipped, False)
