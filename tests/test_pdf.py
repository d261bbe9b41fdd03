"""The book on paper: the PDF has every chapter and figure, and a page prints on white, whole, and is then as before."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from bs4 import BeautifulSoup
from conftest import Watched

from pretraining_gain.errors import InputError
from pretraining_gain.tell.book import pdf

PAPER_PX = 672


@pytest.fixture(scope="module")
def document(project, book, browser) -> pypdfium2.PdfDocument:
    """Make the PDF by its command, in a process of its own, as Playwright runs once per process."""
    command = [sys.executable, "-m", "pretraining_gain.tell.book.pdf"]
    environment = os.environ | {"PYTHONPATH": str(project / "src")}
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return pypdfium2.PdfDocument((book / "book.pdf").read_bytes())


@pytest.fixture(scope="module")
def texts(document) -> list[str]:
    return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def test_the_outline_has_every_chapter_in_order(document, project):
    whole = BeautifulSoup((project / "_build" / "work" / "_build" / "singlehtml" / "book.html").read_text(), "html.parser")
    places = [place for place in whole.select(".toctree-wrapper > span[id]") if "/executed/" not in place["id"]]
    chapters = [place.find_next_sibling("section").h2.get_text().removesuffix("#") for place in places]
    outline = iter([one.get_title() for one in document.get_toc()])  # with the sections in between
    assert [title for title in chapters if title not in outline] == []


def test_every_chart_is_drawn_as_vectors(document, book):
    """A chart has 40 paths at least, a page of text 20 at most; each chart of a chapter takes at most a page."""
    drawn = [page for page in document if sum(one.type == pdfium.FPDF_PAGEOBJ_PATH for one in page.get_objects(max_depth=15)) > 30]
    chapters = [BeautifulSoup(path.read_text(), "html.parser") for path in (book / "book").glob("*.html")]
    assert 2 * len(drawn) >= sum(len(chapter.select(".gain-figure")) for chapter in chapters)


@pytest.mark.parametrize("gap", ["??", "Loading", "undefined", "rows as CSV", "Click to"])
def test_the_pdf_has_no_gap(texts, gap):
    assert [number for number, text in enumerate(texts, 1) if gap in text] == []


def test_no_text_leaves_the_paper(document):
    for number, page in enumerate(document, 1):
        width, height = page.get_size()
        text = page.get_textpage()
        boxes = [box for box in map(text.get_charbox, range(text.count_chars())) if box[2] - box[0] > 0.01]
        inside = [box for box in boxes if box[0] >= 28 and box[1] >= 20 and box[2] <= width - 28 and box[3] <= height - 20]
        assert inside == boxes, number


def test_no_link_leads_to_a_file(document, book):
    assert b"file:" not in (book / "book.pdf").read_bytes()


def test_the_first_page_offers_the_pdf_once(document, book):
    assert (book / "book" / "index.html").read_text().count('<a href="../book.pdf">The whole book as PDF</a>') == 1


def test_without_a_browser_the_command_says_so_in_one_line(tmp_path):
    code = "from pathlib import Path; from pretraining_gain.tell.book.pdf import *; answer('pdf', lambda: print_page(Path('/x')))"
    nowhere = {"PATH": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | nowhere)
    assert re.fullmatch(r"pdf: the book cannot be printed \(.+\); accepted: a Chromium or Chrome, as .*\n", done.stderr)


def test_without_a_book_the_command_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "project_root", lambda: tmp_path)
    with pytest.raises(InputError, match=r"index\.html is missing; accepted: a book, as `make reproduce` builds it"):
        pdf.make_pdf()


@pytest.mark.parametrize("name", ["index", "taxa", "explorer", "claims", "performance", "rerun"])
def test_a_chapter_prints_on_white_and_is_then_as_before(book, browser, name):
    """For a reader in the dark, whose browser asks for the print style."""
    watched = Watched(browser, width=PAPER_PX, scheme="dark")
    page = watched.open(book / "book" / f"{name}.html")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('article p')).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_PX
    hidden = page.locator(".sd-tab-set > label, .sd-tab-set > .sd-tab-content, .lead-steps li")
    assert hidden.evaluate_all("all => all.filter(one => !one.offsetParent).length") == 0
    shown = page.locator(".bd-sidebar-primary, .bd-header-article, .explorer-controls, .axis-switch, .copybtn")
    assert shown.evaluate_all("all => all.filter(one => one.offsetParent).length") == 0
    inks = page.locator(".gain-figure .xtick text, .explorer .xtick text").evaluate_all("all => all.map(t => t.style.fill)")
    assert set(inks) <= {"rgb(51, 51, 51)"}
    page.emulate_media(media="screen", color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert watched.complaints == []


def test_the_browsers_own_print_has_figures_that_were_never_in_view(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "beyond.html")
    page.emulate_media(media="print")
    pictures = page.locator(".gain-figure:not([data-drawn]) > img.static")
    assert pictures.count() > 3
    assert pictures.evaluate_all("all => all.every(one => one.offsetParent && one.naturalWidth > 500)")
    assert watched.complaints == []


def test_a_reader_without_javascript_sees_every_figure(book, plain_page):
    page = plain_page
    page.goto((book / "book" / "taxa.html").as_uri())
    shown = page.locator(".gain-figure:visible > img.static:visible")
    assert shown.count() == page.locator(".gain-figure:visible").count() > 0
