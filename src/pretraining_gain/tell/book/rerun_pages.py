"""The book's side of re-running: the commands of all figures and runs on one page, and at the top of each executed notebook
its parameters and the notebook itself to take away.

Two directives stand in the chapter: `rerun-figures`, and `rerun-runs`, whose table is drawn by `rerun.js` from files beside
the book; the same commands are there as plain text.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from pretraining_gain.errors import InputError
from pretraining_gain.paths import make_writable, project_root, results_of, write_atomically
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.book.provenance_pages import RERUN, execution_of, provenance_of
from pretraining_gain.tell.book.rerun import (
    NOTEBOOKS,
    Parameter,
    Repeatable,
    command_of_notebook,
    first_command_of_notebook,
    parameters_of,
    repeatable_runs,
    settings_of,
    was_run,
)

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

EXECUTED = "book/executed"
FOLDER = "_static/rerun"
_NUMBERED = re.compile(r"-figure_(\d+)$")
#: What shows no plot, whose text alternative is no title.
_TITLES = {"figure_5": "The two domains side by side", "explorer": "Gain explorer", "what_if": "Change the analysis"}


@dataclass(frozen=True)
class Executed:
    """A page of the book that is an executed notebook."""

    page: str
    path: Path
    template: str
    given: dict[str, Any]
    figures: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, env: BuildEnvironment, page: str) -> Executed:
        path = Path(env.doc2path(page))
        notebook = json.loads(path.read_text(encoding="utf-8"))
        made = execution_of(notebook, path)
        return cls(page, path, made["template"], made["parameters"], provenance_of(path))

    @property
    def place(self) -> str:
        """Study and notebook, such as `mini/10_taxa`; only the notebook where it is of no study."""
        return posixpath.relpath(self.page, EXECUTED)

    @property
    def own_template(self) -> Path:
        """The notebook that this page is of, even where another stands for it and says that the study was not run."""
        return project_root() / "notebooks" / self.path.name

    @property
    def title(self) -> str:
        first = json.loads(self.own_template.read_text(encoding="utf-8"))["cells"][0]
        return "".join(first["source"]).splitlines()[0].removeprefix("# ")

    @property
    def was_run(self) -> bool:
        return Path(self.template).name == self.path.name

    def command(self) -> str:
        given = {one.name: one.value for one in parameters_of(self.own_template, self.given)}
        if not self.was_run:
            return first_command_of_notebook(self.place, given)
        return command_of_notebook(self.place, given, self._settings())

    def _settings(self) -> dict[str, Any]:
        """Of the machine that did the run, on a page that shows one."""
        stage = next((stage for stage, notebook in NOTEBOOKS.items() if notebook == self.path.stem), None)
        if not stage:
            return {}
        [name] = next(iter(self.figures.values()))["runs"]
        folder = results_of(load_study(self.given["study"]).name)
        return settings_of(read_record(folder / stage / f"{name}.json")["machine"])


def executed_in(env: BuildEnvironment, folder: str) -> list[Executed]:
    """The executed notebooks of a study, or, with an empty `folder`, those of none."""
    inside = posixpath.join(EXECUTED, folder).rstrip("/")
    pages = [page for page in sorted(env.found_docs) if posixpath.dirname(page) == inside]
    return [Executed.of(env, page) for page in pages if env.doc2path(page).endswith(".ipynb")]


class _FromRecords(SphinxDirective):
    """A directive that reads what runs left; what is missing or damaged of it is an error of the chapter, in one line."""

    def run(self) -> list[nodes.Node]:
        try:
            return self.made()
        except InputError as error:
            raise self.error(str(error)) from None

    def made(self) -> list[nodes.Node]:
        raise NotImplementedError


class RerunFigures(_FromRecords):
    """{rerun-figures} STUDY: the command of each executed notebook of STUDY (without one: of no study), by its figures."""

    optional_arguments = 1

    def made(self) -> list[nodes.Node]:
        found = executed_in(self.env, self.arguments[0] if self.arguments else "")
        for one in found:
            self.env.note_dependency(str(one.path))
            self.env.note_dependency(str(one.own_template))
        return [self._entry(one) for one in found]

    def _entry(self, one: Executed) -> nodes.Node:
        heading = nodes.paragraph("", "", _page_link(one.page, one.title), classes=["rerun-title"])
        figures = nodes.bullet_list("", *(self._figure(name, about) for name, about in self._figures_of(one).items()))
        command = nodes.literal_block(one.command(), one.command(), language="bash")
        entry = nodes.container("", heading, *([figures] if len(figures) else []), command, classes=["rerun-entry"])
        return self._anchored(entry, _anchor(one), one.title)

    def _figures_of(self, one: Executed) -> dict[str, dict[str, Any]]:
        """Of a notebook that was not run: what the same notebook shows in another study, whose targets it has not."""
        if one.was_run:
            return one.figures
        pages = [page for page in self.env.found_docs if page.endswith(f"/{one.path.stem}") and page != one.page]
        others = [Executed.of(self.env, page) for page in sorted(pages)]
        found = [other.figures for other in others if other.was_run] or [one.figures]
        origin, shown = posixpath.dirname(one.place), {}
        for name, about in found[0].items():
            what = "" if _NUMBERED.search(name) else about["description"]
            shown[f"{origin}-{name.partition('-')[2]}"] = {"description": what, "runs": []}
        return shown

    def _figure(self, name: str, about: dict[str, Any]) -> nodes.Node:
        number = _NUMBERED.search(name)
        what = _TITLES.get(name.partition("-")[2]) or about["description"].partition(", study ")[0]
        text = ". ".join(filter(None, [f"Figure {number.group(1)}" if number else "", what])) or name
        line = nodes.paragraph("", text)
        if runs := about["runs"]:
            line += nodes.Text(" · ")
            line += nodes.reference("", f"its {len(runs)} run{'s' * (len(runs) > 1)}", refid="rerun-runs", internal=True)
        return self._anchored(nodes.list_item("", line), f"rerun-{name}", text)

    def _anchored(self, node: nodes.Element, name: str, title: str) -> nodes.Element:
        node["ids"].append(name)
        self.env.get_domain("std").note_hyperlink_target(name, self.env.docname, name, title)
        return node


class RerunRuns(_FromRecords):
    """{rerun-runs} STUDY …: a table of the runs of these studies, and a box with the command of the one that is chosen."""

    required_arguments = 1
    optional_arguments = 99

    def made(self) -> list[nodes.Node]:
        for study in filter(was_run, self.arguments):
            self.env.note_dependency(str(results_of(study) / "costs.csv"))
        runs = [run for study in self.arguments for run in repeatable_runs(study)]
        first = next(run for run in runs if run.run.downstream)
        links = [f'<a href="../{FOLDER}/{study}.txt">{study}</a>' for study in self.arguments]
        plain = f'<p class="rerun-plain">All commands as plain text: {", ".join(links)}.</p>'
        caption = nodes.paragraph("", "", nodes.literal("", first.name), nodes.Text(f": {first.outcome}"))
        command = nodes.literal_block(first.command, first.command, language="bash")
        box = nodes.container("", caption, command, classes=["rerun-box"])
        table = nodes.raw("", '<div class="rerun-table"></div>', format="html")
        found = nodes.container("", nodes.raw("", plain, format="html"), box, table, classes=["rerun-runs"], ids=["rerun-runs"])
        found["studies"] = self.arguments
        return [found]


def publish_runs(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Write the commands of all runs beside the book, as text and as what the table is drawn from."""
    for place in doctree.findall(lambda node: isinstance(node, nodes.container) and "studies" in node):
        folder = make_writable(Path(app.outdir, FOLDER))
        for study in place["studies"]:
            runs = list(repeatable_runs(study))
            figures = {name: one["runs"] for made in executed_in(app.env, study) for name, one in made.figures.items()}
            write_atomically(folder / f"{study}.txt", _as_text(study, runs).encode())
            write_atomically(folder / f"{study}.js", _as_data(study, runs, figures).encode())


