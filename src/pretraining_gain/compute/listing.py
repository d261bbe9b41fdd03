"""List the image files of a folder, without torch, so that a plan can count them."""

from __future__ import annotations

from pathlib import Path

from pretraining_gain.errors import InputError

#: Endings of photographs. What a file is, its content decides (see `compute.images.decoding`).
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".heic", ".heif"}


def image_files(folder: Path) -> list[Path]:
    """List files in `folder` with an image's suffix, sorted by name; none if there is no folder.

    Raises `InputError` for a name that cannot be written into a table of results.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    for path in paths:
        if not path.name.isprintable():  # line ends; bytes that are not UTF-8
            raise InputError(f"image {path.name!r} in {folder} has an odd name; accepted: printable UTF-8, rename it")
    return paths
