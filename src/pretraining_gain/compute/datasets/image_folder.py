"""Folders of image files, decoded once into a uint8 cache. Shared by the datasets that are such folders.

A folder or a file may be a link, wherever it leads: many keep their datasets as links to one store. What an image is
called in the results is its name in the dataset's own folder.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch.nn import functional as F

from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, make_writable, write_atomically
from pretraining_gain.plan.code import code_hash
from pretraining_gain.plan.studies import Images

SUFFIXES = {".jpg", ".jpeg", ".png"}
#: By content, whatever the name says: ImageNet has a PNG among its .JPEG. Pillow reads others, some with programs of
#: their own (Ghostscript), which a file that claims to be a photograph should not start.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
#: What an image may measure. Below, it shows nothing (a placeholder); above, decoding takes gigabytes. Read from the header.
SMALLEST_SIDE_PX, LARGEST_PX = 4, 100_000_000
#: What Pillow raises for a file that is cut off, empty, huge beyond reason, or no image at all; the second line is for
#: camera data in which a number is none, found by changing bytes of good files at random.
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError,
          struct.error, TypeError, ArithmeticError, LookupError, EOFError)  # fmt: skip
# Pillow warns from 89 megapixels on, in two lines; the limit here is the same in kind and stops.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Decoded(NamedTuple):
    """Images of a class: (N, S, S, 3) uint8, N ids, the broken files left out, and whether they came from the cache."""

    pixels: np.ndarray
    image_ids: list[str]
    skipped: list[str]
    from_cache: bool


def image_files(folder: Path) -> list[Path]:
    """What is called like an image in `folder`, sorted by name; nothing where there is no folder. Raises `InputError`
    for a name that cannot be written into a table of results."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    for path in paths:
        if not path.name.isprintable():  # line ends; bytes that are no UTF-8
            raise InputError(f"image {path.name!r} in {folder} has an odd name; accepted: printable UTF-8, rename it")
    return paths


def list_images(folder: Path) -> list[Path]:
    """Image files in `folder`, sorted by name. Raises `InputError` when it is missing, no folder, or has none."""
    paths = image_files(folder)
    if not paths:
        what = f"has no images ({', '.join(sorted(SUFFIXES))})" if folder.is_dir() else _why_no_folder(folder)
        raise InputError(
            f"data folder {folder} {what}; fetch it with `python -m pretraining_gain.data mini`, "
            "or set PRETRAINING_GAIN_DATA to where the data are"
        )
    return paths


