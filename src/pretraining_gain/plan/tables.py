"""Read CSV tables (UTF-8, commas, one header) strictly, or as a spreadsheet saves them, and name the line that does not fit."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pretraining_gain.errors import InputError

#: The tables that come with the package.
METADATA = Path(__file__).resolve().parents[1] / "metadata"
#: Texts that other programs write for a missing value.
NO_VALUE = {"", "NA", "N/A", "NaN", "nan", "null", "None", "<NA>"}


def read_table(path: Path, required: Sequence[str], spreadsheet: bool = False) -> pd.DataFrame:
    """Read the table in `path`, all columns as text; a byte order mark and Windows line ends make no difference.

    `spreadsheet` accepts what Excel and its like save: semicolons or tabs, UTF-16 or Latin-1, empty lines, and column names
    in any case, with spaces or underscores. Raises `InputError` naming the file, and line or column, when it cannot be
    decoded or has no rows, a line with another number of fields than the header, a column twice, or a `required` column
    that is missing or has no value.
    """
    lines = _read_lines(path, spreadsheet)
    header, rows = (lines[0][1], lines[1:]) if lines else ([], [])
    if spreadsheet:
        header = ["_".join(column.lower().split()) for column in header]
    missing = [column for column in required if column not in header]
    if missing:
        raise InputError(f"{path}: column(s) missing: {', '.join(missing)}; accepted: a CSV file with {', '.join(required)}")
    twice = [column for column in header if header.count(column) > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} appears twice; accepted: each column once")
    if not rows:
        raise InputError(f"{path} has no rows; accepted: one row or more")
    for number, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} fields; accepted: {len(header)}, as in the header")
        empty = [column for column in required if row[header.index(column)] in NO_VALUE]
        if empty:
            raise InputError(f"{path}, line {number}: column {empty[0]!r} has no value; accepted: any text that is one")
    return pd.DataFrame([row for _, row in rows], columns=header, dtype=str)


def _read_lines(path: Path, spreadsheet: bool) -> list[tuple[int, list[str]]]:
    """Return line number and fields of each line that is not empty."""
    try:
        text = _decode(path.read_bytes(), spreadsheet)
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count) if spreadsheet else ","
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}); accepted: CSV saved as UTF-8"
        ) from None
    except (OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); accepted: CSV saved as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{path} is not UTF-8 (it has zero bytes); accepted: CSV saved as UTF-8")
    if spreadsheet:
        lines = [(number, [field.strip() for field in row]) for number, row in lines if any(map(str.strip, row))]
    return lines


def _decode(content: bytes, spreadsheet: bool) -> str:
    """Decode UTF-8; in a spreadsheet also UTF-16 with its mark, and else Latin-1 as Windows extends it."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if not spreadsheet:
            raise
    return content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "cp1252")


def whole_numbers(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    """Return a column as int. Raises `InputError` naming the first value that is no whole number."""
    wrong = table.loc[~table[column].str.fullmatch(r"\d{1,18}"), column]
    if len(wrong):
        raise InputError(f"{path}: column {column!r} has {wrong.iloc[0]!r}; accepted: whole numbers from 0")
    return table[column].astype(int)
