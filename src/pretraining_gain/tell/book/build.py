"""Build the book: `python -m pretraining_gain.tell.book.build`. Warnings are errors; nothing is fetched.

The static plotly.js comes with this package: of the version that the installed plotly speaks to, in the form that knows bars
and scatter plots only, a quarter of the whole (npm's `plotly.js-basic-dist-min`). A test holds versions and figures to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, project_root, results_root, write_atomically
from pretraining_gain.tell.book.provenance_pages import ProvenancePages
from pretraining_gain.tell.book.rerun_pages import RerunFigures, RerunRuns, add_header, publish_runs
from pretraining_gain.tell.claims.ledger import ledger_path, read_ledger, schema

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)
PLOTLY_JS = Path(str(files("pretraining_gain") / "tell" / "assets" / "plotly-basic.min.js"))


def build() -> Path:
    """Build `_build/html`; returns its index page. Raises `InputError` when Sphinx warns of anything."""
    root = project_root()
    assets = make_writable(root / "_build" / "assets")
    plotly_js = PLOTLY_JS.read_bytes()
    if not (assets / "plotly.min.js").exists() or (assets / "plotly.min.js").read_bytes() != plotly_js:
        write_atomically(assets / "plotly.min.js", plotly_js)
    _publish_ledgers(make_writable(assets / "claims"))
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", str(root), "--warningiserror", "--nitpick", "--keep-going"]
    index = root / "_build" / "html" / "index.html"
    (index.parent / "book.pdf").unlink(missing_ok=True)  # shows the old book
    if subprocess.run([*command, "--quiet"], cwd=root, env=os.environ | {"PYTHONWARNINGS": "ignore"}).returncode:
        index.unlink(missing_ok=True)
        raise InputError("the book has warnings, printed above; each is an error here")
    return index


def _publish_ledgers(folder: Path) -> None:
    """Put the claims ledgers of the studies, and their schema, where a reader of the book can fetch them."""
    for path in results_root().glob("*/claims.json"):
        write_atomically(folder / f"{path.parent.name}.json", path.read_bytes())
    write_atomically(folder / "schema.json", schema().encode())


class VerdictRole(SphinxRole):
    """{verdict}`STUDY CLAIM WORDS`: WORDS, linked to the claim, which must be the verdict that the ledger holds.

    A sentence that rests on another verdict than the results give fails the build.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        study, claim, said = [*self.text.split(maxsplit=2), "", ""][:3]
        self.env.note_dependency(str(ledger_path(study)))
        try:
            found = {verdict.claim: verdict.verdict for verdict in read_ledger(study).verdicts}.get(claim, "no such claim")
        except InputError as error:
            found = str(error)
        if said != found:
            text = "a sentence rests on %s being %r in study %s, but the ledger says: %s"
            logger.warning(text, claim, said, study, found, location=self.get_location())
        link = addnodes.pending_xref("", refdomain="std", reftype="ref", reftarget=f"claim-{claim.lower()}", refexplicit=True)
        link += nodes.inline("", said)
        return [link], []


def setup(app: Sphinx) -> dict[str, Any]:
    """As a Sphinx extension: the role `verdict`; chapters follow the notebooks they paste from; each figure leads to its
    provenance and to the command that makes it again; no remote kernels.

    Jupyter Book and its theme both add scripts for running cells by a remote server, which this book has no use for, so
    that every page would declare the same names twice and fail.
    """
    app.add_role("verdict", VerdictRole())
    ProvenancePages().connect(app)
    app.add_directive("rerun-figures", RerunFigures)
    app.add_directive("rerun-runs", RerunRuns)
    app.connect("doctree-read", add_header)
    app.connect("doctree-resolved", publish_runs)
    app.add_css_file("rerun.css")
    app.setup_extension("pretraining_gain.tell.book.reader")
    app.connect("env-get-outdated", _chapters_follow_notebooks)
    app.connect("html-page-context", _without_thebe, priority=900)
    app.connect("html-page-context", _citations_are_no_list)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": _version()}


def _version() -> int:
    """Of the code that makes pages and the files beside them: when they change, Sphinx makes all pages anew. It would not
    even copy a changed stylesheet as long as no page has changed."""
    folders = (Path(__file__).parent, project_root() / "book" / "_static")
    sources = [path for folder in folders for path in sorted(folder.rglob("*.*")) if path.suffix != ".pyc"]
    return zlib.crc32(b"".join(path.read_bytes() for path in sources))


def _chapters_follow_notebooks(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Pasted figures and numbers are resolved when a chapter is written, so a changed notebook makes all chapters anew."""
    if not any("executed" in page for page in added | changed):
        return []
    return [page for page in env.found_docs if "executed" not in page]


def _without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script for script in scripts if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()
    ]


def _citations_are_no_list(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """docutils calls the references a list, but none of them an item, which tells a screen reader of an empty list."""
    if body := context.get("body"):
        context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


if __name__ == "__main__":
    try:
        print(f"The book is at {build()}")
    except InputError as error:
        sys.exit(f"build: {error}")
