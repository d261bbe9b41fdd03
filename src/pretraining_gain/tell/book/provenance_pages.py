"""Link each figure of the book to its provenance: the executed notebook, its JSON, and the command that makes it again.

A notebook does not know which pages will show its figures. Once all pages are known, the empty element in each provenance
line gets its links, relative to its page, so that they work from disk.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any, cast

from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

from pretraining_gain.paths import make_writable, write_atomically
from pretraining_gain.tell.book.executed import executed_page

logger = logging.getLogger(__name__)
FOLDER = "_static/provenance"
_PLACE = re.compile(r'<span (?:data-notebook="([^"]+)" )?data-provenance="([^"]+)"></span>')


def add_links(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Fill the empty element of each provenance line on a page with its links."""
    here = app.builder.get_target_uri(page)

    def links(place: re.Match[str]) -> str:
        notebook, name = place[1] or page, place[2]
        if app.builder.name == "singlehtml":  # paper has no links to files, and one page for all notebooks
            return ""
        executed = executed_page(app.env, notebook)
        if not executed or name not in executed.provenance:
            logger.warning("figure %r has no provenance in any executed notebook", name, location=page)
            return ""
        shown = relative_uri(here, app.builder.get_target_uri(notebook)) or posixpath.basename(here)
        uris = {"executed notebook": shown, "JSON": relative_uri(here, _json_of(notebook, name))}
        if f"rerun-{name}" in (places := cast(StandardDomain, app.env.get_domain("std")).anonlabels):
            there = app.builder.get_target_uri(places[f"rerun-{name}"][0])
            uris["re-run this figure"] = f"{relative_uri(here, there)}#rerun-{name}"
        return "".join(f' · <a href="{uri}">{label}</a>' for label, uri in uris.items())

    if body := context.get("body"):
        context["body"] = _PLACE.sub(links, body)


def publish(app: Sphinx, failure: Exception | None) -> None:
    """Write the JSON of every figure beside the book, and remove what is left of earlier builds."""
    earlier = set(make_writable(Path(app.outdir, FOLDER)).glob("*.json"))
    for page in sorted(app.env.found_docs):
        executed = executed_page(app.env, page)
        for name, content in executed.provenance.items() if executed else ():
            text = json.dumps(content | {"page": app.builder.get_target_uri(page)}, indent=1, ensure_ascii=False)
            path = Path(app.outdir, _json_of(page, name))
            write_atomically(path, f"{text}\n".encode())
            earlier.discard(path)
    for path in earlier:
        path.unlink()


def _json_of(page: str, name: str) -> str:
    return f"{FOLDER}/{posixpath.basename(page)}-{name}.json"
