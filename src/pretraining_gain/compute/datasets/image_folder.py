"""Folders of image files, decoded once into a uint8 cache. Shared by the datasets that are such folders."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, make_writable, write_atomically

SUFFIXES = {".jpg", ".jpeg", ".png"}
Decoded = tuple[np.ndarray, list[str], list[str]]
#: What Pillow raises for a file that is cut off, empty, huge beyond reason, or no image at all.
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def list_images(folder: Path) -> list[Path]:
    """Image files in `folder`, sorted by name. Raises `InputError` when it is missing or has none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        what = "has no images" if folder.is_dir() else "is missing"
        raise InputError(
            f"data folder {folder} {what}; fetch it with `python -m pretraining_gain.data mini`, "
            "or set PRETRAINING_GAIN_DATA to where the data are"
        )
    return paths


def load_files(paths: list[Path], root: Path, size_px: int, broken_images: str) -> Decoded:
    """Decode `paths` to (N, S, S, 3) uint8, from the cache when these very files were decoded before.

    Ids are paths below `root`. A file that cannot be decoded stops with its path, or, when `broken_images` is
    `skip`, is left out and listed.
    """
    ids = [path.relative_to(root).as_posix() for path in paths]
    listing = [f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}" for name, path in zip(ids, paths, strict=True)]
    key = hashlib.sha256("\n".join([*listing, str(size_px), broken_images]).encode()).hexdigest()[:24]
    cached = cache_root() / "decoded" / f"{key}.npz"
    if cached.exists():
        with np.load(cached) as stored:
            return stored["pixels"], stored["ids"].tolist(), stored["skipped"].tolist()
    decoded = _decode_all(paths, ids, size_px, broken_images)
    buffer = io.BytesIO()
    np.savez(buffer, pixels=decoded[0], ids=np.array(decoded[1]), skipped=np.array(decoded[2], dtype=str))
    write_atomically(make_writable(cached.parent) / cached.name, buffer.getvalue())
    return decoded


def _decode_all(paths: list[Path], ids: list[str], size_px: int, broken_images: str) -> Decoded:
    pixels, kept, skipped = [], [], []
    for path, name in zip(paths, ids, strict=True):
        try:
            pixels.append(decode(path, size_px))
            kept.append(name)
        except BROKEN as error:
            if broken_images != "skip":
                raise InputError(why_broken(path, error)) from None
            skipped.append(name)
    if not kept:
        raise InputError(f"no image in {paths[0].parent} can be decoded")
    return np.stack(pixels), kept, skipped


def why_broken(path: Path, error: Exception) -> str:
    """One line about a file that cannot be decoded: where, why, and what to do."""
    reason = "zero bytes" if path.exists() and path.stat().st_size == 0 else " ".join(str(error).split())
    return (
        f"image {path} cannot be decoded ({reason}); repair or delete it, or set broken_images: skip in the study file"
    )


def decode(file: Path | BinaryIO, size_px: int) -> np.ndarray:
    """One image as (S, S, 3) uint8: upright, RGB, short side resized to S, central square."""
    with Image.open(file) as image:
        return np.asarray(
            ImageOps.fit(
                ImageOps.exif_transpose(image).convert("RGB"), (size_px, size_px), method=Image.Resampling.BICUBIC
            )
        )
