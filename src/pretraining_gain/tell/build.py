"""Build the book: `python -m pretraining_gain.tell.build`. Warnings are errors; nothing is fetched.

The static plotly.js is the one inside the installed plotly package, so page and figures always agree in version.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, project_root, write_atomically

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def build() -> Path:
    """Build `_build/html`; returns its index page. Raises `InputError` when Sphinx warns of anything."""
    root = project_root()
    assets = make_writable(root / "_build" / "assets")
    plotly_js = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    if not (assets / "plotly.min.js").exists() or (assets / "plotly.min.js").read_bytes() != plotly_js:
        write_atomically(assets / "plotly.min.js", plotly_js)
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", str(root), "--warningiserror", "--nitpick", "--keep-going"]
    index = root / "_build" / "html" / "index.html"
    if subprocess.run([*command, "--quiet"], cwd=root, env=os.environ | {"PYTHONWARNINGS": "ignore"}).returncode:
        index.unlink(missing_ok=True)
        raise InputError("the book has warnings, printed above; each is an error here")
    return index


def setup(app: Sphinx) -> dict[str, bool]:
    """As a Sphinx extension: leave out the scripts for running cells by a remote server, which this book has no use for.

    Jupyter Book and its theme both add them, so that every page would declare the same names twice and fail.
    """
    app.connect("html-page-context", _without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script for script in scripts if "thebe" not in f"{script.filename} {script.attributes.get('body', '')}".lower()
    ]


if __name__ == "__main__":
    try:
        print(f"The book is at {build()}")
    except InputError as error:
        sys.exit(f"build: {error}")
