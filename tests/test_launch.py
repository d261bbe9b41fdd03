"""Launch buttons: links only where the book knows its repository, and on every page a way to the playground."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from pretraining_gain.tell.book.launch import NOTEBOOK, launch_links


def test_links_open_the_playground_of_the_repository():
    assert (ROOT / NOTEBOOK).exists()
    github = launch_links("https://github.com/owner/name.git", "main")
    assert github == {
        "Binder": f"https://mybinder.org/v2/gh/owner/name/main?urlpath=lab/tree/{NOTEBOOK}",
        "Colab": f"https://colab.research.google.com/github/owner/name/blob/main/{NOTEBOOK}",
    }
    elsewhere = launch_links("https://git.example.org/group/part/name", "dev/x")
    assert elsewhere == {
        "Binder": "https://mybinder.org/v2/git/https%3A%2F%2Fgit.example.org%2Fgroup%2Fpart%2Fname/dev%2Fx"
        f"?urlpath=lab/tree/{NOTEBOOK}"
    }
    assert launch_links("", "main") == {}


@pytest.mark.parametrize("address", ["github.com/owner/name", "https://github.com/owner", "http://github.com/a/b", "javascript:x"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="accepted: https://HOST/OWNER/NAME"):
        launch_links(address, "main")


def test_without_an_address_the_book_has_no_link_that_leads_nowhere(book):
    page = BeautifulSoup((book / "book" / "playground.html").read_text(encoding="utf-8"), "html.parser")
    if os.environ.get("PRETRAINING_GAIN_REPOSITORY"):
        pytest.skip("this book is built with an address")
    assert "without the address of its repository" in page.select_one("p.launch-unknown").text
    assert "mybinder.org" not in str(page) and "colab.research" not in str(page)


@pytest.mark.parametrize("name", ["book/index", "book/executed/toy/10_taxa", "book/playground"])
def test_every_page_leads_to_the_playground(book, name):
    page = BeautifulSoup((book / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    [link] = page.select(".dropdown-launch-buttons a")
    target = (book / f"{name}.html").parent / link["href"] if link["href"] != "#" else book / "book" / "playground.html"
    assert target.resolve() == (book / "book" / "playground.html").resolve()


def test_with_an_address_the_buttons_are_there(tmp_path):
    """A book of one page, built by the same extension."""
    for folder in ("book", "_build/assets"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "_config.yml").write_text(re.sub(r" *bibtex_.*\n", "", (ROOT / "_config.yml").read_text()))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/playground\n")
    (tmp_path / "book" / "playground.md").write_text("# Playground\n\n```{launch}\n```\n")
    shutil.copytree(ROOT / "book" / "_static", tmp_path / "book" / "_static")
    environment = os.environ | {"PRETRAINING_GAIN_REPOSITORY": "https://github.com/owner/name", "PYTHONPATH": str(ROOT / "src")}
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(tmp_path)]
    done = subprocess.run([*command, "--warningiserror", "--quiet"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    page = BeautifulSoup((tmp_path / "_build" / "html" / "book" / "playground.html").read_text(encoding="utf-8"), "html.parser")
    wanted = list(launch_links("https://github.com/owner/name", "main").values())
    assert [link["href"] for link in page.select("p.launch a")] == wanted
    assert [link["href"] for link in page.select(".dropdown-launch-buttons a")][1:] == wanted
