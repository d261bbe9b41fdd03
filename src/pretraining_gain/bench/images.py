"""The benchmark's images: JPEG files in one folder per class, which our code and the plain loops read alike.

Photographs of Caltech-101's animals where the data root has them, otherwise pictures of the toy world.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from pretraining_gain.compute.images.folder import list_images, load_files
from pretraining_gain.compute.images.packs import load_packs, pack_path
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.datasets import toy
from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, data_root, make_writable, prepared_root, write_atomically
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.resources import allowed_cores
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.prepare import Part, make_pack

_DRAWN_PX = (300, 225)
_TOY = Images(dataset="toy", class_table="toy_animals", n_classes=24, train_images_per_class=1, eval_images_per_class=0,
              options={"gap": 0.5})  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A classification task: `folder`/train/<class>/ and `folder`/val/<class>/ hold JPEG files."""

    folder: Path

    def load(self, split: str, size_px: int, afresh: bool = False) -> ImageSet:
        """Return the images as our runs hold them: large ones prepared on disk, others in memory.

        `afresh` decodes or prepares the files again.
        """
        if afresh:
            shutil.rmtree(cache_root() / "decoded", ignore_errors=True)
            shutil.rmtree(prepared_root() / self.folder.name, ignore_errors=True)
        return self._packed(split, size_px) if size_px >= 224 else self.decoded(split, size_px)

    def decoded(self, split: str, size_px: int) -> ImageSet:
        """Return the images in memory."""
        parts = [load_files(list_images(one), self.folder, size_px, "stop") for one in self._classes(split)]
        pixels = torch.from_numpy(np.concatenate([part.pixels for part in parts])).permute(0, 3, 1, 2).contiguous()
        labels = np.repeat(np.arange(len(parts)), [len(part.image_ids) for part in parts])
        return ImageSet(pixels, torch.from_numpy(labels), [name for part in parts for name in part.image_ids])

    def _packed(self, split: str, size_px: int) -> ImageSet:
        name, classes, part = self.folder.name, self._classes(split), Part(_TOY, split, size_px)
        with ThreadPoolExecutor(allowed_cores()) as pool:
            for folder in classes:
                path = pack_path(name, split, size_px, folder.name)
                if not path.exists():
                    files = [(file.name, file) for file in sorted(folder.iterdir())]
                    pack = make_pack(part, files, {}, pool, tqdm(disable=True))
                    write_atomically(make_writable(path.parent) / path.name, pack)
        return load_packs(name, split, size_px, [folder.name for folder in classes], limit=10**9)

    def _classes(self, split: str) -> list[Path]:
        return sorted((self.folder / split).iterdir())


@dataclass(frozen=True)
class Photographs:
    """The files of each class, most first, what they are in one sentence, and a folder for tasks made of them."""

    classes: list[list[Path]]
    description: str
    scratch: Path

    @classmethod
    def find(cls, scratch: Path, drawn_per_class: int) -> Photographs:
        """Return Caltech-101's animals, or pictures of the toy world drawn into `scratch`."""
        root = data_root() / "caltech-101" / "101_ObjectCategories"
        what = "photographs of Caltech-101's animal classes"
        if root.is_dir():
            rows = load_class_table("caltech101_animals")["folders"].str.split(";")
            classes = [[path for name in names for path in sorted((root / name).glob("*.jpg"))] for names in rows]
        else:
            what = "pictures of the toy world, drawn and saved as JPEG, as no Caltech-101 was found"
            classes = _drawn(scratch / "drawn", drawn_per_class)
        found = cls(sorted(classes, key=len, reverse=True), "", scratch)
        shown = found.files(200)
        width, height = np.median([Image.open(path).size for path in shown], axis=0).astype(int)
        kilobytes = np.median([path.stat().st_size for path in shown]) / 1000
        return replace(found, description=f"{what}, in the median {width}x{height} pixels and {kilobytes:.0f} kB")

    def files(self, n: int) -> list[Path]:
        """Return `n` files spread over all classes."""
        every = [path for files in self.classes for path in files]
        return every[:: max(1, len(every) // n)][:n]

    def task(self, n_images: int, n_classes: int, n_eval: int = 0, skip: int = 0) -> Task:
        """Return a task of links: `n_images` to train on, evenly over the largest classes after the first `skip`, and up to
        `n_eval` per class to evaluate. Files repeat if nothing is evaluated; otherwise, raises `InputError` for too few."""
        folder, each = self.scratch / f"task-{n_images}-{n_classes}-{n_eval}-{skip}", n_images // n_classes
        for label, files in enumerate(self.classes[skip : skip + n_classes]):
            if n_eval and len(files) <= each:
                raise InputError(f"a class has {len(files)} images, the benchmark needs {each + 1} or more")
            repeated = [*islice(cycle(files), each)]
            for split, chosen in (("train", repeated), ("val", files[each : each + n_eval])):
                for number, path in enumerate(chosen):
                    link = folder / split / f"{label:03d}" / f"{number:05d}-{path.name}"
                    link.parent.mkdir(parents=True, exist_ok=True)
                    if not link.is_symlink():
                        link.symlink_to(path)
        return Task(folder)


def _drawn(root: Path, per_class: int) -> list[list[Path]]:
    """Draw animals of the toy world and save them as JPEG files of quality 90."""
    images, classes = _TOY.model_copy(update={"train_images_per_class": per_class}), []
    for row in load_class_table("toy_animals").to_dict("records"):
        paths = [root / row["key"] / f"{number:04d}.jpg" for number in range(per_class)]
        paths[0].parent.mkdir(parents=True)
        for path, pixels in zip(paths, toy.load_class(images, row, "train", _DRAWN_PX[0])[0], strict=True):
            Image.fromarray(pixels[: _DRAWN_PX[1]]).save(path, "JPEG", quality=90)
        classes.append(paths)
    return classes


def tiled(data: ImageSet, n: int) -> ImageSet:
    """Return `n` images in memory that repeat those of `data`."""
    positions = torch.arange(n) % len(data)
    return ImageSet(data.images[positions], data.labels[positions], [f"{i}" for i in range(n)])
