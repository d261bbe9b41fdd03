"""The benchmark's images: JPEG files in one folder per class, which our code and the plain loops read alike.

Photographs of Caltech-101's animals where the data root has them, otherwise pictures of the toy world.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from pretraining_gain.compute.images.folder import load_files
from pretraining_gain.compute.images.packs import load_packs, pack_path
from pretraining_gain.compute.pipeline import ImageSet
from pretraining_gain.datasets import toy
from pretraining_gain.errors import InputError
from pretraining_gain.paths import cache_root, data_root, make_writable, prepared_root, write_atomically
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.resources import allowed_cores
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.prepare import Part, make_pack

#: From this size on, our runs keep images on disk, prepared, and not in memory.
LARGE_PX = 224
_TOY = Images(dataset="toy", class_table="toy_animals", n_classes=24, train_images_per_class=1, eval_images_per_class=0,
              options={"gap": 0.5})  # fmt: skip


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
        if root.is_dir():
            what = "photographs of Caltech-101's animal classes"
            rows = load_class_table("caltech101_animals")["folders"].str.split(";")
            classes = [[path for name in names for path in sorted((root / name).glob("*.jpg"))] for names in rows]
        else:
            what = "pictures of the toy world, drawn and saved as JPEG, as no Caltech-101 was found"
            classes = _draw(scratch / "drawn", drawn_per_class)
        shown = [path for files in classes for path in files[::10]]
        width, height = np.median([Image.open(path).size for path in shown], axis=0).astype(int)
        kilobytes = np.median([path.stat().st_size for path in shown]) / 1000
        description = f"{what}, in the median {width}x{height} pixels and {kilobytes:.0f} kB"
        return cls(sorted(classes, key=len, reverse=True), description, scratch)

    def task(self, n_images: int, n_classes: int, n_eval: int = 0, skip: int = 0) -> Path:
        """Return a folder of links, train/<class>/ and val/<class>/: `n_images` to train on, evenly over the largest classes
        after the first `skip`, and up to `n_eval` per class to evaluate. Files repeat if nothing is evaluated; otherwise, raises
        `InputError` for too few."""
        folder, each = self.scratch / f"task-{n_images}-{n_classes}-{n_eval}-{skip}", n_images // n_classes
        for label, files in enumerate(self.classes[skip : skip + n_classes]):
            if n_eval and len(files) <= each:
                raise InputError(f"a class has {len(files)} images, the benchmark needs {each + 1} or more")
            for split, chosen in (("train", islice(cycle(files), each)), ("val", files[each : each + n_eval])):
                for number, path in enumerate(chosen):
                    link = folder / split / f"{label:03d}" / f"{number:05d}-{path.name}"
                    link.parent.mkdir(parents=True, exist_ok=True)
                    if not link.is_symlink():
                        link.symlink_to(path)
        return folder


def _draw(root: Path, per_class: int) -> list[list[Path]]:
    """Draw animals of the toy world and save them as JPEG files of quality 90; return the files of each class."""
    images, classes = _TOY.model_copy(update={"train_images_per_class": per_class}), []
    for row in load_class_table("toy_animals").to_dict("records"):
        paths = [root / row["key"] / f"{number:04d}.jpg" for number in range(per_class)]
        paths[0].parent.mkdir(parents=True)
        for path, pixels in zip(paths, toy.load_class(images, row, "train", 300)[0], strict=True):
            Image.fromarray(pixels[:225]).save(path, "JPEG", quality=90)
        classes.append(paths)
    return classes


def load(task: Path, split: str, size_px: int, *, afresh: bool = False, in_memory: bool = False) -> ImageSet:
    """Return a task's images as our runs hold them: large ones prepared on disk, others, or with `in_memory` all, in memory.

    `afresh` decodes or prepares the files again.
    """
    if afresh:
        shutil.rmtree(cache_root() / "decoded", ignore_errors=True)
        shutil.rmtree(prepared_root() / task.name, ignore_errors=True)
    folders = sorted((task / split).iterdir())
    if in_memory or size_px < LARGE_PX:
        parts = [load_files(sorted(folder.iterdir()), task, size_px, "stop") for folder in folders]
        pixels = torch.from_numpy(np.concatenate([part.pixels for part in parts])).permute(0, 3, 1, 2).contiguous()
        labels = np.repeat(np.arange(len(parts)), [len(part.pixels) for part in parts])
        return ImageSet(pixels, torch.from_numpy(labels), [name for part in parts for name in part.image_ids])
    with ThreadPoolExecutor(allowed_cores()) as pool:
        for folder in folders:
            path = pack_path(task.name, split, size_px, folder.name)
            if not path.exists():
                files = [(file.name, file) for file in sorted(folder.iterdir())]
                pack = make_pack(Part(_TOY, split, size_px), files, {}, pool, tqdm(disable=True))
                write_atomically(make_writable(path.parent) / path.name, pack)
    return load_packs(task.name, split, size_px, [folder.name for folder in folders], limit=10**9)
