"""A reader's own photographs: `dataset: folder` with `path:`, a folder of classes, given splits, or a CSV manifest.

A study file may leave out `class_table`, `n_classes` and the numbers of images per class: they follow from the folder.
Without splits, one is drawn (see `splitting`): seeded, stratified, near-duplicates and groups on one side.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.datasets import Dataset, Options, options_of
from pretraining_gain.datasets.folder.listing import FORMS, Listing, expected, first, in_one_split, list_photos
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, path_beside, prepared_root, write_atomically
from pretraining_gain.plan.taxonomy import load_class_table

if TYPE_CHECKING:
    from pretraining_gain.compute.images.folder import Decoded
    from pretraining_gain.plan.parts import Images

_COUNTED = ("n_classes", "train_images_per_class", "eval_images_per_class")


class FolderOptions(Options):
    """Say where the photographs lie, which does not count for a fingerprint, as their names and sizes do, and how to split them."""

    path: str = Field(min_length=1, exclude=True, description=f"relative to the study file, or with ~ and $VARIABLES: {FORMS}")
    root: str = Field(default="", exclude=True, description="the folder below which a manifest's files lie; default: its own")
    eval_share: float = Field(default=0.3, gt=0, lt=1, description="share to evaluate on where there are no splits, 0 to 1")
    least_images: int = Field(default=10, ge=2, description="photographs that a class must have, from 2 on")
    few_images: Literal["stop", "leave_out"] = Field(
        default="stop", description="stop, or leave_out: what happens to classes with fewer than least_images"
    )


def complete(given: dict[str, Any], study_file: Path) -> dict[str, Any]:
    """Resolve the paths of a study file's `images` and count what it leaves out.

    Without photographs, e.g. where only results are read, counts in the study file are taken as they are. Raises
    `InputError` for classes without photographs, or with too few.
    """
    options = options_of("folder", given.get("options", {}))
    path = path_beside(study_file, options.path)
    root = path_beside(study_file, options.root) if options.root else None
    places = {"path": str(path)} | ({"root": str(root)} if root else {})
    given = given | {"options": given["options"] | places}
    if not path.exists() and all(given.get(name) for name in ("class_table", *_COUNTED)):
        return given
    listing = list_photos(path, root)
    if listing.unreadable and given.get("broken_images") != "skip":
        raise InputError(
            f"{path} has {len(listing.unreadable)} files of formats that cannot be read here, such as {listing.unreadable[0]}; "
            "accepted: convert or remove them, or set broken_images: skip in the study file"
        )
    table = load_class_table(given["class_table"]) if given.get("class_table") else None
    found = _enough(listing.counts, table, given.get("class_table", ""), path, options)
    if table is None or len(found) < len(table):
        given["class_table"] = _write_table(listing, table, found.index.tolist())
    sizes = expected(listing, found, options.eval_share)
    given = {"n_classes": len(found)} | {f"{split}_images_per_class": int(n.max()) for split, n in sizes.items()} | given
    if all(isinstance(given[name], int) for name in _COUNTED):  # else its own check says what is accepted
        given |= {f"{split}_images": int(n.clip(upper=given[f"{split}_images_per_class"]).sum()) for split, n in sizes.items()}
    return given


def _enough(found: pd.DataFrame, table: pd.DataFrame | None, name: str, path: Path, options: FolderOptions) -> pd.DataFrame:
    """Return the counts of the classes to use, of those in the table if there is one."""
    if table is not None:
        lacking = [key for key in table["key"] if key not in found.index]
        if lacking:
            raise InputError(
                f"class table {name} has {len(lacking)} of {len(table)} folders without photographs in {path}: "
                f"{first(lacking)}; accepted: {first(found.index.tolist())}"
            )
        found = found.loc[table["key"]]
    few = (found["all"] < options.least_images) | in_one_split(found)
    if few.any() and options.few_images == "stop":
        listed = [f"{label} ({row['all']})" for label, row in found[few].iterrows()]
        raise InputError(
            f"{path}: {len(listed)} of {len(found)} classes have fewer than least_images={options.least_images} photographs, or "
            f"none in one split: {first(listed)}; accepted: few_images: leave_out, or a class table without them"
        )
    if (~few).sum() < 2:
        raise InputError(
            f"{path}: {(~few).sum()} classes have {options.least_images} photographs and no empty split; accepted: two or more"
        )
    return found[~few]


def _write_table(listing: Listing, table: pd.DataFrame | None, labels: list[str]) -> str:
    """Write the class table of the classes that are used beside their split; return its path."""
    rows = pd.DataFrame({"folder": labels}) if table is None else table[table["key"].isin(labels)].drop(columns="class_id")
    if table is not None:
        rows = rows.assign(animal=rows["animal"].map({True: "true", False: "false"}))
        rows["represented_by"] = rows["represented_by"].replace("", "none")
    content = rows.to_csv(index=False, lineterminator="\n").encode()
    path = prepared_root() / "folder" / f"classes-{listing.checksum[:12]}-{zlib.crc32(content):08x}.csv"
    if not path.exists():
        write_atomically(make_writable(path.parent) / path.name, content)
    return str(path)


def listing_of(images: Images) -> Listing:
    """List the photographs of a study's `images`. Raises `InputError` if they are missing."""
    options = options_of("folder", images.options)
    return list_photos(Path(options.path), Path(options.root) if options.root else None)


def load_class(images: Images, row: dict[str, Any], split: str, size_px: int) -> Decoded:
    """Load the photographs of a class in one split, a seeded sample where the study wants fewer than the largest class has.

    A drawn split keeps groups whole and may exceed a class's share, so a study that wants the share uses all. Randomness:
    (split_seed, label) only, so all runs of a study share one evaluation set.
    """
    from pretraining_gain.compute.images.folder import load_files
    from pretraining_gain.datasets.folder.splitting import split_of

    photos, listing, share = split_of(images).photos, listing_of(images), options_of("folder", images.options).eval_share
    files = photos.loc[(photos["label"] == row["key"]) & (photos["split"] == split), "file"].tolist()
    order = np.random.default_rng([images.split_seed, zlib.crc32(row["key"].encode())]).permutation(len(files))
    most = expected(listing, listing.counts.loc[photos["label"].unique()], share)[split].max()
    wanted = images.per_class(split) if images.per_class(split) < most else None
    return load_files([listing.root / files[i] for i in order], listing.root, size_px, images.broken_images, wanted)


def findings(images: Images) -> dict[str, Any]:
    """Return what the split found: leaks between training and evaluation, near-duplicates, and what was left out."""
    from pretraining_gain.datasets.folder.splitting import split_of

    return split_of(images).findings


def describe_evaluation(images: Images) -> str:
    share = f"{options_of('folder', images.options).eval_share:.0%} of the reader's own photographs"
    return f"its own evaluation split, or {share}, drawn per class with near-duplicates and groups on one side"


DATASET = Dataset(
    credit="the reader's own photographs",
    load_class=load_class,
    options=FolderOptions,
    complete=complete,
    checksum=lambda images: listing_of(images).checksum,
    findings=findings,
    describe_evaluation=describe_evaluation,
)
