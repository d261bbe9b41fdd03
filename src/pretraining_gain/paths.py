"""Where things live. Each place can be moved with one environment variable.

| variable                   | holds                                    | default           |
|----------------------------|------------------------------------------|-------------------|
| `PRETRAINING_GAIN_DATA`    | the datasets (only read, except by `data`)| `<project>/data`  |
| `PRETRAINING_GAIN_RESULTS` | records, predictions, tables, weights    | `<project>/results` |
| `PRETRAINING_GAIN_CACHE`   | decoded images and predictions; may go   | `<project>/cache` |
| `PRETRAINING_GAIN_PREPARED`| large datasets in the form training reads| `<data>/prepared` |
"""

from __future__ import annotations

import glob
import os
import platform
from contextlib import suppress
from pathlib import Path

import psutil

from pretraining_gain.errors import InputError

_INSTALLED_FROM = Path(__file__).resolve().parents[2]


def project_root() -> Path:
    """The checkout this package was installed from, or the folder at work if it is one."""
    for candidate in (_INSTALLED_FROM, Path.cwd()):
        if (candidate / "notebooks" / "studies").is_dir():
            return candidate
    raise InputError(
        f"no checkout of the project found at {Path.cwd()}: run from its folder, or install it with `pip install -e .`"
    )


def _place(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return whole_path(value, f"{variable}: ") if value else project_root() / default


def whole_path(text: str, where: str = "") -> Path:
    """The absolute path that `text` means, `~` and links followed. Raises `InputError` where it cannot mean one."""
    try:
        path = Path(text).expanduser().resolve()
        path.exists()  # raises for a name that is too long
        return path
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{where}{text!r} is no place ({error}); accepted: the path of a file or folder") from None


def data_root() -> Path:
    return _place("PRETRAINING_GAIN_DATA", "data")


def results_root() -> Path:
    return _place("PRETRAINING_GAIN_RESULTS", "results")


def results_of(name: str, marker: str = "runs.csv") -> Path:
    """Where the results of a study (or the tables of the controls) are read: among the results, or, where these are
    elsewhere and hold none of it, as they came with the project. A folder that holds `marker` is complete."""
    own, came_along = results_root() / name, project_root() / "results" / name
    return came_along if (came_along / marker).exists() and not (own / marker).exists() else own


def cache_root() -> Path:
    return _place("PRETRAINING_GAIN_CACHE", "cache")


def prepared_root() -> Path:
    return _place("PRETRAINING_GAIN_PREPARED", str(data_root() / "prepared"))


def public(text: str) -> str:
    """A message as a book may show it: places by the names of their variables, not by this machine's folders."""
    for variable, place in _PLACES.items():
        text = text.replace(str(place()), f"${variable}")
    return text


#: The innermost first, as prepared data are among the data unless they are elsewhere.
_PLACES = {
    "PRETRAINING_GAIN_PREPARED": prepared_root,
    "PRETRAINING_GAIN_DATA": data_root,
    "PRETRAINING_GAIN_RESULTS": results_root,
    "PRETRAINING_GAIN_CACHE": cache_root,
}


def make_writable(folder: Path) -> Path:
    """Create `folder` if need be and prove that files can be written there, before any work is done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(folder / "probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        of_it = [variable for variable, place in _PLACES.items() if folder.resolve().is_relative_to(place())]
        choose = f"set {of_it[0]} to another" if of_it else "choose another"
        raise InputError(f"cannot write to {folder}: {error.strerror}; accepted: a folder to write in, {choose}") from None
    return folder


def temporary_beside(path: Path, ending: str = "tmp") -> Path:
    """A hidden name beside `path` under which this process may write it. What killed processes of this machine left under
    such names is cleared away."""
    start = f".{path.name}.{platform.node()}."
    for left in path.parent.glob(f"{glob.escape(start)}*.{ending}"):
        process = left.name.removeprefix(start).removesuffix(f".{ending}")
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            left.unlink(missing_ok=True)
    return path.with_name(f"{start}{os.getpid()}.{ending}")


def write_atomically(path: Path, content: bytes, keep_as: Path | None = None) -> None:
    """Write under a temporary name, flush to disk, rename: `path` is either the old file or the whole new one.

    With `keep_as` the old file is kept under that name. Raises `InputError` when it cannot be written.
    """
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if keep_as and path.exists():
            os.replace(path, keep_as)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _flush_folder(folder: Path) -> None:
    """Renames survive a power cut once their folder is on disk, too; Windows has no such call."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
