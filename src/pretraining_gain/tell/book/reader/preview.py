"""What other sites show of a page when it is shared: its title, its first sentences and the book's card."""

from __future__ import annotations

import html
import os
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.util.osutil import relative_uri

from pretraining_gain.paths import make_writable, write_atomically
from pretraining_gain.tell.book.reader.card import SIZE, TITLE, curves_of, draw_card

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

SITE = "PRETRAINING_GAIN_SITE"  # where the book is going to be served, e.g. https://example.org/book/
CARD = "_static/card.png"
SAID = "Real photographs, small: top-1 by number of pretraining classes"
_FIRST = re.compile(r"<p>(.*?)</p>", flags=re.DOTALL)


class Preview:
    """Adds `og:` and `twitter:` tags to each page, and draws the card they show.

    A preview needs whole addresses. They are given when the address of the site is known (`html.baseurl`, or the
    environment variable), and are relative to the page otherwise.
    """

    def connect(self, app: Sphinx) -> None:
        app.connect("config-inited", self._where)
        app.connect("html-page-context", self._describe)
        app.connect("build-finished", self._draw)

    def _where(self, app: Sphinx, config: Config) -> None:
        config.html_baseurl = config.html_baseurl or os.environ.get(SITE, "")

    def _describe(self, app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
        here, base = app.builder.get_target_uri(page), app.config.html_baseurl
        whole = base.rstrip("/") + "/" if base else ""
        title = html.unescape(re.sub(r"<[^>]+>", "", context.get("title") or app.config.html_title))
        said = first_sentences(context.get("body", ""))
        card = f"{whole}{CARD}" if whole else relative_uri(here, CARD)
        facts = {"title": title, "description": said, "type": "article", "site_name": app.config.html_title, "image": card}
        facts |= {"image:width": SIZE[0], "image:height": SIZE[1], "image:alt": f"{TITLE} {SAID}".replace("\n", " ")}
        facts |= {"url": f"{whole}{here}"} if whole else {}
        tags = [f'<meta property="og:{name}" content="{_quoted(value)}">' for name, value in facts.items() if value]
        tags.append('<meta name="twitter:card" content="summary_large_image">')
        if said:
            tags.append(f'<meta name="description" content="{_quoted(said)}">')
        context["metatags"] = context.get("metatags", "") + "\n".join(tags)

    def _draw(self, app: Sphinx, failure: Exception | None) -> None:
        if failure is None and app.builder.format == "html":
            curves = curves_of(Path(app.srcdir, "book", "executed", "mini", "11_subsets.ipynb"))
            target = Path(app.outdir, CARD)
            make_writable(target.parent)
            write_atomically(target, draw_card(curves, SAID))


def first_sentences(body: str) -> str:
    """The first paragraph of a page as plain text of at most 200 characters."""
    found = _FIRST.search(body)
    text = html.unescape(re.sub(r"<[^>]+>", "", found.group(1))) if found else ""
    return textwrap.shorten(text, 200, placeholder=" …")


def _quoted(value: object) -> str:
    return html.escape(str(value), quote=True)
