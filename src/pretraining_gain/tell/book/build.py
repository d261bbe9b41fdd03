"""Build the book as `_build/html`; a failed build leaves the last good book in place.

`python -m pretraining_gain.tell.book.build` runs jupyter-book so that every warning is an error, in a folder of its own, and
puts the pages in place when all is well. A number or figure that is missing therefore stops the build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from filelock import AcquireReturnProxy, FileLock

from pretraining_gain.commands import USABLE_DISK, CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import acquire, make_writable, project_root, write_atomically
from pretraining_gain.tell.book.shown import write_contents
from pretraining_gain.tell.claims.ledger import ledger_paths, schema


def build() -> Path:
    """Build the book and return its index page. Raises `InputError` when Sphinx warns of anything."""
    folder = project_root() / "_build"
    book, fresh, old = folder / "html", folder / "html.new", folder / "html.old"
    with alone():
        made = run_sphinx("html")
        remove_unlisted(made, folder / "_toc.yml")
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
        try:
            shutil.copytree(made, fresh)  # what was made stays for the next build, which re-makes only what changed
        except shutil.Error as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise InputError(f"cannot copy the book: {error.args[0][0][2]}; accepted: {USABLE_DISK}") from None
        if book.exists():
            os.replace(book, old)
        os.replace(fresh, book)
        shutil.rmtree(old, ignore_errors=True)
        (book / "index.html").touch()  # newer than all that it was made from, even where Sphinx kept the page
    return book / "index.html"


def alone() -> AcquireReturnProxy:
    """Return the lock on Sphinx's folder as a context manager; wait until it is free."""
    lock = FileLock(make_writable(project_root() / "_build") / ".lock")
    return acquire(lock, "another process builds the book")


def remove_unlisted(made: Path, contents: Path) -> None:
    """Remove the pages of studies that are gone, which Sphinx leaves in `made`: those that the table of contents does not list."""
    toc = yaml.safe_load(contents.read_text(encoding="utf-8"))
    listed = {toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])}
    for page in (made / "book").rglob("*.html"):
        if (name := page.relative_to(made).with_suffix("").as_posix()) not in listed:
            for left in [page, *(made / "_sources").glob(f"{name}.*")]:
                left.unlink()


def run_sphinx(builder: str) -> Path:
    """Run one of Sphinx's builders in a folder of its own and return what it made. Raises `InputError` on any warning.

    Remove the output of a failed or killed build first: Sphinx would keep its incomplete pages and not repeat the warnings.
    """
    root = project_root()
    made = root / "_build" / "work"
    _write_assets(root / "_build" / "assets")
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(root), "--quiet", "--builder", builder]
    command += ["--toc", str(write_contents(root)), "--path-output", str(made), "-W", "-n", "--keep-going"]
    complete = made / "complete"
    if not complete.exists():
        shutil.rmtree(made, ignore_errors=True)
    complete.unlink(missing_ok=True)
    if subprocess.run(command, cwd=root, env=os.environ | {"PYTHONWARNINGS": "ignore"}).returncode:
        make_writable(root / "_build")  # raises where the disk is full, which is no warning
        raise InputError("the book has warnings, printed above; each is an error here. the last good book is kept")
    complete.touch()
    return made / "_build" / builder


def _write_assets(folder: Path) -> None:
    """Write what the pages link to, and nothing else: the claims ledgers of all studies and their schema."""
    shutil.rmtree(folder, ignore_errors=True)
    claims = make_writable(folder / "claims")
    for study, path in ledger_paths().items():
        write_atomically(claims / f"{study}.json", path.read_bytes())
    write_atomically(claims / "schema.json", schema().encode())


if __name__ == "__main__":
    CommandLine("tell.book.build", __doc__ or "").parse_args()
    sys.exit(answer("build", lambda: print(f"The book is at {build()}")))
