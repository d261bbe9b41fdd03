"""What bad input must get: one clear line that names the culprit and what is accepted, and no file half-written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pretraining_gain.errors import InputError

Damage = Callable[[Path], object]


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


def raise_error(error: Exception) -> None:
    """Raise in a process that starts with this small module."""
    raise error


def refuse_text(path: Path, content: str, load: Callable[[str], object], *said: str) -> None:
    """Write a file and have it refused by its name, with each of `said`."""
    path.write_text(content)
    with refused(str(path), *said, unchanged=path.parent):
        load(str(path))


def whole(new: bytes) -> Damage:
    """Damage that replaces all bytes of a file."""
    return lambda path: path.write_bytes(new)


def cut(n: int) -> Damage:
    """Damage that drops the last `n` bytes."""
    return lambda path: path.write_bytes(path.read_bytes()[:-n])


def changed(position: int, new: bytes) -> Damage:
    """Overwrite the bytes at `position`."""

    def damage(path: Path) -> None:
        old = path.read_bytes()
        path.write_bytes(old[:position] + new + old[position + len(new) :])

    return damage


def text(old: str, new: str) -> Damage:
    """Damage that replaces the first `old`, which must be there, by `new`."""

    def damage(path: Path) -> None:
        before = path.read_bytes().decode()
        assert old in before, old
        path.write_bytes(before.replace(old, new, 1).encode())

    return damage


def recoded(encoding: str) -> Damage:
    return lambda path: path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))


def missing(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def instead(make: Damage) -> Damage:
    """Damage that puts something else, which `make` makes, in the place of a file or folder."""
    return lambda path: (missing(path), make(path))


def folder(path: Path) -> None:
    instead(Path.mkdir)(path)


def link_to(target: str) -> Damage:
    return instead(lambda path: path.symlink_to(target))


def in_json(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Damage that changes what a JSON file holds."""

    def damage(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage
