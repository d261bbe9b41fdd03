"""List the image files of a folder, without torch, so that a plan can count them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from pretraining_gain.errors import InputError

#: Endings of photographs. What a file is, its content decides (see `compute.images.decoding`).
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".heic", ".heif"}
#: Unicode's control characters, bytes that are not UTF-8, and ends of lines and paragraphs.
_NO_TEXT = ("Cc", "Cs", "Zl", "Zp")


def image_files(folder: Path) -> list[Path]:
    """List files in `folder` with an image's suffix, sorted by name; none if there is no folder.

    Hidden files are no images: macOS keeps `._0001.jpg` beside `0001.jpg`. Raises `InputError` for a folder that cannot
    be read, and for a name that cannot be written into a table of results.
    """
    try:
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"data folder {folder} cannot be read: {error.strerror}; accepted: a folder that can be read") from None
    paths = [path for path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    for path in paths:
        if any(unicodedata.category(letter) in _NO_TEXT for letter in path.name):
            raise InputError(f"image {path.name!r} in {folder} has an odd name; accepted: UTF-8 on one line, rename it")
    return paths
