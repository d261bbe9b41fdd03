"""Make the compact form that training reads from: `python -m pretraining_gain.prepare STUDY [--estimate | --check]`

For the large datasets of a study (ImageNet-1K, iNaturalist 2021). Each image is decoded once, set upright, reduced to
the square that the recipe needs, and kept as a JPEG in the pack of its class. A sample gives an estimate of time and disk
first; too small a disk is refused. Existing packs are kept, so a killed preparation goes on.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import simplejpeg
import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from pretraining_gain.commands import CommandLine, answer, whole_number
from pretraining_gain.compute.images.decoding import BrokenImage, read_image
from pretraining_gain.compute.images.packs import INDEX, check_pack, pack_path, read_pack
from pretraining_gain.datasets import Drawing, Preparation, find_dataset
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, prepared_root, write_atomically
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.resources import allowed_cores
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.results.leaks import split_lines

QUALITY = 95
_SAMPLE = 24  # images to estimate from
_MARGIN = 1.1  # of free disk space over the estimate
_bar = partial(tqdm, mininterval=2, smoothing=0.05)


@dataclass(frozen=True)
class Part:
    """One split of the classes of one table at one size, as packs."""

    images: Images
    split: str
    size_px: int

    @property
    def preparation(self) -> Preparation:
        return find_dataset(self.images.dataset).preparation or Preparation(lambda images, rows, split: [])

    @property
    def drawing(self) -> Drawing | None:
        """Return the parameters of drawing these images; None if the dataset provides them."""
        drawing = self.preparation.drawing
        return drawing if drawing and self.split == "eval" and drawing.wanted(self.images) else None

    @property
    def training(self) -> Part:
        return Part(self.images, "train", self.size_px)

    def rows(self) -> pd.DataFrame:
        return load_class_table(self.images.class_table or "")

    def path(self, key: str) -> Path:
        return pack_path(self.images.dataset, self.preparation.part_name(self.images, self.split), self.size_px, key)

    def missing(self) -> pd.DataFrame:
        rows = self.rows()
        return rows.loc[[not self.path(key).exists() for key in rows["key"]]]

    def hashes(self) -> dict[str, str]:
        """Return SHA-256 of the original -> image id, for all images in the packs."""
        packs = [read_pack(self.path(key))[0] for key in self.rows()["key"]]
        return {sha256: image_id for pack in packs for _, image_id, sha256 in pack["images"]}

    def __str__(self) -> str:
        return f"{self.images.class_table} {self.split} at {self.size_px} px"


def parts_of(study: Study) -> list[Part]:
    """List the parts that a study reads as packs, each once. A source is trained on only, a target also evaluated on.

    Raises `InputError` where two targets share packs and treat broken images differently.
    """
    wanted = []
    if study.source:
        images, recipe = study.pretraining
        wanted += [Part(images, "train", recipe.resolve().resize_px)]
    for target in study.downstreams:
        wanted += [Part(target.images, split, target.recipe.resolve().resize_px) for split in ("train", "eval")]
    found: dict[tuple[str | None, Path], Part] = {}
    for part in (part for part in wanted if find_dataset(part.images.dataset).preparation):
        first = found.setdefault((part.images.class_table, part.path("any").parent), part)
        if first.images.broken_images != part.images.broken_images:
            raise InputError(f"study {study.name!r}: {part} has broken_images both stop and skip; accepted: one, for shared packs")
    return list(found.values())


def prepare(study_name: str, workers: int, only_estimate: bool = False) -> None:
    """Make all packs of a study. Raises `InputError` for missing or broken data, a leak, or too small a disk."""
    study = load_study(study_name)
    parts, splits = parts_of(study), [(images, look) for images in study.images if (look := find_dataset(images.dataset).findings)]
    for images, look in splits:
        print(f"{images.options.get('path', images.dataset)}: {' '.join(split_lines(look(images)))}")
    if not parts:
        print(f"study {study_name!r} needs no {'other ' if splits else ''}preparation")
        return
    with _alone():
        ready: list[Images] = []
        for part in parts:
            if part.images not in ready:
                part.preparation.set_up(part.images)
                ready.append(part.images)
        estimate(parts, workers)
        if only_estimate:
            return
        for part in sorted(parts, key=lambda part: part.split == "eval"):  # a drawn evaluation set avoids training images
            _make_packs(part, workers)
            if part.split == "eval":
                _look_for_leaks(part)


@contextmanager
def _alone() -> Iterator[None]:
    """Lock the folder of prepared data, so that unfinished files in it belong to no other process."""
    root = make_writable(prepared_root())
    try:
        with FileLock(root / ".lock", timeout=0, mode=0o666):  # all who share the folder may lock it
            yield
    except Timeout:
        raise InputError(f"another preparation is at work in {root}") from None


def estimate(parts: list[Part], workers: int) -> int:
    """Print images, disk and time still needed, from a sample; return the bytes. Raises `InputError` for too small a disk.

    Lists all images on the way, so missing classes are found before hours are spent.
    """
    total_bytes, total_s, counted = 0, 0.0, set()
    for part in parts:
        missing = part.missing()
        todo = missing.loc[[part.path(key) not in counted for key in missing["key"]]]
        counted |= {part.path(key) for key in todo["key"]}
        if todo.empty:
            print(f"{part}: nothing to do")
            continue
        like = part.training if part.drawing else part  # images still to be drawn are like those trained on
        listed = like.preparation.list_originals(like.images, todo, like.split)
        n = len(todo) * part.images.eval_images_per_class if part.drawing else sum(map(len, listed))
        size, seconds = _measure([paths[0][1] for paths in listed], part.size_px)
        total_bytes, total_s = total_bytes + int(n * size), total_s + n * seconds / workers
        print(f"{part}: {len(todo)} classes, {n:,} images, about {_disk(n * size)} and {_time(n * seconds / workers)}")
    free = shutil.disk_usage(prepared_root()).free
    needed = f"about {_disk(total_bytes)} of the {_disk(free)} free in {prepared_root()}"
    if total_bytes * _MARGIN > free:
        raise InputError(f"the packs need {needed}; free some, or set PRETRAINING_GAIN_PREPARED to a larger disk")
    print(f"in all {needed}, and {_time(total_s)} (h:min:s) with {workers} worker(s)")
    return total_bytes


def _disk(n_bytes: float) -> str:
    return f"{tqdm.format_sizeof(n_bytes, divisor=1000)}B"


def _time(seconds: float) -> str:
    return tqdm.format_interval(round(seconds))


def _measure(paths: list[Path], size_px: int) -> tuple[float, float]:
    """Return bytes and seconds per image, from a sample spread over the `paths` that can be decoded."""
    started, sizes = time.perf_counter(), []
    for path in paths[:: max(1, len(paths) // _SAMPLE)]:
        try:
            sizes.append(len(encode(path, size_px)[0]))
        except BrokenImage:
            continue
    return (sum(sizes) / len(sizes), (time.perf_counter() - started) / len(sizes)) if sizes else (0.0, 0.0)


def encode(path: Path, size_px: int) -> tuple[bytes, str]:
    """Return an image as the JPEG of a pack, and the SHA-256 of the original file."""
    square, content = read_image(path, size_px)
    made = simplejpeg.encode_jpeg(np.ascontiguousarray(square), QUALITY, colorsubsampling="444")
    return made, hashlib.sha256(content).hexdigest()


def _make_packs(part: Part, workers: int) -> None:
    """Make the packs that are missing, and first draw the images of a set that is drawn."""
    if part.drawing:
        with ThreadPoolExecutor(workers) as pool, _bar(desc=f"{part}: drawing", total=len(part.rows()), unit="class") as bar:
            short = part.drawing.draw(part.images, lambda: set(part.training.hashes()), pool.map, bar.update)
        for key, n in short.items():
            print(f"{part}: only {n} of {part.images.eval_images_per_class} images are left for {key}")
    todo = part.missing()
    if todo.empty:
        return
    for unfinished in make_writable(part.path("any").parent).glob(".*.tmp"):
        unfinished.unlink()  # of a killed preparation
    originals = part.preparation.list_originals(part.images, todo, part.split)
    mark = {"manifest": part.drawing.checksum(part.images)} if part.drawing else {}
    with ThreadPoolExecutor(workers) as pool, _bar(desc=str(part), total=sum(map(len, originals)), unit="image") as bar:
        for key, paths in zip(todo["key"], originals, strict=True):
            write_atomically(part.path(key), make_pack(part, paths, mark, pool, bar))


def make_pack(part: Part, paths: list[tuple[str, Path]], mark: dict[str, str], pool: ThreadPoolExecutor, bar: tqdm) -> bytes:
    """Return the pack of one class, made of images (id, path); its index also holds `mark`."""

    def encoded(item: tuple[str, Path]) -> tuple[bytes, str] | None:
        try:
            return encode(item[1], part.size_px)
        except BrokenImage as error:
            if part.images.broken_images == "skip":
                return None
            raise InputError(error) from None

    buffer = io.BytesIO()
    listed: list[Any] = []
    skipped: list[str] = []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as pack:
        for (image_id, _), made in zip(paths, pool.map(encoded, paths), strict=True):
            bar.update()
            if made is None:
                skipped.append(image_id)
                continue
            name = f"{len(listed):05d}.jpg"
            pack.writestr(zipfile.ZipInfo(name), made[0])
            listed.append([name, image_id, made[1]])
        pack.writestr(zipfile.ZipInfo(INDEX), json.dumps({"images": listed, "skipped": skipped} | mark))
    return buffer.getvalue()


def _look_for_leaks(part: Part) -> None:
    """Compare evaluation with training images by content. A match is an error in a set drawn here, a remark in a published one."""
    training = part.training.hashes()
    leaked = [image_id for sha256, image_id in part.hashes().items() if sha256 in training]
    if leaked and part.drawing:
        raise InputError(
            f"{part}: {len(leaked)} image(s) of the evaluation set equal training images, first {leaked[0]}; "
            f"delete {part.path('any').parent} and its manifest, and draw it again"
        )
    if leaked:
        print(f"{part}: {len(leaked)} image(s) equal training images, first {leaked[0]}; kept, as published")


def check(study_name: str) -> None:
    """Read every pack of a study and compare its checksums. Raises `InputError` naming what is missing or damaged."""
    packs = list({part.path(key): None for part in parts_of(load_study(study_name)) for key in part.rows()["key"]})
    wrong = []
    for path in _bar(packs, desc="checking", unit="pack"):
        try:
            check_pack(path)
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        raise InputError(f"{len(wrong)} of {len(packs)} packs are not whole: {'; '.join(wrong[:20])}")
    print(f"{len(packs)} packs are whole")


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("prepare", __doc__ or "")
    parser.add_argument("study", help="name in notebooks/studies/, or the path of a .yml file")
    parser.add_argument("--workers", type=whole_number, default=allowed_cores(), help="threads; default: all cores allowed")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--estimate", action="store_true", help="print time and disk, and stop")
    what.add_argument("--check", action="store_true", help="compare the checksums of all packs, and stop")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # each worker decodes and resizes on one thread
    if given.check:
        return answer("prepare", lambda: check(given.study))
    return answer("prepare", lambda: prepare(given.study, given.workers, only_estimate=given.estimate))


if __name__ == "__main__":
    sys.exit(main())