def _as_text(study: str, runs: Iterable[Repeatable]) -> str:
    head = f"# The runs of study {study}, each by the command that makes it again; for a shell in the project's folder."
    return "\n\n".join([head, *(f"# {one.name}: {one.outcome}\n{one.command}" for one in runs)]) + "\n"


def _as_data(study: str, runs: list[Repeatable], figures: dict[str, list[str]]) -> str:
    """A script, as pages opened from disk may load no JSON: rows of the table, and which of them each figure shows."""
    at = {one.name: place for place, one in enumerate(runs)}
    rows = [[one.name, one.run.downstream, one.run.pool, one.run.k, one.run.seed, one.run.design, one.outcome, one.command]
            for one in runs]  # fmt: skip
    shown = {name: [at[run] for run in names] for name, names in figures.items() if names}
    content = json.dumps({"rows": rows, "figures": shown}, separators=(",", ":"), ensure_ascii=False)
    return f"(window.gainRuns ??= {{}})[{json.dumps(study)}] = {content};\n"


def add_header(app: Sphinx, doctree: nodes.document) -> None:
    """Put the notebook itself, its parameters and the way to its command at the top of its page."""
    page = app.env.docname
    if not page.startswith(f"{EXECUTED}/") or not (section := doctree.next_node(nodes.section)):
        return
    one = Executed.of(app.env, page)
    source = f"{'../' * page.count('/')}_sources/{page}{one.path.suffix}"
    name = one.place.replace("/", "-") + one.path.suffix
    button = f'<a class="rerun-download" href="{source}" download="{name}">Download this notebook</a>'
    line = nodes.paragraph("", "", nodes.raw("", button, format="html"))
    if RERUN in app.env.found_docs:
        line += [nodes.Text(" "), _ref(_anchor(one), page, "Re-run it")]
    header = nodes.container("", line, classes=["rerun-header"])
    header += _parameter_table(parameters_of(one.path, one.given))
    section.insert(2 if isinstance(section[1], nodes.paragraph) else 1, header)


