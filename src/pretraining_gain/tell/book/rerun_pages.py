"""Show how to re-run: the commands of all figures and runs on one page, and a header on each executed notebook.

Two directives: `rerun-figures`, and `rerun-runs`, whose table `rerun.js` draws from files beside the book, which hold the same
commands as plain text.
"""

from __future__ import annotations

import json
import posixpath
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from pretraining_gain.errors import InputError
from pretraining_gain.paths import EXECUTED, has_results, make_writable, project_root, results_of, write_atomically
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.record import read_record
from pretraining_gain.plan.run import NOTEBOOKS
from pretraining_gain.plan.studies import load_study, study_names
from pretraining_gain.tell.book import rerun
from pretraining_gain.tell.book.directives import BookDirective, link_to, studies_here
from pretraining_gain.tell.book.executed import Executed, executed_page
from pretraining_gain.tell.book.shown import own_studies, study_file
from pretraining_gain.tell.figures.registry import FIGURES

FOLDER = "_static/rerun"
_NOT_RUN = (
    "This study was not run here, so there is nothing to compare with. Its commands write where the workflow does. "
    "Once its runs are done, they draw its figures."
)
logger = logging.getLogger(__name__)


def executed_in(env: BuildEnvironment, folder: str) -> list[Executed]:
    """Return the executed notebooks of a study that have a page, or, with an empty `folder`, those of no study."""
    inside = posixpath.join(EXECUTED, folder).rstrip("/")
    pages = [page for page in sorted(env.found_docs) if posixpath.dirname(page) == inside]
    return [notebook for page in pages if (notebook := executed_page(env, page))]


def place_of(notebook: Executed) -> str:
    """Return study and notebook, e.g. `mini/10_taxa`, or only the notebook where it is of no study."""
    return posixpath.relpath(notebook.page, EXECUTED)


def command_of(notebook: Executed) -> str:
    """Return the command that makes an executed notebook again, or, of a study that was not run, for the first time."""
    own = project_root() / "notebooks" / notebook.path.name
    given = {one.name: one.value for one in rerun.parameters_of(own, notebook.parameters)}
    stages = {name: stage for stage, name in NOTEBOOKS.items()}
    if notebook.was_run and notebook.path.stem in stages:  # it shows one run, on its machine
        [run] = next(iter(notebook.provenance.values()))["runs"]
        record = results_of(load_study(given["study"]).name) / stages[notebook.path.stem] / f"{run}.json"
        return rerun.command_of_notebook(place_of(notebook), given, rerun.settings_of(read_record(record)["machine"]))
    return rerun.command_of_notebook(place_of(notebook), given, was_run=notebook.was_run)


def figures_of(notebook: Executed) -> dict[str, tuple[str, list[str]]]:
    """Return the figures of an executed notebook, or those that it will have: name -> title and the runs shown."""
    declared = {key: f"Figure {one.number}. {one.title}" if one.number else one.title for key, one in FIGURES.items()}
    if not notebook.was_run:
        plan = Plan.of(place_of(notebook).split("/")[0])
        keys = [key for key, one in FIGURES.items() if one.notebook == notebook.path.stem and one.runs(plan)]
        return {f"{plan.study.name}-{key}": (declared[key], []) for key in keys}
    found = {}
    for name, origin in notebook.provenance.items():
        key = name.removeprefix(f"{origin['origin']}-")
        found[name] = (declared.get(key, origin["description"]), origin["runs"])
    return found


class RerunFigures(BookDirective):
    """{rerun-figures} STUDY: the command of each executed notebook of STUDY, or of no study, with its figures."""

    optional_arguments = 1

    def make(self) -> list[nodes.Node]:
        entries, study = [], "".join(self.arguments)
        if study and not has_results(study):
            entries.append(nodes.paragraph("", _NOT_RUN))
        for notebook in executed_in(self.env, study):
            self.env.note_dependency(str(notebook.path))
            self.env.note_dependency(str(project_root() / "notebooks" / notebook.path.name))
            page = link_to("doc", f"/{notebook.page}", notebook.title, self.env.docname)
            entry = nodes.container("", nodes.paragraph("", "", page, classes=["rerun-title"]), classes=["rerun-entry"])
            items = [self._figure(name, *facts) for name, facts in figures_of(notebook).items()]
            entry += [nodes.bullet_list("", *items)] if items else []
            command = command_of(notebook)
            entry += nodes.literal_block(command, command, language="bash")
            entries.append(self.label(entry, f"rerun-{place_of(notebook).replace('/', '-')}", notebook.title))
        return entries

    def _figure(self, name: str, title: str, runs: list[str]) -> nodes.Node:
        line = nodes.paragraph("", title)
        if runs:
            line += nodes.Text(" · ")
            text = f"its {len(runs)} run{'s' * (len(runs) > 1)}"
            line += nodes.reference("", text, refid="rerun-runs", internal=True)
        return self.label(nodes.list_item("", line), f"rerun-{name}", title)


