"""The book on paper: the PDF of all of it has its chapters, figures and numbers whole; a single page prints as well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, Watched

from pretraining_gain.errors import InputError
from pretraining_gain.tell.book.one_page import NUMBERED, one_page, pages_of
from pretraining_gain.tell.book.pdf import PDF, withdraw
from pretraining_gain.tell.book.printing import pages_of_places

PAPER_PX = 672
TEXT, PATH, SHADING, IMAGE = (
    pdfium.FPDF_PAGEOBJ_TEXT,
    pdfium.FPDF_PAGEOBJ_PATH,
    pdfium.FPDF_PAGEOBJ_SHADING,
    pdfium.FPDF_PAGEOBJ_IMAGE,
)


def make(*, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pretraining_gain.tell.book.pdf"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | environment)


@pytest.fixture(scope="module")
def whole(book) -> BeautifulSoup:
    """The one page that is printed."""
    return BeautifulSoup(one_page(ROOT), "html.parser")


@pytest.fixture(scope="module")
def content(book) -> bytes:
    """The PDF of the built book, made by its command (Playwright runs once a process, and here for the other tests)."""
    done = make()
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"The book as PDF is at {book / PDF}"
    return (book / PDF).read_bytes()


@pytest.fixture(scope="module")
def document(content) -> pypdfium2.PdfDocument:
    return pypdfium2.PdfDocument(content)


@pytest.fixture(scope="module")
def texts(document) -> list[str]:
    return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def captions(whole: BeautifulSoup) -> dict[str, str]:
    """Name of its place -> the number that a figure has."""
    found = {one["id"]: NUMBERED.fullmatch(one.strong.get_text()) for one in whole.select("p.figure-caption[id]")}
    return {place: number[1] for place, number in found.items()}


def test_the_one_page_leads_only_to_itself_and_has_every_figure_of_the_chapters(book, whole):
    places = [place["id"] for place in whole.find_all(id=True)]
    assert len(places) == len(set(places))
    links = {link["href"] for link in whole("a", href=True)}
    assert len(links) > 60 and {link for link in links if link.removeprefix("#") not in places} == set()
    chapters = [page for page in pages_of(ROOT) if not page.executed]
    assert [one["id"] for one in whole.select("article")] == [*(page.anchor for page in chapters), "notebooks"]
    shown = ".gain-figure, .gain-explorer, .not-run, table.samples"
    built = [BeautifulSoup((book / f"{page.name}.html").read_text(encoding="utf-8"), "html.parser") for page in chapters]
    assert len(whole.select(shown)) == sum(len(page.select(shown)) for page in built) > 40


def test_each_panel_of_a_figure_is_headed_by_its_study_and_the_first_has_the_caption(whole):
    subsets = whole.select_one("#subsets")
    figures = subsets.select("div.figure")
    assert len(figures) == 3 and not subsets.select("input, label")
    for figure in figures:
        heads = [head.get_text().strip() for head in figure.select(".together > .study")]
        number = NUMBERED.fullmatch(figure.select_one(".together .figure-caption strong").get_text())[1]
        assert [head.split(":")[0] for head in heads] == ["mini", f"Figure {number}, toy", f"Figure {number}, paper"]
    notebooks = [line.a.get_text() for line in figures[0].select("p.provenance")]
    assert notebooks == [f"{study}/11_subsets.ipynb" for study in ("mini", "toy", "paper")]


@pytest.mark.browser
def test_the_outline_has_every_chapter_in_order_and_the_contents_their_pages(content, document, whole, texts):
    chapters = [article.h1.get_text() for article in whole.select("article")]
    outline = [one for one in document.get_toc() if one.level == 0]
    assert [one.get_title() for one in outline] == chapters
    assert len(document) > len(chapters) + 20
    contents = " ".join(texts[: outline[0].get_dest().get_index()])
    for one in outline:
        page = one.get_dest().get_index() + 1
        assert f"{one.get_title()} {page}" in contents.replace("’", "’"), (one.get_title(), page)
        assert one.get_title() in texts[page - 1]
    for place, page in pages_of_places(content, list(captions(whole))).items():
        assert f"Figure {captions(whole)[place]}." in texts[page - 1]


@pytest.mark.browser
def test_every_figure_is_a_picture_on_its_captions_page(content, document, whole):
    """A drawing is 40 paths at least; a page of text has 20 at most. Sample images are images. Where a reader has no data
    for a figure, its caption stands below the reason."""
    shown = ".gain-figure, .gain-explorer, table.samples"
    figures = {place: whole.find(id=place).find_parent("div", class_="figure") for place in captions(whole)}
    drawn_here = {place: number for place, number in captions(whole).items() if figures[place].select(shown)}
    pages = pages_of_places(content, list(drawn_here))
    assert len(pages) >= 14
    for place, number in drawn_here.items():
        kinds = [one.type for one in document[pages[place] - 1].get_objects(max_depth=15)]
        drawn, images = kinds.count(PATH) + kinds.count(SHADING), kinds.count(IMAGE)
        assert images >= 4 if number == "5" else drawn > 30, (number, drawn, images)


@pytest.mark.browser
def test_the_pdf_has_no_gap(texts, content):
    together = "\n".join(texts)
    for gap in ("??", "Loading", "Figure, to be seen on the screen", " 000", "undefined", "rows as CSV", "Click to"):
        assert gap not in together, gap
    assert [number + 1 for number, text in enumerate(texts) if len(text) < 60] == []
    numbered = [re.match(rf"(?:[^\d]+ )?{number} ", text) for number, text in enumerate(texts[1:], 2)]
    assert [number for number, found in enumerate(numbered, 2) if not found] == []
    assert b"file:" not in content


@pytest.mark.browser
def test_nothing_in_the_pdf_leaves_the_paper(document):
    """Every character lies within the page, a centimetre from its sides."""
    for number, page in enumerate(document, 1):
        width, height = page.get_size()
        assert (width, height) == pytest.approx((595.3, 841.9), abs=1.5)
        text = page.get_textpage()
        for at in range(text.count_chars()):
            left, bottom, right, top = text.get_charbox(at)
            if right - left > 0.01:
                assert left >= 28 and right <= width - 28 and bottom >= 20 and top <= height - 20, (number, at)


@pytest.mark.browser
def test_all_fonts_are_in_the_pdf(document):
    for page in document:
        for one in page.get_objects(filter=[TEXT], max_depth=15):
            assert pdfium.FPDFFont_GetIsEmbedded(pdfium.FPDFTextObj_GetFont(one.raw)) == 1


@pytest.mark.browser
def test_the_first_page_offers_the_pdf_until_the_book_is_built_anew(content, document, book, tmp_path):
    page = (book / "book" / "index.html").read_text(encoding="utf-8")
    offer = f'<a href="../{PDF}">The whole book as PDF</a>, {len(document)} pages, {len(content) / 1e6:.1f} MB.'
    assert page.count(offer) == 1 and not list((book / "book").glob(".*whole*"))
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.html").write_text(page)
    (tmp_path / PDF).write_bytes(content)
    withdraw(tmp_path)
    assert (tmp_path / "book" / "index.html").read_text() == page.replace(f'<p class="book-pdf">{offer}</p>', "")
    assert not (tmp_path / PDF).exists()


def test_without_a_browser_the_command_says_so_in_one_line(book, tmp_path):
    before = (book / PDF).exists()
    done = make(PATH=str(tmp_path), PLAYWRIGHT_BROWSERS_PATH=str(tmp_path))
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(r"pdf: no browser to print with \(.+\); accepted: a Chromium or Chrome, as .*\n", done.stderr)
    assert (book / PDF).exists() == before and not list((book / "book").glob(".*whole*"))


def test_without_a_book_the_command_says_so_in_one_line(tmp_path):
    for name in ("_toc.yml", "_config.yml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    with pytest.raises(InputError, match=r"index\.html is missing; accepted: a whole book, as `make reproduce` builds it"):
        one_page(tmp_path)


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", "taxa", "explorer", "claims", "performance", "rerun"])
def test_a_chapter_prints_on_white_as_wide_as_paper_whole(book, browser, name):
    """Read in the dark; before and after printing the page is as it was."""
    watched = Watched(browser, width=PAPER_PX, scheme="dark")
    page = watched.open(book / "book" / f"{name}.html")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    page.wait_for_function("!document.querySelector('.gain-figure:not([data-drawn])')")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('article p:not(.reading-time)')).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_PX
    for label in page.locator(".sd-tab-set > label").all():
        assert label.is_visible() and label.locator("xpath=following-sibling::div[1]").is_visible()
    inks = page.locator(".gain-figure .xtick text, .explorer .xtick text").evaluate_all("all => all.map(t => t.style.fill)")
    assert set(inks) <= {"rgb(51, 51, 51)"} and bool(inks) == (name in ("index", "taxa", "explorer", "performance"))
    for hidden in (".bd-sidebar-primary", ".bd-header-article", ".explorer-controls", ".axis-switch", ".copybtn"):
        assert not any(one.is_visible() for one in page.locator(hidden).all()), hidden
    if name == "index":  # all steps through the lead figure, and no curve faint
        assert all(step.is_visible() for step in page.locator(".lead-steps li").all())
        faint = "all => all.flatMap(plot => plot.data).filter(trace => (trace.opacity ?? 1) < 1).length"
        assert page.locator(".js-plotly-plot").evaluate_all(faint) == 0
    if name == "explorer":
        assert page.locator(".explorer thead button").first.is_visible()
    page.emulate_media(media="screen", color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    closed = "all => all.filter(figure => !figure.offsetParent && figure.querySelector('.main-svg')).length"
    page.wait_for_function(f"({closed})([...document.querySelectorAll('.gain-figure')]) === 0")
    assert watched.complaints == []


@pytest.mark.browser
def test_the_browsers_own_print_has_figures_that_were_never_in_view(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "subsets.html")
    page.wait_for_function("window.Plotly")  # at hand before, as it cannot be waited for
    figures = page.locator(".gain-figure").count()
    assert page.locator(".gain-figure[data-drawn]").count() < figures
    printed = pypdfium2.PdfDocument(page.pdf(format="A4"))
    text = " ".join(one.get_textpage().get_text_range() for one in printed)
    assert "to be seen on the screen" not in text
    assert text.count("pretraining classes") >= 4 and text.count("expected animal classes") >= 4
    page.wait_for_function("!document.documentElement.classList.contains('printing')")
    assert watched.complaints == []
