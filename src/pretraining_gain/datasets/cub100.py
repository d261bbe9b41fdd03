"""CUB-100: 100 of the 200 bird species of CUB-200-2011, photographs squared to 227 pixels (Wah et al. 2011).

`cub-100/images.txt` and `train_test_split.txt` give each image, by its number, a path below `images/` and a flag. The
flag 0 means training: 99 species have 30 such images and one has 29, as in the training part of CUB-200-2011, while the
number flagged 1 varies from 15 to 30. The counts in the README agree (2,999 to train, 2,903 to test); its text says the
reverse ("is training?").
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretraining_gain.datasets import Dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root

if TYPE_CHECKING:
    from pretraining_gain.compute.images.folder import Decoded
    from pretraining_gain.plan.parts import Images

_FLAGS = {"train": "0", "eval": "1"}
_MOST_TRAINED = 30


def load_class(images: Images, row: dict[str, Any], split: str, size_px: int) -> Decoded:
    """Load up to `train_images_per_class` or `eval_images_per_class` images of a species from the published split.

    Files in `near_duplicates` are left out. Raises `InputError` for a study that wants more than any species has.
    """
    from pretraining_gain.compute.images.folder import load_files

    wanted = images.per_class(split)
    if split == "train" and wanted > _MOST_TRAINED:
        raise InputError(f"cub100: train_images_per_class is {wanted}; accepted: 1 to {_MOST_TRAINED}, some species have fewer")
    root = data_root() / "cub-100"
    listed = _numbered(root / "images.txt")
    flags = _numbered(root / "train_test_split.txt")
    names = [name for number, name in listed.items() if flags.get(number) == _FLAGS[split]]
    left_out = {f"{row['key']}/{file}" for file in row["near_duplicates"].split(";")}
    paths = [root / "images" / name for name in names if name.split("/")[0] == row["key"] and name not in left_out]
    return load_files(paths, root, size_px, images.broken_images, wanted)


def _numbered(path: Path) -> dict[str, str]:
    return _read_numbered(path, path.stat().st_mtime_ns if path.exists() else 0)


@cache
def _read_numbered(path: Path, _mtime_ns: int) -> dict[str, str]:
    """Read lines like `12, Gadwall/0003.jpg`: image number -> text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); {DATASET.on_request}") from None
    pairs = [line.partition(", ") for line in lines if line.strip()]
    wrong = [number for number, (_, comma, text) in enumerate(pairs, start=1) if not comma or ".." in text]
    if wrong:
        raise InputError(f"{path}, line {wrong[0]}: accepted: a number, a comma, a space and a text")
    return {number: text for number, _, text in pairs}


DATASET = Dataset(
    credit="CUB-200-2011 (Wah, Branson, Welinder, Perona & Belongie 2011), 100 species, non-commercial research and education",
    folder="cub-100",
    load_class=load_class,
    columns=("near_duplicates",),
    on_request="CUB-100 is the folder ex03/task2/bird_dataset of github.com/serizba/vision, commit 16a8a47",
)
