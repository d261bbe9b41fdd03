"""From a page to a PDF, by a Chromium: figures on paper are those of the pages, drawn by the same script, as vectors.

One is there for the tests anyway. LaTeX would be a second layout to keep, and a second way to draw each figure.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium
from playwright.sync_api import Browser, Error, sync_playwright

from pretraining_gain.errors import InputError

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PAPER: dict[str, Any] = {"format": "A4", "prefer_css_page_size": True, "print_background": True, "tagged": True, "outline": True}
_BETWEEN_MARGINS = {"width": 672, "height": 980}  # CSS pixels of A4 less the margins that print.css sets
_NUMBER = """places => {
  for (const entry of document.querySelectorAll(".book-contents .entry")) {
    entry.querySelector(".page-number").textContent = places[entry.querySelector("a").hash.slice(1)];
  }
}"""


def printed(path: Path) -> bytes:
    """The page as PDF: printed once to learn on which page each place comes, and again with these numbers.

    Raises `InputError` when there is no Chromium, or a script of the page fails.
    """
    with _chromium() as browser:
        context = browser.new_context(viewport=_BETWEEN_MARGINS, color_scheme="light", offline=True)
        page = context.new_page()
        page.emulate_media(media="print")
        page.set_default_timeout(300_000)
        try:
            page.goto(path.as_uri())
            page.evaluate("window.gainBook.toPaper()")
        except Error as error:
            raise InputError(f"the book cannot be laid out for print: {_first_line(error)}") from None
        wanted = page.locator(".book-contents .entry a").evaluate_all("links => links.map(link => link.hash.slice(1))")
        page.evaluate(_NUMBER, pages_of_places(page.pdf(**_PAPER), wanted))
        return page.pdf(**_PAPER)


@contextmanager
def _chromium() -> Iterator[Browser]:
    """The system's Chromium or Chrome, else Playwright's own."""
    path = next((found for found in map(shutil.which, _CHROMIUMS) if found), None)
    with sync_playwright() as playwright:
        try:  # without the sandbox, which root cannot have: it opens nothing but the book
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            wanted = "a Chromium or Chrome, as `make browser` finds or gets it"
            raise InputError(f"no browser to print with ({_first_line(error)}); accepted: {wanted}") from None
        try:
            yield browser
        finally:
            browser.close()


def _first_line(error: Error) -> str:
    return str(error).strip().splitlines()[0]


def pages_of_places(content: bytes, names: list[str]) -> dict[str, int]:
    """Name -> number of the page on which that place is."""
    document = pypdfium2.PdfDocument(content)
    found = {name: pdfium.FPDF_GetNamedDestByName(document.raw, name.encode()) for name in names}
    if lost := [name for name, place in found.items() if not place]:
        raise InputError(f"the PDF lacks {', '.join(lost)}; accepted: a whole book, as `make reproduce` builds it")
    return {name: pdfium.FPDFDest_GetDestPageIndex(document.raw, place) + 1 for name, place in found.items()}


def n_pages(content: bytes) -> int:
    return len(pypdfium2.PdfDocument(content))
