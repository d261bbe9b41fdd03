"""How to cite this project: BibTeX made of `CITATION.cff`, so that both say the same."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_FIELDS = ("cff-version", "message", "title", "authors", "version", "date-released")


def read_citation(path: Path) -> dict[str, Any]:
    """`CITATION.cff`. Raises `ValueError` naming the field that is missing."""
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = [name for name in _FIELDS if not stated.get(name)]
    if missing:
        raise ValueError(f"{path.name} lacks {', '.join(missing)}; accepted: the fields of the Citation File Format")
    return stated


def names_of(stated: dict[str, Any]) -> list[str]:
    """Authors as BibTeX takes them: a group stays whole in braces."""
    people = stated["authors"]
    return [f"{{{one['name']}}}" if "name" in one else f"{one['family-names']}, {one['given-names']}" for one in people]


def bibtex(stated: dict[str, Any]) -> str:
    """An entry of the kind `software`, with what the file states."""
    year = str(stated["date-released"])[:4]
    fields = {
        "author": " and ".join(names_of(stated)),
        "title": f"{{{' '.join(stated['title'].split())}}}",
        "year": year,
        "version": str(stated["version"]),
        "doi": stated.get("doi"),
        "url": stated.get("url") or stated.get("repository-code"),
        "license": stated.get("license"),
    }
    lines = [_wrapped(f"  {name:<7} = {{{value}}},") for name, value in fields.items() if value]
    return "\n".join([f"@software{{pretraining_gain_{year},", *lines, "}"])


def _wrapped(field: str) -> str:
    """As narrow as a page; BibTeX takes a break for a space."""
    return "\n".join(textwrap.wrap(field, 72, subsequent_indent=" " * 13, drop_whitespace=True, break_long_words=False))


class CiteThis(SphinxDirective):
    """```{cite-this}```: the entry, to copy."""

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, "CITATION.cff")
        self.env.note_dependency(str(path))
        try:
            entry = bibtex(read_citation(path))
        except ValueError as error:
            raise self.error(str(error)) from None
        return [nodes.literal_block(entry, entry, language="bibtex")]
