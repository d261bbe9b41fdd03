"""List a reader's photographs with their labels: from folders of classes, or from a CSV manifest. Reads no pixel."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import NoReturn
from unicodedata import normalize

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.tables import NO_VALUE, read_table

FORMS = (
    "a folder of <class>/*.jpg; one of train/<class>/*.jpg and val/<class>/*.jpg (or test/); "
    "or a CSV file with columns file, label and, if you like, split and group"
)
#: Names of splits. Where there is a test split, it is evaluated on and `val` is left out.
SPLITS = {"train": "train", "test": "eval", "eval": "eval", "val": "eval", "valid": "eval", "validation": "eval"}
_TEST, _VALIDATION = ("test", "eval"), ("val", "valid", "validation")
#: Photographs and videos that cannot be read here, by their endings.
_OTHER_MEDIA = {".jfif", ".jif", ".jpe", ".tif", ".tiff", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".avif",
                ".jxl", ".jp2", ".psd", ".svg", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mts", ".m4v", ".3gp",
                ".zip", ".tar", ".gz"}  # fmt: skip
#: Control characters, ends of lines and paragraphs, and bytes that are not UTF-8: `image_files` refuses them in a file's name.
_NO_TEXT = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Listing:
    """The photographs below `root`: one row each, sorted, with file, label, split (train, eval or empty), group and bytes.

    `unreadable`: files that are photographs or videos of another format. `left_out`: what else is not used -> why.
    """

    root: Path
    photos: pd.DataFrame
    unreadable: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @cached_property
    def checksum(self) -> str:
        """Hash names, sizes, labels, splits and groups; where the folder lies does not count."""
        return hashlib.sha256(self.photos.to_csv(index=False, lineterminator="\n").encode()).hexdigest()

    @cached_property
    def counts(self) -> pd.DataFrame:
        """Count photographs per label: columns all, train, eval (both 0 where a split is still to be drawn)."""
        splits = pd.crosstab(self.photos["label"], self.photos["split"])
        splits = splits.reindex(columns=["train", "eval", ""], fill_value=0)
        return splits.assign(all=splits.sum(axis=1))[["all", "train", "eval"]]

    @property
    def has_splits(self) -> bool:
        return bool((self.photos["split"] != "").all())


@cache
def list_photos(path: Path, root: Path | None = None) -> Listing:
    """List the photographs of a folder, or of a manifest whose files are below `root` (default: its own folder).

    Lists once per process. Raises `InputError` for anything but one of `FORMS`.
    """
    from pretraining_gain.compute.listing import SUFFIXES, image_files

    if path.suffix.lower() == ".csv" and path.is_file():
        return _from_manifest(path, root or path.parent)
    if not path.is_dir():
        raise InputError(f"path {path} {'is a file' if path.exists() else 'is missing'}; accepted: {FORMS}")
    folders, splits = _folders(path), list[Path]()
    names = {one.name.casefold() for one in folders}
    test, validation = ([name for name in which if name in names] for which in (_TEST, _VALIDATION))
    left_out: dict[str, str] = {}
    if "train" in names and (test or validation):
        used = ["train", *(test or validation)[:1]]
        splits = [one for one in folders if one.name.casefold() in used]
        left_out |= {one.name: f"evaluated on {used[1]}, trained on train" for one in folders if one not in splits}
        parts = [(SPLITS[split.name.casefold()], one) for split in splits for one in _folders(split)]
    else:
        parts = [("", folder) for folder in folders]
    rows, unreadable = [], []
    for split, folder in parts:
        photos, others = photos_below(folder)
        label = normalize("NFC", folder.name)
        rows += [(one.relative_to(path).as_posix(), label, split, "", bytes_of(one)) for one in photos]
        unreadable += [one.relative_to(path).as_posix() for one in others]
        if not photos:
            left_out[folder.relative_to(path).as_posix()] = f"no photographs ({', '.join(sorted(SUFFIXES))})"
    loose = [photo for place in (path, *splits) for photo in image_files(place)]
    if loose and not parts:
        raise InputError(f"folder {path} has {len(loose)} photographs and no folders of classes; accepted: {FORMS}")
    loose += [one for place in (path, *splits) for one in _other_media(place)]
    left_out |= {one.relative_to(path).as_posix(): "in no folder of a class" for one in loose}
    return _checked(path, path, rows, unreadable, left_out)


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder that are not hidden. Raises `InputError` if it cannot be read."""
    try:
        return sorted(one for one in folder.iterdir() if not one.name.startswith(".") and one.is_dir())
    except OSError as error:
        _refuse(error)


def _refuse(error: OSError) -> NoReturn:
    raise InputError(f"folder {error.filename} cannot be read: {error.strerror}; accepted: a folder that can be read") from None


