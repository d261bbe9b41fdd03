"""Tiny ImageNet as published: 200 of ImageNet-1K's own classes, 64 pixels; 500 training and 50 validation images each.

`tiny-imagenet-200/train/<wnid>/images/*.JPEG`; `tiny-imagenet-200/val/images/*.JPEG`, whose classes are in
`val/val_annotations.txt`. The images of `test/` have no published classes and are not used.

Seven of the 10,000 validation images are, byte for byte, training images of another class, and one more nearly is: these labels
contradict each other, nothing leaks. No others are near-duplicates, as `datasets.folder.splitting` finds them. All are left in.
"""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretraining_gain.datasets import Dataset, Download
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root

if TYPE_CHECKING:
    from pretraining_gain.compute.images.folder import Decoded
    from pretraining_gain.plan.parts import Images

_FOLDER = "tiny-imagenet-200"


def load_class(images: Images, row: dict[str, Any], split: str, size_px: int) -> Decoded:
    """Load the first `train_images_per_class` training images of a wnid, or up to `eval_images_per_class` of `val`."""
    from pretraining_gain.compute.images.folder import list_images, load_part

    root = data_root() / _FOLDER
    if split == "train":
        paths = list_images(root / "train" / row["key"] / "images")
    else:
        listing = root / "val" / "val_annotations.txt"
        names = _validation(listing, listing.stat().st_mtime_ns if listing.exists() else 0).get(row["key"], [])
        paths = [root / "val" / "images" / name for name in names]
    return load_part(images, row["key"], paths, split, root, size_px)


@cache
def _validation(listing: Path, _mtime_ns: int) -> dict[str, list[str]]:
    """Return the validation images of each wnid, in the order of the published list (file, wnid, box; tabs between)."""
    files: dict[str, list[str]] = {}
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listing} cannot be read ({error}); it comes with Tiny ImageNet") from None
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.partition("\t")
        if not rest or "/" in name or name.startswith("."):
            raise InputError(f"{listing}, line {number}: {line[:80]!r}; accepted: file, wnid and box, with tabs between")
        files.setdefault(rest.split("\t")[0], []).append(name)
    return files


def unpack(archive: Path, folder: Path) -> None:
    """Unpack training and validation images, without the archive's outer folder."""
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            top, _, member.filename = member.filename.partition("/")
            if top == _FOLDER and member.filename and not member.filename.startswith("test/"):
                packed.extract(member, folder)
    if not (folder / "val" / "val_annotations.txt").is_file():
        raise LookupError("it has no val/val_annotations.txt")


DATASET = Dataset(
    credit="Tiny ImageNet (Stanford CS231n, after ImageNet), for non-commercial research; rights remain with the photographers",
    folder=_FOLDER,
    load_class=load_class,
    # The checksum as avalanche and others publish it; the file has 248,100,043 bytes.
    download=Download(
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "md5:90528d7ca1a48142e341f4ef8d21d0de", unpack
    ),
)
