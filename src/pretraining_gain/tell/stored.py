"""What runs left, read strictly: a file that is not whole, or not what it should be, is named, and how to make it again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.plan.tables import read_table

_PREDICTIONS = ("image_id", "label", "prediction")


class Record(dict[str, Any]):
    """A run's record, or a part of one, that names what it lacks."""

    where = ""

    def __missing__(self, name: str) -> Any:
        raise InputError(f"{self.where} lacks {name!r}; accepted: a record as its run wrote it, delete it to do the run again")


def read_record(path: Path) -> Record:
    """The record of a finished run. Raises `InputError` when it is missing or damaged, and when it is asked for what it lacks."""

    def part(content: dict[str, Any]) -> Record:
        found = Record(content)
        found.where = f"record {path}"
        return found

    try:
        record = json.loads(path.read_text(encoding="utf-8"), object_hook=part)
        if isinstance(record, Record):
            return record
        reason = f"it holds a {type(record).__name__}"
    except OSError as error:
        reason = str(error.strerror)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise InputError(f"record {path} is damaged ({reason}); accepted: a record as its run wrote it, delete it to do the run again")


def read_predictions(path: Path, n_classes: int | None, again: str) -> pd.DataFrame:
    """The predictions of a finished run: columns image_id (text, each once), label and prediction (int class ids).

    Raises `InputError` when the file is missing, damaged or holds anything else; `again` says how to make it.
    """
    table = _read_predictions(path, again)
    problem = _problem_of(table, n_classes)
    if problem:
        raise InputError(f"predictions {path}: {problem}; {again}")
    return table


def _problem_of(table: pd.DataFrame, n_classes: int | None) -> str:
    for column in _PREDICTIONS[1:]:
        if not pd.api.types.is_integer_dtype(table[column]):
            return f"column {column!r} holds what is no class id; accepted: whole numbers from 0"
        least, most = table[column].min(), table[column].max()
        if least < 0 or (n_classes is not None and most >= n_classes):
            accepted = "from 0" if n_classes is None else f"0 to {n_classes - 1}"
            return f"column {column!r} has class id {least if least < 0 else most}; accepted: {accepted}"
    twice = table.loc[table["image_id"].duplicated(), "image_id"]
    return f"image {twice.iloc[0]!r} stands twice; accepted: each image once" if len(twice) else ""


def read_results(path: Path, numbers: Sequence[str], texts: Sequence[str], again: str) -> pd.DataFrame:
    """A table of results, with columns of `numbers`, of `texts`, and others, which are numbers where all their values are.

    Raises `InputError` as `read_predictions` does. Only the text `design` may be empty.
    """
    try:
        table = read_table(path, [name for name in (*texts, *numbers) if name != "design"])
    except InputError as error:
        raise InputError(f"table {error}; {again}") from None
    for column in table.columns.difference(texts):
        values = pd.to_numeric(table[column], errors="coerce")
        if values.notna().all():
            table[column] = values
        elif column in numbers:
            wrong = table.loc[values.isna(), column].iloc[0]
            raise InputError(f"table {path}: column {column!r} has {wrong!r}; accepted: numbers; {again}")
    return table


def _read_predictions(path: Path, again: str) -> pd.DataFrame:
    """The table of `path`; pandas' reader, as that of `plan.tables` would take long for as many rows as images."""
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype={"image_id": str})
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise InputError(f"predictions {path} cannot be read ({' '.join(str(error).split())}); {again}") from None
    missing = [name for name in _PREDICTIONS if name not in table]
    if missing:
        raise InputError(f"predictions {path} lacks column {missing[0]!r}; accepted: {', '.join(_PREDICTIONS)}; {again}")
    if table.empty:
        raise InputError(f"predictions {path} has no rows; accepted: one row or more; {again}")
    return table
