"""The record of a finished run, read strictly: by the run itself, which finds that it is done, and by who tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pretraining_gain.errors import InputError


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
