"""The images of the benchmark: a reader's Caltech-101 animals, else pictures of the toy world, as JPEG files on disk.

Ours reads them as its dataset `caltech101`, the others as the folder of a folder a class that torchvision wants; these
hold links to the same files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from tqdm import tqdm

from pretraining_gain.bench.threads import n_cores, one_thread
from pretraining_gain.compute.images import load_images
from pretraining_gain.compute.images.packs import load_packs, pack_path
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.datasets import toy
from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, data_root, make_writable, prepared_root, write_atomically
from pretraining_gain.plan.studies import Images
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.prepare import Part, make_pack

_TABLE = "caltech101_animals"
_DRAWN_PX = (300, 225)
_PLACES = ("DATA", "CACHE", "PREPARED", "RESULTS")


@dataclass(frozen=True)
class Task:
    """A classification task on JPEG files: ours by `images` and `rows`, the others by `folder`/train and `folder`/val."""

    images: Images
    rows: pd.DataFrame
    folder: Path

    def decoded(self, split: str, size_px: int, afresh: bool = False) -> ImageSet:
        """In memory, as a run of ours has them; `afresh`: from the original files, whatever was decoded before."""
        if afresh:
            shutil.rmtree(cache_root() / "decoded", ignore_errors=True)
        return load_images(self.images, self.rows, split, size_px)

    def packed(self, split: str, size_px: int, afresh: bool = False) -> ImageSet:
        """On disk, prepared, as a run of ours has large images; `afresh`: prepared now, from the original files."""
        keys = list(self.rows["key"])
        if afresh:
            shutil.rmtree(prepared_root() / "bench", ignore_errors=True)
        if not pack_path("bench", split, size_px, keys[0]).exists():
            make_writable(pack_path("bench", split, size_px, "any").parent)
            self._pack(split, size_px)
        return load_packs("bench", split, size_px, keys, limit=10**9)

    def _pack(self, split: str, size_px: int) -> None:
        part = Part(self.images, split, size_px)
        with one_thread(), ThreadPoolExecutor(n_cores()) as pool, tqdm(disable=True) as bar:
            for label, key in enumerate(self.rows["key"]):
                files = sorted((self.folder / _FOLDERS[split] / f"{label:03d}").iterdir())
                content = make_pack(part, [(file.name, file) for file in files], {}, pool, bar)
                write_atomically(pack_path("bench", split, size_px, key), content)


_FOLDERS = {"train": "train", "eval": "val"}


@dataclass(frozen=True)
class Photographs:
    """Where the images are, and what they are, in one sentence."""

    root: Path
    description: str
    scratch: Path

    def files(self, n: int) -> list[Path]:
        """`n` files spread over all classes."""
        found = sorted((self.root / "caltech-101" / "101_ObjectCategories").glob("*/*.jpg"))
        wanted = set(pd.Series(_rows()["folders"]).str.split(";").explode())
        animals = [path for path in found if path.parent.name in wanted]
        return animals[:: max(1, len(animals) // n)][:n]

    def task(self, n_images: int, n_classes: int, n_eval: int = 0, skip: int = 0) -> Task:
        """A task with `n_images` to train on, evenly over the classes that have most (but the first `skip`), and up to
        `n_eval` a class besides."""
        rows = self._largest(skip, n_classes)
        images = Images(
            dataset="caltech101", class_table=_TABLE, n_classes=len(_rows()),
            train_images_per_class=n_images // n_classes, eval_images_per_class=n_eval,
        )  # fmt: skip
        folder = self.scratch / f"folders-{n_images}-{n_classes}-{n_eval}-{skip}"
        task = Task(images, rows, folder)
        for split in ("train", "eval") if n_eval else ("train",):
            data = task.decoded(split, 16)
            for label, image_id in zip(data.labels.tolist(), data.image_ids, strict=True):
                link = folder / _FOLDERS[split] / f"{label:03d}" / image_id.replace("/", "-")
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.exists():
                    link.symlink_to(self.root / "caltech-101" / "101_ObjectCategories" / image_id)
        return task

    def _largest(self, skip: int, n_classes: int) -> pd.DataFrame:
        root = self.root / "caltech-101" / "101_ObjectCategories"
        rows = _rows()
        rows = rows[rows["folders"].map(lambda text: all((root / name).is_dir() for name in text.split(";")))]
        sizes = rows["folders"].map(
            lambda text: sum(len(list((root / name).glob("*.jpg"))) for name in text.split(";"))
        )
        return rows.loc[sizes.sort_values(ascending=False, kind="stable").index[skip : skip + n_classes].sort_values()]


def _rows() -> pd.DataFrame:
    return load_class_table(_TABLE)


@contextmanager
def photographs(scratch: Path, drawn_per_class: int, only_drawn: bool = False) -> Iterator[Photographs]:
    """The images, and within it all places that a run of ours writes to, in `scratch`."""
    root = data_root()
    if (root / "caltech-101" / "101_ObjectCategories").is_dir() and not only_drawn:
        what = "photographs of Caltech-101's animal classes"
    else:
        root = scratch / "data"
        draw(root / "caltech-101" / "101_ObjectCategories", drawn_per_class)
        what = "pictures of the toy world, drawn and saved as JPEG, as no Caltech-101 was found"
    before = {name: os.environ.get(name) for name in map("PRETRAINING_GAIN_{}".format, _PLACES)}
    os.environ |= {f"PRETRAINING_GAIN_{name}": str(scratch / name.lower()) for name in _PLACES[1:]}
    os.environ["PRETRAINING_GAIN_DATA"] = str(root)
    try:
        found = Photographs(root, "", scratch)
        yield Photographs(root, f"{what}, {_usual_size(found.files(200))}", scratch)
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def draw(root: Path, per_class: int) -> None:
    """Animals of the toy world in the folders of Caltech-101's animals, as JPEG files of quality 90."""
    images = Images(
        dataset="toy", class_table="toy_animals", n_classes=24, train_images_per_class=per_class,
        eval_images_per_class=0, options={"gap": 0.5},
    )  # fmt: skip
    table = load_class_table("toy_animals").to_dict("records")
    for row, target in zip(table, _rows()["folders"].str.split(";"), strict=False):
        pixels = toy.load_class(images, row, "train", _DRAWN_PX[0])[0]
        for number, image in enumerate(pixels):
            path = root / target[number % len(target)] / f"image_{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[: _DRAWN_PX[1]]).save(path, "JPEG", quality=90)


def _usual_size(files: list[Path]) -> str:
    if not files:
        raise InputError("no images found; accepted: Caltech-101 in PRETRAINING_GAIN_DATA, or none at all")
    sizes = []
    for file in files:
        with Image.open(file) as image:
            sizes.append(image.size)
    width, height = pd.DataFrame(sizes).median().astype(int)
    kilobytes = pd.Series([file.stat().st_size for file in files]).median() / 1000
    return f"in the median {width}x{height} pixels and {kilobytes:.0f} kB"


def tiled(data: ImageSet, n: int) -> ImageSet:
    """`n` images in memory: those of `data`, again and again."""
    positions = torch.arange(n) % len(data)
    return ImageSet(data.images[positions], data.labels[positions], [f"{i}" for i in range(n)])