def _why_no_folder(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"is a link that leads nowhere, to {os.readlink(path)}"
    return "is a file" if path.exists() else "is missing"


def check_enough(paths: list[Path], images: Images, where: str) -> None:
    """Raise `InputError` where a class has fewer images than the study trains on: a folder that is not all there."""
    n = images.train_images_per_class
    if len(paths) < n:
        raise InputError(f"{where} has {len(paths)} images, train_images_per_class is {n}; accepted: 1 to {len(paths)}")


def load_files(paths: list[Path], root: Path, size_px: int, broken_images: str) -> Decoded:
    """Decode `paths` to (N, S, S, 3) uint8, from the cache when these very files were decoded before.

    Ids are paths below `root`. A file that cannot be decoded stops with its path, or, when `broken_images` is
    `skip`, is left out and listed.
    """
    ids = [path.relative_to(root).as_posix() for path in paths]
    listing = [f"{name} {_state(path)}" for name, path in zip(ids, paths, strict=True)]
    how = [str(size_px), broken_images, code_hash("compute.datasets.image_folder")]
    key = hashlib.sha256("\n".join([*listing, *how]).encode(errors="surrogateescape")).hexdigest()[:24]
    cached = cache_root() / "decoded" / f"{key}.npz"
    found = _read_cache(cached)
    if found:
        return found
    decoded = _decode_all(paths, ids, size_px, broken_images)
    buffer = io.BytesIO()
    skipped = np.array(decoded.skipped, dtype=str)
    np.savez(buffer, pixels=decoded.pixels, ids=np.array(decoded.image_ids, dtype=str), skipped=skipped)
    write_atomically(make_writable(cached.parent) / cached.name, buffer.getvalue())
    return decoded


def _state(path: Path) -> str:
    """What changes when the file does."""
    try:
        state = path.stat()
    except OSError as error:
        return str(error.strerror)
    return f"{state.st_size} {state.st_mtime_ns}"


def _read_cache(path: Path) -> Decoded | None:
    """What was decoded before; None where nothing was, and where it is damaged, as it can be made again."""
    try:
        with np.load(path) as stored:
            return Decoded(stored["pixels"], stored["ids"].tolist(), stored["skipped"].tolist(), True)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _decode_all(paths: list[Path], ids: list[str], size_px: int, broken_images: str) -> Decoded:
    pixels, kept, skipped = [], [], []
    for path, name in zip(paths, ids, strict=True):
        try:
            pixels.append(decode(read_file(path), size_px))
            kept.append(name)
        except BROKEN as error:
            if broken_images != "skip":
                raise InputError(why_broken(path, error)) from None
            skipped.append(name)
    if paths and not kept:
        raise InputError(f"no image in {paths[0].parent} can be decoded, first {paths[0].name}; accepted: {_ACCEPTED}")
    return Decoded(np.array(pixels, dtype=np.uint8).reshape(-1, size_px, size_px, 3), kept, skipped, False)


_ACCEPTED = f"{', '.join(FORMATS)} of {SMALLEST_SIDE_PX} pixels a side to {LARGEST_PX // 10**6} megapixels"


def why_broken(path: Path, error: Exception) -> str:
    """One line about a file that cannot be decoded: where, why, and what to do."""
    reason = " ".join(str(error).split())
    if path.is_file() and path.stat().st_size == 0:
        reason = "zero bytes"
    elif isinstance(error, UnidentifiedImageError):
        reason = f"no image; accepted: {_ACCEPTED}"
    return (
        f"image {path} cannot be decoded ({reason}); repair or delete it, or set broken_images: skip in the study file"
    )


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises `OSError` for a link that leads nowhere and for what is no file (a pipe would wait)."""
    if path.is_file():
        return path.read_bytes()
    if path.is_symlink() and not path.exists():
        raise OSError(f"a link that leads nowhere, to {os.readlink(path)}")
    raise OSError("is no file" if path.exists() else "is missing")


def decode(content: bytes, size_px: int) -> np.ndarray:
    """One image as (S, S, 3) uint8: upright, RGB, central square resized to S, antialiased. Raises one of `BROKEN`.

    A whole, upright JPEG in colour or grey is decoded by libjpeg-turbo, at the smallest of its scales that has S pixels
    or more; the square is then resized by torch. All else is left to Pillow, which has the last word on what is broken.
    """
    pixels = _decode_jpeg(content, size_px)
    if pixels is not None:
        return _resized(_square(pixels), size_px)
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_header(image)
        upright = ImageOps.exif_transpose(image).convert("RGB")
        return np.asarray(ImageOps.fit(upright, (size_px, size_px), method=Image.Resampling.BICUBIC))


def _decode_jpeg(content: bytes, size_px: int) -> np.ndarray | None:
    """(H, W, 3) uint8, each side S or more where the image has as many; None for what is not of the usual kind."""
    if not content.startswith(b"\xff\xd8") or _is_turned(content):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        if colours not in ("YCbCr", "Gray") or _size_is_odd(width, height):
            return None
        return simplejpeg.decode_jpeg(content, min_height=size_px, min_width=size_px)
    except ValueError:
        return None


def _is_turned(content: bytes) -> bool:
    """Whether a JPEG's camera data, which come first if there are any, say that it is to be turned."""
    if b"Exif\0\0" not in content[:65536]:
        return False
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) != 1


def _square(pixels: np.ndarray) -> np.ndarray:
    """The central square of (H, W, 3)."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _resized(square: np.ndarray, size_px: int) -> np.ndarray:
    """(H, H, 3) uint8 -> (S, S, 3) uint8."""
    if len(square) == size_px:
        return square
    image = torch.from_numpy(square).permute(2, 0, 1)[None]
    return F.interpolate(image, (size_px, size_px), mode="bicubic", antialias=True)[0].permute(1, 2, 0).numpy()


def _check_header(image: Image.Image) -> None:
    """Raise `ValueError` for a size that is none of a photograph, and for 16 bits a channel, which would turn white."""
    width, height = image.size
    if _size_is_odd(width, height):
        raise ValueError(f"{width}x{height} pixels; accepted: {_ACCEPTED}")
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"pixels of mode {image.mode}; accepted: 8 bits a channel")


def _size_is_odd(width: int, height: int) -> bool:
    return min(width, height) < SMALLEST_SIDE_PX or width * height > LARGEST_PX
