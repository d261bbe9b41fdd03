"""Print the built book: `python -m pretraining_gain.tell.book.pdf` writes `_build/html/book.pdf`.

Sphinx puts all chapters on one page and a Chromium prints it, so paper has the figures that the same script draws on screen.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError
from pretraining_gain.paths import project_root, write_atomically
from pretraining_gain.revision import revision
from pretraining_gain.tell.book.build import alone, run_sphinx

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def make_pdf() -> Path:
    """Print the book, then offer the PDF on its first page. Returns its path; raises `InputError` without a book or a browser."""
    html = project_root() / "_build" / "html"
    if not (html / "index.html").exists():
        raise InputError(f"{html / 'index.html'} is missing; accepted: a book, as `make reproduce` builds it")
    with alone():
        whole = run_sphinx("singlehtml")
        # Sphinx writes a start page in a subfolder as if it lay at the top.
        text = (whole / "book" / "index.html").read_text(encoding="utf-8")
        write_atomically(whole / "book.html", text.replace('"book/index.html#', '"#').encode())
        content = print_page(whole / "book.html")
        write_atomically(html / "book.pdf", content)
        offer = f'<p class="book-pdf"><a href="../book.pdf">The whole book as PDF</a>, {len(content) / 1e6:.1f} MB.</p>'
        first = html / "book" / "index.html"
        text = re.sub(r"</h1>(<p class=.book-pdf.>.*?</p>)?", f"</h1>{offer}", first.read_text(encoding="utf-8"), count=1)
        write_atomically(first, text.encode())
    return html / "book.pdf"


def print_page(path: Path) -> bytes:
    """Return the page at `path` as an A4 PDF with an outline, once the page says that all of it is drawn."""
    from playwright.sync_api import Error, sync_playwright  # the book is built without it

    made = revision()
    note = f"Printed from commit {made['commit'][:7]}{' with uncommitted changes' if made['changed'] else ''}."
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    with sync_playwright() as playwright:
        try:  # without the sandbox, which root cannot have: the browser opens only the book
            with playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"]) as browser:
                page = browser.new_page(viewport={"width": 672, "height": 980}, color_scheme="light", offline=True)
                page.set_default_timeout(600_000)  # of a busy machine
                page.emulate_media(media="print")
                page.goto(path.as_uri())
                page.evaluate("note => window.gainBook.toPaper(note)", note)
                return page.pdf(
                    format="A4", prefer_css_page_size=True, print_background=True, tagged=True, outline=True
                )
        except Error as error:
            wanted = "a Chromium or Chrome, as `make browser` finds or installs it"
            raise InputError(f"the book cannot be printed ({str(error).splitlines()[0]}); accepted: {wanted}") from None


if __name__ == "__main__":
    CommandLine("tell.book.pdf", __doc__ or "").parse_args()
    sys.exit(answer("pdf", lambda: print(f"The book as PDF is at {make_pdf()}")))
