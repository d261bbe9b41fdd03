"""Split a reader's photographs into training and evaluation, and look for photographs that are on both sides.

A split that the reader gives is kept, and its leaks are listed. A drawn one keeps near-duplicates and groups (a camera, a
place, an observer) on one side. Either is written once to `prepared/folder/`, with what was found.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from tqdm import tqdm

from pretraining_gain.compute.images.decoding import BrokenImage, read_image
from pretraining_gain.compute.images.packs import n_workers
from pretraining_gain.datasets import options_of
from pretraining_gain.datasets.folder import listing_of
from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, prepared_root, write_atomically
from pretraining_gain.plan.code import code_hash
from pretraining_gain.plan.parts import Images
from pretraining_gain.plan.tables import read_table
from pretraining_gain.plan.taxonomy import load_class_table

#: Bits of 256 in which the perceptual hashes of one photograph's copies differ at most. Of CUB-100's 17 million pairs, the
#: four up to 46 bits show one photograph, and from 50 bits on they show two.
ALIKE_BITS = 46
_HASHED_PX = 64
_LISTED = 200  # pairs


class Split(NamedTuple):
    """Photographs with file, label, split (train or eval) and group, and what was found on the way."""

    photos: pd.DataFrame
    findings: dict[str, Any]


def split_of(images: Images) -> Split:
    """Return the split of a study's images: read, or made and written. Raises `InputError` where no split is possible."""
    options = options_of("folder", images.options).model_dump()
    labels = load_class_table(images.class_table)["key"].tolist()
    decides = [listing_of(images).checksum, *labels, options, images.split_seed, images.broken_images]
    key = hashlib.sha256(json.dumps([*decides, code_hash("datasets.folder.splitting")]).encode()).hexdigest()[:16]
    folder = prepared_root() / "folder" / key
    if folder not in _READ:
        _READ[folder] = _read(folder) or _make(images, labels, folder)
    return _READ[folder]


_READ: dict[Path, Split] = {}


def _read(folder: Path) -> Split | None:
    """Read a split; None if it was not made yet, or is damaged."""
    table = folder / "split.csv"
    try:
        findings = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
        if hashlib.sha256(table.read_bytes()).hexdigest() == findings["sha256"]:
            return Split(read_table(table, ["file", "label", "split"]), findings)
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return None


