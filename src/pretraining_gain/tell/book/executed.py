"""Read what executed notebooks hand to chapters: figures, tables and numbers, each under its key."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sphinx.environment import BuildEnvironment

from pretraining_gain.errors import InputError
from pretraining_gain.paths import EXECUTED

_PREFIX = "application/papermill.record/"
#: What an output says in place of a figure that was not drawn, and of a table of images that are not here.
_ABSENT = ('class="not-run"', "<th>not measured here</th>")


@dataclass(frozen=True)
class Executed:
    """One executed notebook: its page in the book, and by key its numbers and texts (`values`) and its HTML (`shown`).

    `template` is the notebook that was executed with `parameters`: another one where the study was not run.
    `provenance` maps the name of each figure, e.g. `mini-figure_3`, to what the figure's JSON says.
    """

    page: str
    path: Path
    template: str
    title: str
    parameters: Mapping[str, Any]
    values: Mapping[str, Any]
    shown: Mapping[str, str]
    provenance: Mapping[str, dict[str, Any]]

    @property
    def was_run(self) -> bool:
        return self.template == f"notebooks/{self.path.name}"

    def value(self, key: str) -> Any:
        """Return the number or text `key`. Raises `InputError` with the accepted keys."""
        return self._find(self.values, key, "number or text")

    def html(self, key: str) -> str:
        """Return the figure or table `key`. Raises `InputError` with the accepted keys."""
        return self._find(self.shown, key, "figure or table")

    def has_figure(self, key: str) -> bool:
        """Tell whether the notebook made `key` instead of saying why it could not."""
        return key in self.shown and not any(sign in self.shown[key] for sign in _ABSENT)

    def _find(self, found: Mapping[str, Any], key: str, kind: str) -> Any:
        if key not in found:
            raise InputError(f"{self.page} has no {kind} {key!r}; accepted: {', '.join(found) or 'none'}")
        return found[key]


def short_name(path: Path) -> str:
    """Return the name by which chapters call a notebook: `taxa` for `10_taxa.ipynb`."""
    return path.stem.split("_", 1)[-1]


def notebooks_of(root: Path, study: str = "") -> list[Path]:
    """List the executed notebooks of `study`, or of no study, whose template still exists."""
    found = sorted((root / EXECUTED / study).glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if "." not in path.stem and (root / "notebooks" / path.name).exists()]


def find_executed(root: Path, notebook: str, study: str) -> Executed:
    """Return the executed `notebook` (short name) of `study`, or the one of no study. Raises `InputError`."""
    paths = {short_name(path): path for path in [*notebooks_of(root), *notebooks_of(root, study)]}
    if notebook not in paths:
        accepted = ", ".join(paths) or "none"
        raise InputError(f"no executed notebook {notebook!r} of study {study!r}; accepted: {accepted}")
    return read_executed(root, paths[notebook])


def read_executed(root: Path, path: Path) -> Executed:
    """Read an executed notebook, with a cache that notices a changed file."""
    return _read(root, path, path.stat().st_mtime_ns)


def executed_page(env: BuildEnvironment, page: str) -> Executed | None:
    """Return the executed notebook that a page of the book shows; None for another page."""
    path = Path(env.doc2path(page))
    is_notebook = page.startswith(f"{EXECUTED}/") and path.suffix == ".ipynb"
    return read_executed(Path(env.srcdir), path) if is_notebook else None


@lru_cache(maxsize=128)
def _read(root: Path, path: Path, _changed: int) -> Executed:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    made = notebook["metadata"].get("papermill", {})
    template, parameters = f"notebooks/{Path(made.get('input_path') or path).name}", made.get("parameters", {})
    values, shown = {}, {}
    provenance: dict[str, dict[str, Any]] = {}
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        metadata = output.get("metadata", {})
        if origin := metadata.get("provenance"):
            described = {"description": text} if (text := "".join(output["data"].get("text/plain", ""))) else {}
            facts = origin | described | {"template": template, "parameters": parameters}
            provenance[origin["figure"]] = provenance.get(origin["figure"], {}) | facts
        if key := metadata.get("scrapbook", {}).get("name"):
            forms = {kind.removeprefix(_PREFIX): "".join(text) for kind, text in output["data"].items()}
            if "text/html" in forms:
                shown[key] = forms["text/html"]
                continue
            try:
                values[key] = ast.literal_eval(forms["text/plain"])
            except ValueError:  # nan and inf are no Python literals
                values[key] = float(forms["text/plain"])
    first = "".join(json.loads((root / "notebooks" / path.name).read_text(encoding="utf-8"))["cells"][0]["source"])
    title = first.splitlines()[0].removeprefix("# ")
    page = path.relative_to(root).with_suffix("").as_posix()
    return Executed(page, path, template, title, parameters, values, shown, provenance)
