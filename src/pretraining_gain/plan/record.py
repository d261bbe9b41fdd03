"""Read the record of a finished run strictly: for the run itself, which finds that it is done, and for the book."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pretraining_gain.errors import InputError

_ACCEPTED = "accepted: a record as its run wrote it, delete it to do the run again"

_PARTS = ("parameters", "recipe", "cost", "machine", "provenance")


class Record(dict[str, Any]):
    """A run's record, or a part of one. A missing field raises `InputError` with the file's name."""

    where = ""

    def __missing__(self, name: str) -> Any:
        raise InputError(f"{self.where} lacks {name!r}; {_ACCEPTED}")


def read_record(path: Path) -> Record:
    """Read the record of a finished run. Raises `InputError` when it is missing or damaged."""

    def part(content: dict[str, Any]) -> Record:
        found = Record(content)
        found.where = f"record {path}"
        return found

    try:
        record = json.loads(path.read_text(encoding="utf-8"), object_hook=part)
        if not isinstance(record, Record):
            reason = f"it holds a {type(record).__name__}"
        elif wrong := [name for name in _PARTS if not isinstance(record.get(name, record), Record)]:
            reason = f"its {wrong[0]} holds a {type(record[wrong[0]]).__name__}"
        else:
            return record
    except OSError as error:
        reason = str(error.strerror)
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise InputError(f"record {path} is damaged ({reason}); {_ACCEPTED}")
