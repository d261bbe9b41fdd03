"""What bad input must get: one clear line that names the culprit and what is accepted, and no file half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pretraining_gain.errors import InputError


def listing(*places: Path) -> dict[str, tuple[int, int]]:
    """Path -> size and time of every file, folder and link below `places`."""
    found: dict[str, tuple[int, int]] = {}
    for place in places:
        for folder, folders, files in os.walk(place):
            for name in (*folders, *files):
                state = os.lstat(os.path.join(folder, name))
                found[os.path.join(folder, name)] = (state.st_size, state.st_mtime_ns)
    return found


def assert_one_line(said: str, *parts: str) -> None:
    """`said` is one line without a traceback, and has each of `parts` in it."""
    assert said.strip(), said
    assert "\n" not in said.strip(), said
    assert "Traceback" not in said, said
    for part in parts:
        assert part in said, f"{part!r} is not in: {said}"


@contextmanager
def refused(*parts: str, unchanged: Path) -> Iterator[None]:
    """The block raises an `InputError` of one line that has each of `parts`, and leaves `unchanged` as it was."""
    before = listing(unchanged)
    with pytest.raises(InputError) as caught:
        yield
    assert_one_line(str(caught.value), *parts)
    assert listing(unchanged) == before


def in_json(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Damage that changes what a JSON file holds."""

    def damage(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage
