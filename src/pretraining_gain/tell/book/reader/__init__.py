"""What makes the built book a book: reading times, hints on links, species to search for, how to cite, previews.

A Sphinx extension. It only reads: pages, results and class tables that are there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pretraining_gain.tell.book.reader.citing import CiteThis
from pretraining_gain.tell.book.reader.hints import Hints
from pretraining_gain.tell.book.reader.preview import Preview
from pretraining_gain.tell.book.reader.reading_time import ReadingTime, ReadingTimeRole
from pretraining_gain.tell.book.reader.species import SpeciesList

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Roles and directives: `reading-time`, `species-list`, `cite-this`."""
    app.add_role("reading-time", ReadingTimeRole())
    app.add_object_type("species", "species", objname="species")  # how the search calls them
    app.add_directive("species-list", SpeciesList)
    app.add_directive("cite-this", CiteThis)
    for part in (ReadingTime(), Hints(), Preview()):
        part.connect(app)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
