"""Explain links where they stand: the definition of a term, a claim in full.

The explanation becomes the link's `title`, so it works without JavaScript; `reader.js` shows it better. References to the
literature bring their own.
"""

from __future__ import annotations

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def explain_links(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Set the title of each link to a term of a glossary or to a section labelled `claim-…`."""
    std = app.env.get_domain("std").data
    texts = {anchor: title for name, (_, anchor, title) in std["labels"].items() if name.startswith("claim-")}
    for defining in _defining_pages(app.env):
        for glossary in app.env.get_doctree(defining).findall(addnodes.glossary):
            for item in glossary.findall(nodes.definition_list_item):
                text = " ".join(" ".join(part.astext() for part in item.findall(nodes.definition)).split())
                texts |= {anchor: text for term in item.findall(nodes.term) for anchor in term["ids"]}
    for link in doctree.findall(nodes.reference):
        anchor = link.get("refid") or link.get("refuri", "").rpartition("#")[2]
        if link.get("internal") and anchor in texts and "headerlink" not in link["classes"]:
            link["reftitle"] = texts[anchor]


def _defining_pages(env: BuildEnvironment) -> set[str]:
    return {page for (kind, _), (page, _) in env.get_domain("std").data["objects"].items() if kind == "term"}


def outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> set[str]:
    """Rebuild all pages when a page that defines terms has changed, since their links repeat its text."""
    return set(env.found_docs) if _defining_pages(env) & changed else set()
