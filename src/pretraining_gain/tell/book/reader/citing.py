"""Show how to cite this project: a BibTeX entry made from `CITATION.cff`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes

from pretraining_gain.errors import InputError
from pretraining_gain.tell.book.directives import BookDirective

_FIELDS = ("cff-version", "message", "title", "authors", "version", "date-released")


def read_citation(path: Path) -> dict[str, Any]:
    """Read `CITATION.cff`. Raises `InputError` naming the missing fields."""
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    if missing := [name for name in _FIELDS if not stated.get(name)]:
        raise InputError(f"{path.name} lacks {', '.join(missing)}; accepted: the fields of the Citation File Format")
    return stated


def bibtex(stated: dict[str, Any]) -> str:
    """Return a `@software` entry, wrapped at 72 characters; braces keep the name of a group whole."""
    year, title = str(stated["date-released"])[:4], " ".join(stated["title"].split())
    authors = " and ".join(map(_author, stated["authors"]))
    fields: dict[str, Any] = {"author": authors, "title": f"{{{title}}}", "year": year}
    fields |= {name: stated.get(name) for name in ("version", "doi", "url", "license")}
    fields["url"] = fields["url"] or stated.get("repository-code")
    lines = [f"  {name:<7} = {{{value}}}," for name, value in fields.items() if value]
    wrapped = [textwrap.fill(line, 72, subsequent_indent=" " * 13, break_long_words=False) for line in lines]
    return "\n".join([f"@software{{pretraining_gain_{year},", *wrapped, "}"])


def _author(stated: dict[str, str]) -> str:
    given = f", {stated['given-names']}" if "given-names" in stated else ""
    return f"{{{stated['name']}}}" if "name" in stated else stated["family-names"] + given


class CiteThis(BookDirective):
    """Insert the BibTeX entry: {cite-this}."""

    def make(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, "CITATION.cff")
        self.env.note_dependency(str(path))
        entry = bibtex(read_citation(path))
        return [nodes.literal_block(entry, entry, language="bibtex")]