class RerunRuns(BookDirective):
    """{rerun-runs}: a table of the runs of the page's study, else of all studies, with a box for a chosen command."""

    def make(self) -> list[nodes.Node]:
        root, shown = Path(self.env.srcdir), studies_here(self.env)
        if len(shown) > 1:
            shown = [*dict.fromkeys([*shown, *study_names(), *own_studies(root)])]
        for study in filter(has_results, shown):
            self.env.note_dependency(str(results_of(study) / "costs.csv"))
        files = {study: study_file(root, study) for study in shown}
        studies = {study: file for study, file in files.items() if any(rerun.repeatable_runs(file))}
        first = next(one for file in studies.values() for one in rerun.repeatable_runs(file) if one.run.downstream)
        up = "../" * self.env.docname.count("/")
        links = ", ".join(f'<a href="{up}{FOLDER}/{study}.txt">{study}</a>' for study in studies)
        plain = nodes.raw("", f'<p class="rerun-plain">All commands as plain text: {links}.</p>', format="html")
        caption = nodes.paragraph("", "", nodes.literal("", first.name), nodes.Text(f": {first.outcome}"))
        command = nodes.literal_block(first.command, first.command, language="bash")
        box = nodes.container("", caption, command, classes=["rerun-box"])
        table = nodes.raw("", '<div class="rerun-table"></div>', format="html")
        return [nodes.container("", plain, box, table, classes=["rerun-runs"], ids=["rerun-runs"], studies=studies)]


def publish_runs(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Write the commands of all runs beside the book. A run without a record is an error of the build."""
    for place in doctree.findall(lambda node: isinstance(node, nodes.container) and "studies" in node):
        for study, given in place["studies"].items():
            try:
                _publish_study(app, study, given)
            except InputError as error:
                logger.warning("%s", error, location=page)


def _publish_study(app: Sphinx, study: str, given: str) -> None:
    """Write the commands of a study as text, and as a script from which the table is drawn. Raises `InputError`.

    A script, because a page opened from disk may not load JSON: the rows of the table, and which of them each figure shows.
    """
    folder, runs = make_writable(Path(app.outdir, FOLDER)), list(rerun.repeatable_runs(given))
    at = {one.name: row for row, one in enumerate(runs)}
    figures = {}
    for notebook in executed_in(app.env, study):
        for name, origin in notebook.provenance.items():
            if lost := [run for run in origin["runs"] if run not in at]:
                what = f"{notebook.page} shows {lost[0]}, which is no run in results/{study}/costs.csv"
                raise InputError(f"{what}; accepted: a notebook executed with these results, as `make reproduce` does")
            if origin["runs"]:
                figures[name] = {"title": figures_of(notebook)[name][0], "runs": [at[run] for run in origin["runs"]]}
    head = f"# The runs of study {study}, each by the command that makes it again; for a shell in the project's folder."
    text = "\n\n".join([head, *(f"# {one.name}: {one.outcome}\n{one.command}" for one in runs)])
    columns = ("downstream", "pool", "k", "seed", "design")
    rows = [[one.name, *(getattr(one.run, name) for name in columns), one.outcome, one.command] for one in runs]
    data = json.dumps({"rows": rows, "figures": figures}, separators=(",", ":"), ensure_ascii=False)
    write_atomically(folder / f"{study}.txt", f"{text}\n".encode())
    script = f"(window.gainRuns ??= {{}})[{json.dumps(study)}] = {data};\n"
    write_atomically(folder / f"{study}.js", script.encode())


def add_header(app: Sphinx, doctree: nodes.document) -> None:
    """Put the notebook as a download, its parameters and the link to its command at the top of its page."""
    page = app.env.docname
    notebook, section = executed_page(app.env, page), doctree.next_node(nodes.section)
    if not notebook or not section:
        return
    source, name = f"{'../' * page.count('/')}_sources/{page}.ipynb", place_of(notebook).replace("/", "-")
    button = f'<a class="rerun-download" href="{source}" download="{name}.ipynb">Download this notebook</a>'
    link = link_to("ref", f"rerun-{name}", "Re-run it", page)
    line = nodes.paragraph("", "", nodes.raw("", button, format="html"), nodes.Text(" "), link)
    header = nodes.container("", line, _parameter_table(notebook), classes=["rerun-header"])
    section.insert(2 if isinstance(section[1], nodes.paragraph) else 1, header)


def _parameter_table(notebook: Executed) -> nodes.table:
    """Return a table of the parameters: name, value, whether it was given, meaning; the first two as code."""
    rows = [[nodes.inline("", head) for head in ("parameter", "value", "given or default", "what it is")]]
    for one in rerun.parameters_of(notebook.path, notebook.parameters):
        origin = f"given; default {json.dumps(one.default)}" if one.value != one.default else "default"
        code = [nodes.literal("", text) for text in (one.name, json.dumps(one.value, ensure_ascii=False))]
        rows.append([*code, nodes.inline("", origin), nodes.inline("", one.meaning)])
    made = [nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in row)) for row in rows]
    widths = [nodes.colspec(colwidth=width) for width in (15, 15, 20, 50)]
    group = nodes.tgroup("", *widths, nodes.thead("", made[0]), nodes.tbody("", *made[1:]), cols=4)
    return nodes.table("", group, classes=["parameters"])
