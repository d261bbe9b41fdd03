"""What makes the built book a book: reading times, hints on links, species to search for, how to cite, previews.

A Sphinx extension. It only reads: pages, results and class tables that are there.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from pretraining_gain.tell.pages.reader.citing import CiteThis
from pretraining_gain.tell.pages.reader.hints import Hints
from pretraining_gain.tell.pages.reader.preview import Preview
from pretraining_gain.tell.pages.reader.reading_time import ReadingTime, ReadingTimeRole
from pretraining_gain.tell.pages.reader.species import SpeciesList

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool | str | int]:
    """Roles and directives: `reading-time`, `species-list`, `cite-this`."""
    app.add_role("reading-time", ReadingTimeRole())
    app.add_object_type("species", "species", objname="species")  # how the search calls them
    app.add_directive("species-list", SpeciesList)
    app.add_directive("cite-this", CiteThis)
    for part in (ReadingTime(), Hints(), Preview()):
        part.connect(app)
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    # What pages became depends on this code, so Sphinx reads them anew when it changed.
    return {"env_version": zlib.crc32(code) + 1, "parallel_read_safe": False, "parallel_write_safe": True}
