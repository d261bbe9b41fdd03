"""Read the files that runs and tables left, strictly: a damaged or wrong file is named, with how to make it again."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import write_atomically

CHECKSUMS = "SHA256SUMS"
_PREDICTIONS = ("image_id", "label", "prediction")


def read_predictions(path: Path, n_classes: int, again: str, sha256: str) -> pd.DataFrame:
    """Return the predictions of a finished run: columns image_id (text, unique), label and prediction (int class ids).

    Reads with pandas: `read_table` would take long for one row per image. Raises `InputError` when the file is missing,
    damaged or holds anything else; `again` says how to make it.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype={"image_id": str})
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise InputError(f"predictions {path} cannot be read ({' '.join(str(error).split())}); {again}") from None
    missing = [name for name in _PREDICTIONS if name not in table]
    if missing:
        raise InputError(f"predictions {path} lacks column {missing[0]!r}; accepted: {', '.join(_PREDICTIONS)}; {again}")
    if table.empty:
        raise InputError(f"predictions {path} has no rows; accepted: one row or more; {again}")
    problem = ""
    for column in _PREDICTIONS[1:]:
        if not pd.api.types.is_integer_dtype(table[column]):
            problem = problem or f"column {column!r} has values that are no class ids; accepted: whole numbers from 0"
        elif outside := [one for one in (table[column].min(), table[column].max()) if not 0 <= one < n_classes]:
            problem = problem or f"column {column!r} has class id {outside[0]}; accepted: 0 to {n_classes - 1}"
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    if not problem and len(twice):
        problem = f"image {twice.iloc[0]!r} appears twice; accepted: each image once"
    if problem := problem or _differs(path, sha256):
        raise InputError(f"predictions {path}: {problem}; {again}")
    return table


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits, or an empty text if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _differs(path: Path, sha256: str) -> str:
    found = checksum(path)
    return "" if found == sha256 else f"its checksum is {found[:12]}…; accepted: {sha256[:12]}…"


def unlike_its_checksum(path: Path) -> str:
    """Say what is wrong where a table does not match `SHA256SUMS` beside it; nothing where it does."""
    sums = path.parent / CHECKSUMS
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
        wanted = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}[path.name]
    except (OSError, ValueError, KeyError):
        return f"{sums} has no checksum of {path.name}; accepted: one per table"
    problem = _differs(path, wanted)
    return f"table {path}: {problem}" if problem else ""


def write_checksums(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the checksums of files in `folder` by name, in the form that `sha256sum --check` reads."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    write_atomically(folder / CHECKSUMS, "".join(lines).encode())