def _make(images: Images, labels: list[str], folder: Path) -> Split:
    """Look for copies and near-duplicates, draw the split unless it is given, and write it with what was found."""
    listing, options = listing_of(images), options_of("folder", images.options)
    used = listing.photos["label"].isin(labels)
    photos = listing.photos.loc[used, ["file", "label", "split", "group"]].reset_index(drop=True)
    hashes, contents = hash_photos([listing.root / file for file in photos["file"]])
    known = photos.assign(content=contents)[contents != ""]
    twice = known.groupby("content")["label"].transform("nunique") > 1  # the very same content in two classes
    contradicting = known[twice].sort_values("content", kind="stable")
    if len(contradicting) and images.broken_images == "stop":
        one, other = contradicting[["file", "label"]].to_numpy().tolist()[:2]
        raise InputError(
            f"{one[0]} in class {one[1]!r} and {other[0]} in class {other[1]!r} are the same image ({len(contradicting)} such "
            "files); accepted: each image in one class, remove it, or set broken_images: skip in the study file"
        )
    kept = ~photos.index.isin(contradicting.index)
    photos = photos[kept].reset_index(drop=True)
    alike = near_duplicates(photos, hashes[kept], contents[kept] != "")
    if not listing.has_splits:
        photos["split"] = draw(photos["label"], alike.unit, options.eval_share, images.split_seed)
    unused = sorted({*listing.photos["label"]} - {*labels})
    left_out = listing.left_out | dict.fromkeys(unused, "not in the class table, or too few photographs")
    more = {"in_two_classes": contradicting["file"].tolist(), "unreadable_formats": listing.unreadable, "left_out": left_out}
    given = "as given" if listing.has_splits else "drawn"
    content = photos.to_csv(index=False, lineterminator="\n").encode()
    found = {"split": given} | leaks(photos, alike) | more | {"sha256": hashlib.sha256(content).hexdigest()}
    write_atomically(make_writable(folder) / "split.csv", content)
    write_atomically(folder / "findings.json", (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
    return Split(photos, found)


def hash_photos(paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return perceptual hashes (N, 4) uint64 and SHA-256 of the contents (N,), which is empty for broken files."""

    def one(path: Path) -> tuple[np.ndarray, str]:
        try:
            square, content = read_image(path, _HASHED_PX)
            bits = imagehash.phash(Image.fromarray(square), hash_size=16).hash
            return np.packbits(bits.ravel()).view(np.uint64), hashlib.sha256(content).hexdigest()
        except BrokenImage:  # loading says what is wrong with it, or skips it
            return np.zeros(4, np.uint64), ""

    with ThreadPoolExecutor(n_workers()) as pool:
        bar = tqdm(pool.map(one, paths), total=len(paths), desc="looking for near-duplicates", unit="image", mininterval=2)
        hashes, contents = zip(*bar, strict=True)
    return np.stack(hashes), np.array(contents)


class Alike(NamedTuple):
    """Near-duplicates of N photographs, `pairs` as two positions and the bits in which they differ, the first 200 only.

    `unit`: (N,) int, one number for all that near-duplicates or a group link. `leaking`: (N,) bool, has one across the split.
    """

    unit: np.ndarray
    leaking: np.ndarray
    n_pairs: int
    n_leaking_pairs: int
    pairs: list[tuple[int, int, int]]


def near_duplicates(photos: pd.DataFrame, hashes: np.ndarray, readable: np.ndarray) -> Alike:
    """Compare each readable photograph with all later ones; link and count all near-duplicates, and list leaking ones first.

    Holds those of one photograph at a time, as thousands may be black.
    """
    words, evaluated = np.ascontiguousarray(hashes.T), (photos["split"] == "eval").to_numpy()
    place, leaking = pd.Series(np.arange(len(photos))), np.zeros(len(photos), bool)
    unit = place.where(photos["group"] == "", place.groupby(photos["group"]).transform("first")).to_numpy(copy=True)
    pairs: list[list[tuple[int, int, int]]] = [[], []]  # within a side of the split, and across it
    n_pairs = [0, 0]
    for one in np.flatnonzero(readable).tolist():
        bits = np.bitwise_count(words[:, one + 1 :] ^ words[:, one, None]).sum(axis=0, dtype=np.uint16)
        others = one + 1 + np.flatnonzero((bits <= ALIKE_BITS) & readable[one + 1 :])
        if not len(others):
            continue
        across = evaluated[others] != evaluated[one]
        for side, found in enumerate((others[~across], others[across])):
            n_pairs[side] += len(found)
            pairs[side] += [(one, other, int(bits[other - one - 1])) for other in found[: _LISTED - len(pairs[side])].tolist()]
        leaking[others[across]] = True
        leaking[one] |= across.any()
        if (unit[others] != unit[one]).any():
            linked = np.unique(unit[[one, *others]])
            unit[np.isin(unit, linked)] = linked[0]
    return Alike(np.unique(unit, return_inverse=True)[1], leaking, sum(n_pairs), n_pairs[1], (pairs[1] + pairs[0])[:_LISTED])


def draw(labels: pd.Series, unit: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Draw `train` or `eval` per photograph, whole units at a time, so that each class comes near its `share`.

    Large units go first, in seeded order within a size; each goes where it brings its classes nearer to their share. Raises
    `InputError` for a class whose photographs are all one unit.
    """
    codes, names = pd.factorize(labels)
    table = coo_array((np.ones(len(unit)), (unit, codes))).toarray()  # units × classes
    size = table.sum(axis=0)
    want, have = np.clip(np.round(share * size), 1, None), np.zeros(len(names))
    order = np.random.default_rng([seed]).permutation(len(table))
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    held_out = np.zeros(len(table), bool)
    for one in order:
        n = table[one]
        nearer = (((have + n - want) ** 2 - (have - want) ** 2) / want**2).sum() < 0
        held_out[one] = nearer and bool((have + n < size)[n > 0].all())
        have += n * held_out[one]
    for code in np.flatnonzero(have == 0):  # units too large for any share: the smallest that leaves something to train on
        able = [one for one in order if table[one, code] and (have + table[one] < size)[table[one] > 0].all()]
        if not able:
            raise InputError(
                f"class {names[code]!r}: its {int(size[code])} photographs are one group, or near-duplicates of each other, so "
                "they cannot be split; accepted: a class table without it, more photographs, or finer groups"
            )
        chosen = min(able, key=lambda one: table[one].sum())
        held_out[chosen] = True
        have += table[chosen]
    return np.where(held_out[unit], "eval", "train")


def leaks(photos: pd.DataFrame, alike: Alike) -> dict[str, Any]:
    """Count near-duplicates and groups, and those on both sides of the split."""
    split, file = photos["split"].to_numpy(), photos["file"].to_numpy()
    grouped = photos[photos["group"] != ""].groupby("group")["split"].nunique()
    return {
        "images": {name: int((split == name).sum()) for name in ("train", "eval")},
        "near_duplicate_pairs": alike.n_pairs,
        "leaking_pairs": alike.n_leaking_pairs,
        "leaking_eval_images": int((alike.leaking & (split == "eval")).sum()),
        "pairs": [[file[one], file[other], bits] for one, other, bits in alike.pairs],
        "groups": len(grouped),
        "leaking_groups": grouped.index[grouped > 1].tolist(),
    }
