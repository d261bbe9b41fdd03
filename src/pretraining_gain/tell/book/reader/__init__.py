"""Features for readers: hints on links, species in the search, a citation to copy, launch links, previews of shared pages.

A Sphinx extension. It only reads pages, results and class tables that exist.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from pretraining_gain.tell.book.reader.citing import CiteThis
from pretraining_gain.tell.book.reader.hints import explain_links, outdated
from pretraining_gain.tell.book.reader.launch import Launch, add_menu
from pretraining_gain.tell.book.reader.species import SpeciesList

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives `species-list`, `cite-this` and `launch`, the hints and the previews."""
    app.add_object_type("species", "species", objname="species")  # the search shows this word
    app.add_directive("species-list", SpeciesList)
    app.add_directive("cite-this", CiteThis)
    app.connect("doctree-resolved", explain_links)
    app.connect("env-get-outdated", outdated)
    app.add_directive("launch", Launch)
    app.connect("html-page-context", add_menu, priority=502)  # after the theme's own menus
    with redirect_stdout(io.StringIO()):  # it prints that matplotlib is missing; our card is a file
        app.setup_extension("sphinxext.opengraph")
    app.connect("config-inited", _set_address)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _set_address(app: Sphinx, config: Config) -> None:
    """Give previews absolute addresses where PRETRAINING_GAIN_SITE says where the book will be served."""
    if site := os.environ.get("PRETRAINING_GAIN_SITE", "").rstrip("/"):
        config.html_baseurl = config.ogp_site_url = f"{site}/"
