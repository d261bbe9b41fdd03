"""What a link is about, shown when it is pointed at or focused: a term's definition, a claim in full.

The text is the link's `title`, so it is there without JavaScript, too; `reader.js` shows it better. References to the
literature bring theirs along.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_CLAIM = re.compile(r"claim-c\d+")


class Hints:
    """Anchor -> text of all terms and claims, collected as pages are read and put into the links to them."""

    def connect(self, app: Sphinx) -> None:
        app.connect("doctree-read", self._collect)
        app.connect("env-purge-doc", lambda app, env, page: _hints(env).pop(page, None))
        app.connect("env-updated", self._outdated)
        app.connect("doctree-resolved", self._explain)

    def _collect(self, app: Sphinx, doctree: nodes.document) -> None:
        if found := terms_of(doctree) | claims_of(doctree):
            _hints(app.env)[app.env.docname] = found

    def _outdated(self, app: Sphinx, env: BuildEnvironment) -> list[str]:
        """A changed definition stands in every page that links to it."""
        written = getattr(env, "reader_hints_written", None)
        env.reader_hints_written = {page: dict(found) for page, found in _hints(env).items()}  # type: ignore[attr-defined]
        return [] if written in (None, env.reader_hints_written) else sorted(env.found_docs)

    def _explain(self, app: Sphinx, doctree: nodes.document, page: str) -> None:
        texts = {anchor: text for found in _hints(app.env).values() for anchor, text in found.items()}
        for link in doctree.findall(nodes.reference):
            anchor = link.get("refid") or link.get("refuri", "").partition("#")[2]
            if link.get("internal") and anchor in texts and "headerlink" not in link["classes"]:
                link["reftitle"] = texts[anchor]


def terms_of(doctree: nodes.document) -> dict[str, str]:
    """Anchor -> definition of each term of a glossary."""
    items = [item for glossary in doctree.findall(addnodes.glossary) for item in glossary.findall(nodes.definition_list_item)]
    found = {}
    for item in items:
        [definition] = item.findall(nodes.definition)
        text = " ".join(definition.astext().split())
        found |= {anchor: text for term in item.findall(nodes.term) for anchor in term["ids"]}
    return found


def claims_of(doctree: nodes.document) -> dict[str, str]:
    """Anchor -> the claim in full."""
    sections = [(anchor, one) for one in doctree.findall(nodes.section) for anchor in one["ids"]]
    return {anchor: one.next_node(nodes.title).astext() for anchor, one in sections if _CLAIM.fullmatch(anchor)}


def _hints(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    if not hasattr(env, "reader_hints"):
        env.reader_hints = {}  # type: ignore[attr-defined]
    return env.reader_hints  # type: ignore[attr-defined]
