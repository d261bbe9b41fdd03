"""Make the compact form that training reads from: `python -m pretraining_gain.prepare STUDY [--yes]`

For the large datasets of a study (ImageNet-1K, iNaturalist 2021). Each image is decoded once, set upright, reduced to
the square that the recipe wants, and kept as a JPEG in the pack of its class. Before anything is written, time and disk
are estimated on a sample, and too small a disk is refused. What is there is kept, so a killed preparation goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import json
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from pretraining_gain.compute.datasets.image_folder import BROKEN, decode, why_broken
from pretraining_gain.compute.datasets.prepared import INDEX, pack_path, read_pack
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, prepared_root, write_atomically
from pretraining_gain.plan.studies import Images, Study, load_study
from pretraining_gain.plan.taxonomy import load_class_table

QUALITY = 95
_SAMPLE = 24
_MARGIN = 1.1  # of free disk space over the estimate


@dataclass(frozen=True)
class Part:
    """One split of one dataset at one size: what a preparation makes."""

    images: Images
    split: str
    size_px: int

    def rows(self) -> pd.DataFrame:
        return load_class_table(self.images.class_table or "")

    def name(self) -> str:
        return f"{self.images.dataset} {self.split} at {self.size_px} px"


def parts_of(study: Study) -> list[Part]:
    """What the study reads in prepared form, each once. A source is only trained on; a target is also evaluated on."""
    wanted = [Part(study.source, "train", study.pretrain.resolve().resize_px)]
    for target in study.downstreams:
        size_px = target.recipe.resolve().resize_px
        wanted += [Part(target.images, split, size_px) for split in ("train", "eval")]
    large = [part for part in wanted if hasattr(_module(part.images), "list_originals")]
    once = {(part.images.dataset, part.images.class_table, part.split, part.size_px): part for part in reversed(large)}
    return list(reversed(once.values()))


def prepare(study_name: str, workers: int, confirmed: bool = True) -> None:
    """Make all packs of a study. Raises `InputError` for missing or broken data, a leak, or too small a disk."""
    parts = parts_of(load_study(study_name))
    if not parts:
        print(f"study {study_name!r} needs no preparation")
        return
    make_writable(prepared_root())
    for part in parts:
        if hasattr(_module(part.images), "make_class_table"):
            _module(part.images).make_class_table(part.images)
    estimate(parts, workers)
    if not confirmed:
        return
    for part in sorted(parts, key=lambda part: part.split == "eval"):  # an evaluation set is kept apart from training
        if part.split == "eval" and hasattr(_module(part.images), "make_manifest"):
            _report_short(part, _module(part.images).make_manifest(part.images, lambda part=part: _hashes(_training(part))))
        _make_packs(part, workers)
        if part.split == "eval":
            _check_leaks(part)


def estimate(parts: list[Part], workers: int) -> int:
    """Print images, disk and time still to be spent, from a sample; returns the bytes. Refuses a disk that is too small."""
    total_bytes = 0
    for part in parts:
        keys = part.rows()["key"]
        todo = [key for key in keys if not _path(part, key).exists()]
        if not todo:
            print(f"{part.name()}: {len(keys)} classes, all there")
            continue
        sample_of = part if part.split == "train" else _training(part)
        rows = part.rows()[keys.isin(todo)]
        listed = _module(part.images).list_originals(sample_of.images, rows, "train")
        n = sum(len(paths) for paths in listed)
        if part.split == "eval":
            n = len(todo) * part.images.eval_images_per_class
        size, seconds = _measure([paths[0][1] for paths in listed if paths][:_SAMPLE], part.size_px)
        total_bytes += int(n * size)
        hours = n * seconds / workers / 3600
        print(f"{part.name()}: {len(todo)} classes, {n:,} images, about {n * size / 1e9:.2f} GB and {hours:.2f} h")
    free = shutil.disk_usage(prepared_root()).free
    if total_bytes * _MARGIN > free:
        raise InputError(
            f"the packs need about {total_bytes / 1e9:.2f} GB, but {prepared_root()} has {free / 1e9:.2f} GB free; "
            "free some, or set PRETRAINING_GAIN_PREPARED to a larger disk"
        )
    return total_bytes


def _measure(paths: list[Path], size_px: int) -> tuple[float, float]:
    """Bytes and seconds an image, of those in the sample that can be decoded."""
    started, sizes = time.perf_counter(), []
    for path in paths:
        try:
            sizes.append(len(encode(path, size_px)[0]))
        except BROKEN:
            continue
    return (sum(sizes) / len(sizes), (time.perf_counter() - started) / len(sizes)) if sizes else (0.0, 0.0)


def encode(path: Path, size_px: int) -> tuple[bytes, str]:
    """The image as the JPEG of a pack, and the SHA-256 of the original file."""
    content = path.read_bytes()
    buffer = io.BytesIO()
    Image.fromarray(decode(io.BytesIO(content), size_px)).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue(), hashlib.sha256(content).hexdigest()


def _make_packs(part: Part, workers: int) -> None:
    rows = part.rows()
    todo = rows[[not _path(part, key).exists() for key in rows["key"]]]
    if todo.empty:
        return
    make_writable(_path(part, "any").parent)
    originals = _module(part.images).list_originals(part.images, todo, part.split)
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=sum(map(len, originals)), desc=part.name(), unit="image", mininterval=2, smoothing=0.05) as bar,
    ):
        for key, paths in zip(todo["key"], originals, strict=True):
            _make_pack(part, key, paths, pool, bar)


def _make_pack(part: Part, key: str, paths: list[tuple[str, Path]], pool: ThreadPoolExecutor, bar: tqdm) -> None:
    buffer, listed, skipped = io.BytesIO(), [], []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as pack:
        jobs = pool.map(lambda item: _encoded(item[1], part), paths)
        for (image_id, _), made in zip(paths, jobs, strict=True):
            bar.update()
            if made is None:
                skipped.append(image_id)
                continue
            name = f"{len(listed):05d}.jpg"
            pack.writestr(zipfile.ZipInfo(name), made[0])
            listed.append([name, image_id, made[1]])
        pack.writestr(zipfile.ZipInfo(INDEX), json.dumps({"images": listed, "skipped": skipped}))
    write_atomically(_path(part, key), buffer.getvalue())


def _encoded(path: Path, part: Part) -> tuple[bytes, str] | None:
    try:
        return encode(path, part.size_px)
    except BROKEN as error:
        if part.images.broken_images == "skip":
            return None
        raise InputError(why_broken(path, error)) from None


def _check_leaks(part: Part) -> None:
    """Raise when a file of the evaluation set equals, in content, one that is trained on."""
    training = _hashes(_training(part))
    leaked = [image_id for _, image_id, sha256 in _indexed(part) if sha256 in training]
    if leaked:
        raise InputError(
            f"{part.name()}: {len(leaked)} image(s) of the evaluation set equal training images, first {leaked[0]}; "
            f"delete {_path(part, 'any').parent} and its manifest, and draw it again"
        )


def _hashes(part: Part) -> set[str]:
    return {sha256 for _, _, sha256 in _indexed(part)}


def _indexed(part: Part) -> Iterator[list[str]]:
    for key in part.rows()["key"]:
        yield from read_pack(_path(part, key))[1]["images"]


def _training(part: Part) -> Part:
    return Part(part.images, "train", part.size_px)


def _report_short(part: Part, short: dict[str, int]) -> None:
    for key, n in short.items():
        print(f"{part.name()}: only {n} of {part.images.eval_images_per_class} images are left for {key}")


def _path(part: Part, key: str) -> Path:
    return pack_path(part.images, part.split, part.size_px, key)


def _module(images: Images):
    return importlib.import_module(f"pretraining_gain.compute.datasets.{images.dataset}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pretraining_gain.prepare", description=__doc__.split("\n")[0])
    parser.add_argument("study", help="name in notebooks/studies/, or the path of a .yml file")
    parser.add_argument("--estimate", action="store_true", help="print time and disk, and stop")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads; default: all cores")
    given = parser.parse_args(arguments)
    try:
        prepare(given.study, max(1, given.workers), confirmed=not given.estimate)
    except InputError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
