"""How long a chapter takes to read, from its words, counted when the book is built."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from docutils import nodes
from myst_nb.ext.glue.crossref import PendingGlueReference
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)
WORDS_PER_MINUTE = 220  # of adults who read for understanding
BOOK = "the whole book"
LISTED = "species-list"
_NOT_READ = (nodes.literal_block, nodes.raw, nodes.comment, nodes.target, nodes.system_message)
_PLACE = re.compile(r'<span data-reading-time="([^"]+)"></span>')


def minutes(words: int) -> str:
    """Words as the time that they take, in whole minutes or, from an hour and a half on, in half hours."""
    n = max(1, round(words / WORDS_PER_MINUTE))
    if n < 90:
        return "1 minute" if n == 1 else f"{n} minutes"
    return f"{round(n / 30) / 2:g} hours"


def words_of(doctree: nodes.document) -> int:
    """Words of a page's prose, tables and captions. A pasted number is one; code and lists to look up in count as none."""
    texts = [text for text in doctree.findall(nodes.Text) if not _looked_up(text)]
    return sum(len(text.split()) for text in texts) + len(list(doctree.findall(PendingGlueReference)))


def _looked_up(node: nodes.Node) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, _NOT_READ) or LISTED in getattr(node, "attributes", {}).get("classes", []):
            return True
    return False


def parts_of(toc: dict[str, Any]) -> dict[str, list[str]]:
    """The book's chapters, without the executed notebooks: of each part, by its caption, and of the whole."""
    parts = {part["caption"]: [chapter["file"] for chapter in part["chapters"]] for part in toc["parts"]}
    parts = {name: [page for page in pages if is_chapter(page)] for name, pages in parts.items()}
    return {BOOK: [toc["root"], *(page for pages in parts.values() for page in pages)]} | parts


def is_chapter(page: str) -> bool:
    return page.startswith("book/") and "/executed/" not in page


class ReadingTimeRole(SphinxRole):
    """{reading-time}`PART`: how long a part of the table of contents takes, or `the whole book`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.raw("", f'<span data-reading-time="{html.escape(self.text)}"></span>', format="html")], []


class ReadingTime:
    """Counts the words of each page that is read, and writes the time under the title of each chapter."""

    def connect(self, app: Sphinx) -> None:
        app.connect("doctree-read", self._count)
        app.connect("env-purge-doc", lambda app, env, page: _counts(env).pop(page, None))
        app.connect("env-updated", lambda app, env: [app.config.root_doc])  # the cover adds up what others hold
        app.connect("html-page-context", self._write)

    def _count(self, app: Sphinx, doctree: nodes.document) -> None:
        _counts(app.env)[app.env.docname] = words_of(doctree)

    def _write(self, app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
        counts, body = _counts(app.env), context.get("body", "")
        if is_chapter(page) and page in counts and page != app.config.root_doc:
            line = f'<p class="reading-time">{minutes(counts[page])} to read</p>'
            context["body"] = body.replace("</h1>", f"</h1>\n{line}", 1)
        elif "data-reading-time" in body:
            context["body"] = _PLACE.sub(lambda place: self._time(app, page, place.group(1)), body)

    def _time(self, app: Sphinx, page: str, quoted: str) -> str:
        part = html.unescape(quoted)
        parts = parts_of(yaml.safe_load(Path(app.srcdir, "_build", "_toc.yml").read_text(encoding="utf-8")))
        if part not in parts:
            logger.warning("no part %r to read; accepted: %s", part, ", ".join(parts), location=page)
        time = minutes(sum(_counts(app.env).get(one, 0) for one in parts.get(part, [])))
        return f'<span data-reading-time="{quoted}">{time}</span>'


def _counts(env: BuildEnvironment) -> dict[str, int]:
    """Words by page, kept with Sphinx's own knowledge of the pages."""
    if not hasattr(env, "reader_words"):
        env.reader_words = {}  # type: ignore[attr-defined]
    return env.reader_words  # type: ignore[attr-defined]