def _parameter_table(parameters: list[Parameter]) -> nodes.table:
    rows = [["parameter", "value", "given or default", "what it is"]]
    for one in parameters:
        origin = f"given; default {json.dumps(one.default)}" if one.changed else "default"
        rows.append([one.name, json.dumps(one.value, ensure_ascii=False), origin, one.meaning])
    widths = [nodes.colspec(colwidth=width) for width in (15, 15, 20, 50)]
    head, body = nodes.thead("", _row(rows[0])), nodes.tbody("", *(_row(row, code=2) for row in rows[1:]))
    return nodes.table("", nodes.tgroup("", *widths, head, body, cols=4), classes=["parameters"])


def _row(texts: list[str], code: int = 0) -> nodes.row:
    """A row of a table, its first `code` cells as code."""
    kinds = [nodes.literal if i < code else nodes.inline for i in range(len(texts))]
    cells = [nodes.paragraph("", "", kind("", text)) for kind, text in zip(kinds, texts, strict=True)]
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


def _anchor(one: Executed) -> str:
    return f"rerun-{one.place.replace('/', '-')}"


def _page_link(page: str, text: str) -> nodes.Element:
    return addnodes.pending_xref(
        "", nodes.inline("", text), refdomain="std", reftype="doc", reftarget=f"/{page}", refexplicit=True, refdoc=RERUN
    )


def _ref(anchor: str, page: str, text: str) -> nodes.Element:
    return addnodes.pending_xref(
        "", nodes.inline("", text), refdomain="std", reftype="ref", reftarget=anchor, refexplicit=True, refdoc=page
    )
