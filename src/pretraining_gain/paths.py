"""Places of data and results. One environment variable moves each; `book/rerun.md` lists them."""

from __future__ import annotations

import glob
import os
import re
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from pretraining_gain.errors import InputError

#: Executed notebooks, from the project's root.
EXECUTED = "book/executed"
_LEFT_AFTER_S = 7 * 24 * 3600
_PROBE_BYTES = 1 << 16
_INSTALLED_FROM = Path(__file__).resolve().parents[2]
_STUDIES = Path("notebooks", "studies")
_IS_CHECKOUT = (_INSTALLED_FROM / _STUDIES).is_dir()


def project_root() -> Path:
    """Return the checkout that this package was installed from, or the current folder if it is one."""
    if _IS_CHECKOUT:
        return _INSTALLED_FROM
    if (Path.cwd() / _STUDIES).is_dir():
        return Path.cwd()
    raise InputError(
        f"no checkout of the project found at {Path.cwd()}: run from its folder, or install it with `pip install -e .`"
    )


def is_study_file(name_or_path: str) -> bool:
    """Tell whether a study is given by the path of its file, and not by its name."""
    return name_or_path.endswith((".yml", ".yaml"))


def study_path(name_or_path: str) -> Path:
    """Return the file of a study: the given one, or that of this name in `notebooks/studies/`."""
    if is_study_file(name_or_path):
        return whole_path(name_or_path)
    return project_root() / _STUDIES / f"{name_or_path}.yml"


def _place(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return whole_path(value, f"{variable}: ") if value else project_root() / default


def whole_path(text: str, where: str = "") -> Path:
    """Resolve `text` to an absolute path, following `~` and links. Raises `InputError` if it is not a path."""
    try:
        path = Path(text).expanduser().resolve()
        path.exists()  # raises for a name that is too long
        return path
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{where}{text!r} is no place ({error}); accepted: the path of a file or folder") from None


def path_beside(file: Path, text: str) -> Path:
    """Resolve a path that `file` names: relative to the folder of `file`, with `~` and `$VARS`. Raises `InputError`.

    A path that exists as it is written is taken as it is: a folder may have a `$` in its name.
    """
    if (literal := whole_path(str(file.parent / text))).exists():
        return literal
    expanded = os.path.expandvars(text)
    if unset := re.search(r"\$\w+|\$\{\w+\}", expanded):
        raise InputError(f"{text!r} uses {unset[0]}, which is not set; accepted: a path, or one with variables that are set")
    if expanded.startswith("~"):
        return whole_path(expanded)
    return whole_path(str(file.parent / expanded))


def data_root() -> Path:
    return _place("PRETRAINING_GAIN_DATA", "data")


def results_root() -> Path:
    return _place("PRETRAINING_GAIN_RESULTS", "results")


def results_of(name: str, marker: str = "runs.csv") -> Path:
    """Return the folder to read results of a study (or of the controls) from.

    That is the results folder, or the project's own if only that one has `marker`, which a complete folder has.
    """
    own, came_along = results_root() / name, project_root() / "results" / name
    return came_along if (came_along / marker).exists() and not (own / marker).exists() else own


def has_results(study_name: str) -> bool:
    """Tell whether the tables of a study are there."""
    return (results_of(study_name) / "runs.csv").exists()


def cache_root() -> Path:
    """Return the folder of decoded images and predictions, which may be deleted."""
    return _place("PRETRAINING_GAIN_CACHE", "cache")


def prepared_root() -> Path:
    return _place("PRETRAINING_GAIN_PREPARED", str(data_root() / "prepared"))


def public(text: str) -> str:
    """Replace this machine's folders in a message by the names of their variables, so that a book can show it."""
    for variable, place in _PLACES.items():
        text = re.sub(rf"{re.escape(str(place()))}(?![\w-]|\.\w)", f"${variable}", text)
    return text


#: Innermost first: prepared data are inside the data folder by default.
_PLACES = {
    "PRETRAINING_GAIN_PREPARED": prepared_root,
    "PRETRAINING_GAIN_DATA": data_root,
    "PRETRAINING_GAIN_RESULTS": results_root,
    "PRETRAINING_GAIN_CACHE": cache_root,
}


def make_writable(folder: Path) -> Path:
    """Create `folder` if needed and check, before any work, that files can be written there and that the disk has room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(folder / "probe")
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        of_it = [variable for variable, place in _PLACES.items() if folder.resolve().is_relative_to(place())]
        choose = f"set {of_it[0]} to another" if of_it else "choose another"
        raise InputError(f"cannot write to {folder}: {error.strerror}; accepted: a folder to write in, {choose}") from None
    return folder


def acquire(lock: FileLock, held: str) -> AcquireReturnProxy:
    """Take a lock, which the result releases as a context. Where another process has it, print that it is `held`, and wait."""
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"{held}; waiting for it", file=sys.stderr)
        return lock.acquire()


def temporary_beside(path: Path, ending: str = "tmp") -> Path:
    """Return a hidden name beside `path` for this process to write to. Removes files that killed processes left.

    The name is random and short, so that processes of other machines and containers choose another, and it is never too
    long. A file is left over when nobody wrote to it for a week: a process may wait, and its number says nothing elsewhere.
    """
    for left in path.parent.glob(f".writing-*.{glob.escape(ending)}"):
        with suppress(OSError):  # removed by another process
            if time.time() - left.stat().st_mtime > _LEFT_AFTER_S:
                left.unlink()
    return path.with_name(f".writing-{secrets.token_hex(8)}.{ending}")


def for_papermill(path: Path) -> str:
    """Write a path for papermill, which otherwise fills in `{parameters}`."""
    return str(path).replace("{", "{{").replace("}", "}}")


def write_atomically(path: Path, content: bytes, keep_as: Path | None = None) -> None:
    """Write to a temporary file, flush it, rename it: `path` is either the old file or the complete new one.

    `keep_as` is a name to keep the old file under. Raises `InputError` when it cannot be written.
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
        if os.name != "nt":  # flush the folder, so that the renames survive a power cut; Windows has no such call
            handle = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror}") from None
