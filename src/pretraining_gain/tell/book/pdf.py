"""The book as a PDF: `python -m pretraining_gain.tell.book.pdf` prints the built book into `_build/html/book.pdf`.

Its first page then offers it. A book that is built anew takes the PDF of the old one away.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root, write_atomically

PDF = "book.pdf"
_OFFER = re.compile(r'<p class="book-pdf">.*?</p>')
_TITLE = re.compile(r"<article.*?</h1>", flags=re.DOTALL)


def make_pdf() -> Path:
    """Print the built book; returns the PDF."""
    try:  # the book is built without them
        from pretraining_gain.tell.book.one_page import one_page
        from pretraining_gain.tell.book.printing import n_pages, printed
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; accepted: an environment with the extra `pdf`") from None
    html = project_root() / "_build" / "html"
    page = html / "book" / ".whole-book.html"  # beside the chapters, so that what they name is found
    write_atomically(page, one_page(project_root()).encode())
    try:
        content = printed(page)
    finally:
        page.unlink(missing_ok=True)
    write_atomically(html / PDF, content)
    facts = f"{n_pages(content)} pages, {len(content) / 1e6:.1f} MB"
    _rewrite_first_page(html, f'<p class="book-pdf"><a href="../{PDF}">The whole book as PDF</a>, {facts}.</p>')
    return html / PDF


def withdraw(html: Path) -> None:
    """Take away the PDF of an older book, and the link to it."""
    (html / PDF).unlink(missing_ok=True)
    _rewrite_first_page(html, "")


def _rewrite_first_page(html: Path, offer: str) -> None:
    path = html / "book" / "index.html"
    if path.exists():
        before = path.read_text(encoding="utf-8")
        after = _TITLE.sub(lambda title: title[0] + offer, _OFFER.sub("", before), count=1)
        if after != before:
            write_atomically(path, after.encode())


if __name__ == "__main__":
    CommandLine("tell.pdf", __doc__ or "").parse_args()
    sys.exit(answer("pdf", lambda: print(f"The book as PDF is at {make_pdf()}")))
