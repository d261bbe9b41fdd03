"""The book's side of provenance: links under each figure, and the JSON they lead to.

A notebook does not know where in the book it will stand, and a chapter not what it pastes. Here, once all pages are known,
the place in each line gets its links, relative to its page, so that they work from disk.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sphinx.domains.std import StandardDomain
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

from pretraining_gain.paths import make_writable, write_atomically

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)
FOLDER = "_static/provenance"
#: The page that has the command of every figure, each at an anchor of its name.
RERUN = "book/rerun"
_PLACE = re.compile(r'<span (?:data-notebook="([^"]+)" )?data-provenance="([^"]+)"></span>')


class ProvenancePages:
    """The provenance of every figure in the book's executed notebooks: name -> page -> what the JSON says.

    Several pages hold the same name where a study was not run: each of its pages says so of every figure.
    """

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, dict[str, Any]]] = {}

    def connect(self, app: Sphinx) -> None:
        app.connect("env-updated", self._read)
        app.connect("html-page-context", self._link)
        app.connect("build-finished", self._publish)

    def _read(self, app: Sphinx, env: BuildEnvironment) -> None:
        self.figures = {}
        for page in sorted(env.found_docs):
            path = Path(env.doc2path(page))
            if path.suffix == ".ipynb":
                for name, content in provenance_of(path).items():
                    self.figures.setdefault(name, {})[page] = content | {"page": app.builder.get_target_uri(page)}

    def _link(self, app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
        if body := context.get("body"):
            context["body"] = _PLACE.sub(lambda place: self._links(app, page, place[1] or page, place[2]), body)

    def _links(self, app: Sphinx, page: str, notebook: str, name: str) -> str:
        if notebook not in self.figures.get(name, {}):
            logger.warning("figure %r has no provenance in any executed notebook", name, location=page)
            return ""
        here = app.builder.get_target_uri(page)
        uris = {
            "executed notebook": relative_uri(here, app.builder.get_target_uri(notebook)) or here.rpartition("/")[2],
            "JSON": relative_uri(here, _json_of(notebook, name)),
        }
        if f"rerun-{name}" in (places := cast(StandardDomain, app.env.get_domain("std")).anonlabels):
            there = app.builder.get_target_uri(places[f"rerun-{name}"][0])
            uris["re-run this figure"] = f"{relative_uri(here, there)}#rerun-{name}"
        return "".join(f' · <a href="{uri}">{label}</a>' for label, uri in uris.items())

    def _publish(self, app: Sphinx, failure: Exception | None) -> None:
        contents = {_json_of(page, name): one for name, pages in self.figures.items() for page, one in pages.items()}
        for path in make_writable(Path(app.outdir, FOLDER)).glob("*.json"):
            if f"{FOLDER}/{path.name}" not in contents:
                path.unlink()
        for name, content in contents.items():
            write_atomically(
                Path(app.outdir, name), (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
            )


def _json_of(page: str, name: str) -> str:
    return f"{FOLDER}/{posixpath.basename(page)}-{name}.json"


def provenance_of(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> provenance of each figure in an executed notebook, with its text alternative and the notebook's template and
    parameters."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    facts = execution_of(notebook, path)
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    shown = [output for output in outputs if "provenance" in output.get("metadata", {})]
    return {
        output["metadata"]["provenance"]["figure"]: output["metadata"]["provenance"]
        | {"description": "".join(output["data"].get("text/plain", ""))}
        | facts
        for output in shown
        if "scrapbook" not in output["metadata"]  # what chapters paste; the same stands beside it as it is shown
    }


def execution_of(notebook: dict[str, Any], path: Path) -> dict[str, Any]:
    """Which template was executed into this notebook, with which parameters."""
    made = notebook["metadata"].get("papermill", {})
    template = f"notebooks/{Path(made.get('input_path') or path).name}"
    return {"template": template, "parameters": made.get("parameters", {})}
