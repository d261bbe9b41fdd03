"""The book's Sphinx extension: it connects the roles and directives, provenance, re-running and the reader's features."""

from __future__ import annotations

import io
import os
import zlib
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from pretraining_gain.paths import project_root
from pretraining_gain.tell.book.provenance_pages import add_links, publish
from pretraining_gain.tell.book.reader.citing import CiteThis
from pretraining_gain.tell.book.reader.hints import explain_links, outdated
from pretraining_gain.tell.book.reader.launch import Launch, add_menu, read_address
from pretraining_gain.tell.book.reader.species import SpeciesList
from pretraining_gain.tell.book.rerun_pages import RerunFigures, RerunRuns, add_header, publish_runs


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("pretraining_gain.tell.book.directives")
    directives = {"rerun-figures": RerunFigures, "rerun-runs": RerunRuns, "species-list": SpeciesList}
    for name, directive in (directives | {"cite-this": CiteThis, "launch": Launch}).items():
        app.add_directive(name, directive)
    app.add_object_type("species", "species", objname="species")  # the search shows this word
    app.add_config_value("launch_links", {}, "env", dict)
    app.connect("config-inited", read_address)
    app.connect("config-inited", _set_address)
    app.connect("env-get-outdated", outdated)
    app.connect("doctree-read", add_header)
    app.connect("doctree-resolved", publish_runs)
    app.connect("doctree-resolved", explain_links)
    app.connect("html-page-context", add_links)
    app.connect("html-page-context", add_menu, priority=502)  # after the theme's own menus
    app.connect("html-page-context", _mend_page, priority=900)
    app.connect("build-finished", publish)
    with redirect_stdout(io.StringIO()):  # it prints that matplotlib is missing; our card is a file
        app.setup_extension("sphinxext.opengraph")
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": _version()}


def _set_address(app: Sphinx, config: Config) -> None:
    """Give previews absolute addresses where PRETRAINING_GAIN_SITE says where the book will be served."""
    if site := os.environ.get("PRETRAINING_GAIN_SITE", "").rstrip("/"):
        config.html_baseurl = config.ogp_site_url = f"{site}/"


def _version() -> int:
    """Return a number that changes with the code that makes pages, the static files and the table of contents.

    When it changes, Sphinx re-makes all pages. Otherwise, while no page has changed, it would not even copy a changed
    stylesheet, and pages that did not change would list the old contents.
    """
    root = project_root()
    folders = (Path(__file__).parent, root / "book" / "_static", root / "book" / "_templates")
    sources = [path for folder in folders for path in sorted(folder.rglob("*.*")) if path.suffix != ".pyc"]
    contents = [path for path in [root / "_build" / "_toc.yml"] if path.exists()]
    return zlib.crc32(b"".join(path.read_bytes() for path in [*sources, *contents]))


def _mend_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Add the applications, and remove what would trouble a browser or a screen reader.

    Jupyter Book and its theme both add the scripts of remote kernels (thebe), which declare the same names twice. The
    references have the role `list`, but docutils marks nothing in them as an item.
    """
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script for script in scripts if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()
    ]
    if body := context.get("body"):
        body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        context["body"] = add_applications(body)


def add_applications(body: str) -> str:
    """Add the template of each application that a page has data for; its script fills the template in."""
    templates = sorted((project_root() / "book" / "_templates" / "applications").glob("*.html"))
    used = [path for path in templates if f'class="{path.stem}"' in body]
    return body + "".join(f'<template data-of="{one.stem}">{one.read_text(encoding="utf-8")}</template>' for one in used)
