"""The build of the book around Sphinx: what a failed one leaves is not used again, and a full disk is named."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from refusal import assert_one_line

from pretraining_gain.errors import InputError
from pretraining_gain.tell.book import build

_LARGE = bytes(200_000)
Sphinx = Callable[[Path], int]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that an empty folder is the checkout."""
    contents = tmp_path / "_build" / "_toc.yml"
    contents.parent.mkdir()
    contents.write_text("root: index\nparts: []\n")
    monkeypatch.setattr(build, "project_root", lambda: tmp_path)
    monkeypatch.setattr(build, "write_contents", lambda root: contents)
    monkeypatch.setattr(build, "ledger_paths", dict)
    return tmp_path


@contextmanager
def limits_kept() -> Iterator[None]:
    """End a limit on the size of files that is set within; the test's own log is a file, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def with_sphinx(monkeypatch: pytest.MonkeyPatch, sphinx: Sphinx) -> None:
    """Let `sphinx` stand for jupyter-book: it gets the folder to write pages to and returns the exit status."""

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        pages = Path(command[command.index("--path-output") + 1], "_build", "html")
        pages.mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(command, sphinx(pages))

    monkeypatch.setattr(build.subprocess, "run", run)


def page(name: str, status: int = 0) -> Sphinx:
    """Write one page and return `status`."""

    def sphinx(pages: Path) -> int:
        (pages / name).write_bytes(_LARGE)
        return status

    return sphinx


def full(status: int) -> Sphinx:
    """Write a page and return `status`; after it no file can be larger than a few bytes, as if the disk were full."""

    def sphinx(pages: Path) -> int:
        (pages / "index.html").write_bytes(_LARGE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
        return status

    return sphinx


def test_pages_of_a_failed_build_are_made_again(root, monkeypatch):
    with_sphinx(monkeypatch, page("cut-off.html", status=1))
    with pytest.raises(InputError, match="the book has warnings"):
        build.build()
    with_sphinx(monkeypatch, page("index.html"))
    assert [path.name for path in build.build().parent.iterdir()] == ["index.html"]


def test_pages_of_a_complete_build_are_kept(root, monkeypatch):
    for name in ("index.html", "search.html"):
        with_sphinx(monkeypatch, page(name))
        build.build()
    assert {path.name for path in (root / "_build" / "html").iterdir()} == {"index.html", "search.html"}


@pytest.mark.parametrize(("status", "said"), [(1, "cannot write to {root}/_build: "), (0, "cannot copy the book: ")])
def test_a_full_disk_is_named_and_leaves_the_last_good_book(root, monkeypatch, status, said):
    with_sphinx(monkeypatch, page("index.html"))
    before = build.build().stat().st_mtime_ns
    with_sphinx(monkeypatch, full(status))
    with pytest.raises(InputError) as caught, limits_kept():
        build.build()
    assert_one_line(str(caught.value), said.format(root=root), "; accepted: ")
    assert (root / "_build" / "html" / "index.html").stat().st_mtime_ns == before