def photos_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return photographs and other media anywhere below a folder, following links to folders once.

    Raises `InputError` for a folder that cannot be read.
    """
    from pretraining_gain.compute.listing import image_files

    photos: list[Path] = []
    others: list[Path] = []
    seen: set[str] = set()
    for place, folders, _ in os.walk(folder, onerror=_refuse, followlinks=True):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        photos += image_files(Path(place))
        others += _other_media(Path(place))
    return photos, others


def _other_media(folder: Path) -> list[Path]:
    found = (one for one in folder.iterdir() if one.suffix.lower() in _OTHER_MEDIA and not one.name.startswith("."))
    return sorted(one for one in found if not os.path.isdir(one))


def bytes_of(path: Path) -> int:
    """Return the size of a file; -1 for a link that leads nowhere, which reading it will name."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _from_manifest(path: Path, root: Path) -> Listing:
    from pretraining_gain.compute.listing import SUFFIXES

    table = read_table(path, ["file", "label"], spreadsheet=True)
    table = table.reindex(columns=["file", "label", "split", "group"], fill_value="")
    files = [_file_in(path, root, text, line) for line, text in enumerate(table["file"], 2)]
    missing = [file for file in files if not (root / file).is_file()]
    if missing:
        raise InputError(f"{path}: {len(missing)} of {len(files)} files are missing, first {root / missing[0]}; accepted: "
                         "paths relative to the manifest, or to `root:` of the study file, or absolute")  # fmt: skip
    splits = table["split"].str.lower()
    wrong = splits[~splits.isin([*SPLITS, ""])]
    if len(wrong) or (splits == "").any() != (splits == "").all():
        found = f"has {wrong.iloc[0]!r}" if len(wrong) else f"is empty in {int((splits == '').sum())} of {len(splits)} lines"
        raise InputError(f"{path}: column 'split' {found}; accepted: {', '.join(SPLITS)}, in every line or in none")
    groups = table["group"].where(~table["group"].isin(NO_VALUE), "")
    table = table.assign(file=files, label=table["label"].str.normalize("NFC"), split=splits, group=groups)
    again = table.loc[table["file"].duplicated(keep=False)]
    if len(again):
        labels = again.loc[again["file"] == again["file"].iloc[0], "label"].unique()
        how = f"as {' and as '.join(map(repr, labels))}" if len(labels) > 1 else "twice"
        raise InputError(f"{path}: file {again['file'].iloc[0]!r} is listed {how}; accepted: each file once")
    media = table["file"].map(lambda file: Path(file).suffix.lower() in SUFFIXES)
    unreadable, used = table.loc[~media, "file"].tolist(), table[media]
    has_test = used["split"].isin(_TEST).any()
    spare = used["split"].isin(_VALIDATION) if has_test else pd.Series(False, index=used.index)
    left_out = {file: "evaluated on test, trained on train" for file in used.loc[spare, "file"]}
    rows = [
        (file, label, SPLITS.get(split, ""), group, bytes_of(root / file))
        for file, label, split, group in used[~spare].itertuples(index=False)
    ]
    return _checked(path, root, rows, unreadable, left_out)


def _file_in(manifest: Path, root: Path, text: str, line: int) -> str:
    """Return a path of the manifest relative to the root. Windows' backslashes are accepted."""
    absolute = Path(os.path.normpath(root / text.replace("\\", "/")))
    if not absolute.is_relative_to(root):
        raise InputError(f"{manifest}, line {line}: file {text!r} is outside {root}; accepted: files below it; "
                         "`root:` in the study file names another folder")  # fmt: skip
    return absolute.relative_to(root).as_posix()


def _checked(path: Path, root: Path, rows: list, unreadable: list[str], left_out: dict[str, str]) -> Listing:
    from pretraining_gain.compute.listing import SUFFIXES

    names = [*(name for row in rows for name in row[:2]), *unreadable, *left_out]
    odd = next((name for name in names if _NO_TEXT.search(name)), None)
    if odd:
        raise InputError(f"{path}: {odd!r} is an odd name; accepted: UTF-8 on one line, rename it")
    photos = pd.DataFrame(sorted(rows), columns=["file", "label", "split", "group", "bytes"])
    labels = photos["label"].unique()
    if len(labels) < 2:
        found = f"one class, {labels[0]!r}" if len(labels) else f"no photographs ({', '.join(sorted(SUFFIXES))})"
        named = f"; there are {len(unreadable)} files such as {unreadable[0]}, which cannot be read here" if unreadable else ""
        raise InputError(f"{path} has {found}{named}; accepted: two classes or more, as {FORMS}")
    slash = next((label for label in labels if "/" in label or "\\" in label), None)
    if slash:
        raise InputError(f"{path}: label {slash!r} has a slash in it; accepted: a name without slashes")
    return Listing(root, photos, unreadable, left_out)


def in_one_split(found: pd.DataFrame) -> pd.Series:
    """Tell which classes have photographs in one of two given splits only, from their counts."""
    return (found[["train", "eval"]] > 0).sum(axis=1) == 1


def expected(listing: Listing, found: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return how many photographs of each class are to train and to eval: those of its splits, or about a share, from 1 on."""
    evaluated = found["eval"] if listing.has_splits else (share * found["all"]).round().clip(lower=1)
    return pd.DataFrame({"train": found["all"] - evaluated, "eval": evaluated}).astype(int)


def first(names: list[str], most: int = 5) -> str:
    """Join the first names, with an ellipsis for the others."""
    return ", ".join([*names[:most], *(["…"] if len(names) > most else [])])
