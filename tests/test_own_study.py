"""A reader's own study, in a file outside the project: its part of the book, without a change of any chapter or list."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, Watched, simulate_results

IGNORED = shutil.ignore_patterns("work", ".git", ".venv", ".snakemake", "runs", "data", "cache", "again", "*.safetensors")
CHANGES = {
    "name: toy\n": "name: mine\n",
    "seeds: [0, 1, 2]": "seeds: [3, 4]",
    "  animal: [4, 12]\n  non_animal: [4, 12]\n  random: [12]\n": "  animal: [4]\n  non_animal: [4]\n  random: [12]\n",
}


@pytest.fixture(scope="module")
def own_book(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages that `make reproduce STUDY=mine.yml` builds in a copy of the project; the runs of `mine` are simulated."""
    folder = tmp_path_factory.mktemp("own")
    text = (ROOT / "notebooks" / "studies" / "toy.yml").read_text()
    for old, new in CHANGES.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "mine.yml").write_text(text)
    copy = folder / "project"
    shutil.copytree(ROOT, copy, ignore=IGNORED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRETRAINING_GAIN_RESULTS", str(copy / "results"))
        simulate_results(str(folder / "mine.yml"))
    environment = {name: value for name, value in os.environ.items() if name != "PRETRAINING_GAIN_RESULTS"}
    environment |= {"PYTHONPATH": str(copy / "src")}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", f"study={folder / 'mine.yml'}"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return copy / "_build" / "html"


@pytest.mark.browser
def test_all_its_figures_are_drawn(own_book, browser):
    watched = Watched(browser)
    watched.open(own_book / "book" / "studies" / "mine.html")
    assert len(watched.draw_all()) >= 6


@pytest.mark.browser
def test_its_page_opens_without_an_error(own_book, browser):
    watched = Watched(browser)
    watched.open(own_book / "book" / "studies" / "mine.html")
    watched.draw_all()
    assert watched.complaints == []


def test_its_page_has_its_claims_costs_and_numbers(own_book):
    page = BeautifulSoup((own_book / "book" / "studies" / "mine.html").read_text(encoding="utf-8"), "html.parser")
    titles = [heading.text.rstrip("#\n") for heading in page.select("article h2")]
    assert {"Claims", "What the runs cost", "Re-run it", "Species"} <= set(titles)


def test_every_page_lists_it_beside_its_executed_notebooks(own_book):
    page = BeautifulSoup((own_book / "book" / "index.html").read_text(encoding="utf-8"), "html.parser")
    links = [link["href"] for link in page.select("nav a[href*='mine']")]
    assert {"studies/mine.html", "executed/mine/10_taxa.html", "executed/mine/13_claims.html"} <= set(links)


def test_every_link_on_its_page_leads_somewhere(own_book):
    path = own_book / "book" / "studies" / "mine.html"
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    links = [link["href"] for link in page.select("article a[href]") if "://" not in link["href"]]
    assert [link for link in links if not leads_somewhere(path, link)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    """Tell whether the file and the place in it that `link` names exist."""
    address, _, anchor = link.partition("#")
    target = (page.parent / address.partition("?")[0]).resolve() if address else page
    return target.exists() and (not anchor or f'id="{anchor}"' in target.read_text(encoding="utf-8"))
