"""The roles and directives of the chapters: numbers, verdicts, tables, figures and claims, by key.

`book/authors.md` documents them. All read the executed notebooks and ledgers; a wrong name fails the build in one line.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any, ClassVar, cast

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx_design.shared import create_component

from pretraining_gain.errors import InputError
from pretraining_gain.revision import commits_of
from pretraining_gain.tell.book.executed import Executed, find_executed, notebooks_of, short_name
from pretraining_gain.tell.book.formats import LEVEL, format_number
from pretraining_gain.tell.book.shown import PAGES, own_studies
from pretraining_gain.tell.claims.declarations import OURS
from pretraining_gain.tell.claims.ledger import Verdict, ledger_path, read_ledger
from pretraining_gain.tell.figures.declare import Figure
from pretraining_gain.tell.figures.inert import markdown_text
from pretraining_gain.tell.figures.registry import FIGURES

logger = logging.getLogger(__name__)
_STUDY = "pretraining_gain_study"


def studies_here(env: BuildEnvironment) -> list[str]:
    """Return the studies that a page shows, main study first: the book's, or the one that `{study}` names on the page."""
    named = env.temp_data.get(_STUDY)
    return [named] if named else list(env.config.book_studies)


def executed_for(env: BuildEnvironment, notebook: str, study: str) -> Executed:
    """Find an executed notebook and make the page depend on it. Raises `InputError`."""
    found = find_executed(Path(env.srcdir), notebook, study)
    env.note_dependency(str(found.path))
    return found


def verdicts_of(env: BuildEnvironment, study: str) -> dict[str, Verdict]:
    """Return the verdicts of a study by claim, and make the page depend on its ledger. Raises `InputError`."""
    env.note_dependency(str(ledger_path(study)))
    return {verdict.claim: verdict for verdict in read_ledger(study).verdicts}


def link_to(kind: str, target: str, text: str, page: str) -> addnodes.pending_xref:
    """Return a link on a page for Sphinx to resolve: to a label (kind `ref`) or to another page (`doc`)."""
    place = {"refdomain": "std", "reftype": kind, "reftarget": target, "refexplicit": True, "refdoc": page}
    return addnodes.pending_xref("", nodes.inline("", text), **place)


class NumberRole(SphinxRole):
    """{n}`NOTEBOOK.KEY FORMAT [STUDY]`: a number of an executed notebook, with sign and unit as the format says."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        name, *form = self.text.split()
        known = [*self.env.config.book_studies, *studies_here(self.env)]
        study = form.pop() if len(form) > 1 and form[-1] in known else studies_here(self.env)[0]
        notebook, _, key = name.partition(".")
        try:
            text = format_number(executed_for(self.env, notebook, study).value, key, " ".join(form))
        except InputError as error:
            logger.warning("%s", error, location=self.get_location())
            text = "?"
        return [nodes.inline(self.rawtext, text, classes=["pasted-text"], support_smartquotes=False)], []


class VerdictRole(SphinxRole):
    """{verdict}`CLAIM WORDS [in STUDY]`: WORDS, linked to the claim. Warns when the ledger holds another verdict."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        claim, _, rest = self.text.partition(" ")
        said, _, named = rest.partition(" in ")
        study = named or studies_here(self.env)[0]
        try:
            verdicts = verdicts_of(self.env, study)
            found: str = verdicts[claim].verdict if claim in verdicts else "no such claim"
        except InputError as error:
            found = str(error)
        if said != found:
            text = "a sentence rests on %s being %r in study %s, but the ledger says: %s"
            logger.warning(text, claim, said, study, found, location=self.get_location())
        return [link_to("ref", f"claim-{claim.lower()}", said, self.env.docname)], []


class CommittedRole(SphinxRole):
    """{committed}`PATH`: the first and the last commit of a file of the project, with their dates."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        self.env.note_reread()  # a commit changes no file that Sphinx watches
        commits = [f"on {date} (commit {commit[:7]})" for commit, date in commits_of(self.text)]
        text = f"first {commits[-1]}, last {commits[0]}" if commits else "see the project's git history"
        return [nodes.inline(self.rawtext, text)], []


class BookDirective(SphinxDirective):
    """A directive that turns an `InputError` into an error of the chapter, with its line."""

    def run(self) -> list[nodes.Node]:
        try:
            return self.make()
        except InputError as error:
            raise self.error(str(error)) from None

    def make(self) -> list[nodes.Node]:
        raise NotImplementedError

    def label(self, node: nodes.Element, name: str, title: str) -> nodes.Element:
        """Give a node the id `name`, so that links such as `[](name)` find it, and return it."""
        node["ids"].append(name)
        cast(StandardDomain, self.env.get_domain("std")).note_hyperlink_target(name, self.env.docname, name, title)
        return node

    def section(self, name: str, title: str, text: str) -> nodes.Element:
        """Return a section from Markdown, with `name` as the place for links."""
        content = self.parse_text_to_nodes(text)
        return self.label(nodes.section("", nodes.title("", title), *content, names=[name]), name, title)

    def output(self, notebook: Executed, key: str) -> nodes.Element:
        """Return a figure or table as the notebook shows it, marked with the notebook that it comes from."""
        marked = f'<span data-notebook="{notebook.page}" data-provenance='
        text = notebook.html(key).replace("<span data-provenance=", marked)
        return nodes.container("", nodes.raw("", text, format="html"), is_div=True, classes=["output", "text_html"])


class Study(SphinxDirective):
    """{study} NAME: what follows on this page is about study NAME alone."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.temp_data[_STUDY] = self.arguments[0]
        return []


class Output(BookDirective):
    """{output} NOTEBOOK.KEY [STUDY]: a table or another output of an executed notebook; of every study for STUDY `all`."""

    required_arguments = 1
    optional_arguments = 1

    def make(self) -> list[nodes.Node]:
        notebook, _, key = self.arguments[0].partition(".")
        studies = self.arguments[1:] or studies_here(self.env)[:1]
        if studies == ["all"]:
            root = Path(self.env.srcdir)
            shown = [*studies_here(self.env), *own_studies(root)]
            studies = [study for study in shown if notebook in map(short_name, notebooks_of(root, study))]
        return [self.output(executed_for(self.env, notebook, study), key) for study in studies]


class FigureOf(BookDirective):
    """{figure-of} KEY: a figure of the main study, with a tab for each study that was not run; the content is its caption."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"each": directives.unchanged, "again": directives.unchanged, "studies": directives.unchanged}

    def make(self) -> list[nodes.Node]:
        key = self.arguments[0]
        if key not in FIGURES:
            raise InputError(f"unknown figure {key!r}; accepted: {', '.join(FIGURES)}")
        figure, studies = FIGURES[key], self.options.get("studies", "").split() or studies_here(self.env)
        name, again, more = f"Figure {figure.number}", self.options.get("again"), ""
        made = nodes.container("", *self._panels(figure, studies), is_div=True, classes=["figure"])
        if again:
            more = f", from []({again}.md)"
        elif len(studies) == 1:
            more = f", study {studies[0]}"
        else:
            self.label(made, f"fig-{figure.number.lower()}", name)
        caption = "\n".join(self.content) or f"{figure.title}."
        made += self.parse_text_to_nodes(f"**{name}{more}.** {caption}")
        return [made]

    def _panels(self, figure: Figure, studies: list[str]) -> list[nodes.Node]:
        """Return one tab per study to show that has the figure, run studies first; no tabs where there is only one panel."""
        found = {study: executed_for(self.env, short_name(Path(figure.notebook)), study) for study in studies}
        run = studies if "studies" in self.options else studies[:1]
        shown = [study for study in run if found[study].has_figure(figure.key)]
        shown += [study for study in studies if not found[study].was_run and figure.key in found[study].shown]
        if len({one.page for one in found.values()}) == 1 or not shown:
            return [self.output(found[studies[0]], figure.key)]
        tabs, here = create_component("tab-set", classes=["sd-tab-set"]), self.env.temp_data.get(_STUDY, "")
        for study in shown:
            label = f"{study}: {self.config.book_studies[study]}" if study in self.config.book_studies else study
            line = f"Study {study}: {self.options['each']}" if "each" in self.options else ""
            if not found[study].was_run:
                plan = executed_for(self.env, "plan", study)
                line = f"The runs and their price are listed in the [plan](/{plan.page}.ipynb)."
            self.env.temp_data[_STUDY] = study  # whose numbers the line gives
            panel = [self.output(found[study], figure.key), *self.parse_text_to_nodes(line, offset=0)]
            self.env.temp_data[_STUDY] = here
            content = create_component("tab-content", classes=["sd-tab-content"], children=panel)
            children = [nodes.rubric(label, label, classes=["sd-tab-label"]), content]
            tabs += create_component("tab-item", classes=["sd-tab-item"], selected=False, children=children)
        return [tabs]


class EachStudy(BookDirective):
    """{each-study}: a section per study of the book, from the content, in which `$study` is the study's name."""

    has_content = True

    def make(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        texts = {study: text.replace("$study", study) for study in studies_here(self.env)}
        own = own_studies(Path(self.env.srcdir))
        texts |= {study: f"[Its own page](/{PAGES}/{study}.md) has them." for study in own}
        page = posixpath.basename(self.env.docname)
        return [self.section(f"{page}-{study}", f"Study {study}", content) for study, content in texts.items()]


class WhereKnown(BookDirective):
    """{where-known} NOTEBOOK.KEY: the content where the notebook hands over KEY; elsewhere the option `else`."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"else": directives.unchanged}

    def make(self) -> list[nodes.Node]:
        notebook, _, key = self.arguments[0].partition(".")
        known = key in executed_for(self.env, notebook, studies_here(self.env)[0]).values
        return self.parse_content_to_nodes() if known else self.parse_text_to_nodes(self.options.get("else", ""), offset=0)


class Claims(BookDirective):
    """{claims}: every claim with its verdict in the studies of the page; where there are several, a section per claim."""

    def make(self) -> list[nodes.Node]:
        ledgers = {study: verdicts_of(self.env, study) for study in studies_here(self.env)}
        (main, claims), *others = ledgers.items()
        for study, ledger in others:
            if ledger.keys() != claims.keys():
                raise InputError(f"studies {main} and {study} have ledgers of other claims; accepted: both by this code")
        rows = []
        for claim in claims:
            facts = [ledger[claim].verdict for ledger in ledgers.values()] if others else _facts(claims[claim])
            rows.append([f"[{claim}](claim-{claim.lower()}) {claims[claim].text}", *facts])
        overview = self.parse_text_to_nodes(_table(["claim", *(ledgers if others else _FACTS)], rows))
        verdicts = [{study: ledger[claim] for study, ledger in ledgers.items()} for claim in claims] if others else []
        return [*overview, *(self._section(one) for one in verdicts)]

    def _section(self, verdicts: dict[str, Verdict]) -> nodes.Node:
        """Return the section of one claim, with a row per study; its rule is that of the first."""
        (main, claim), *_ = verdicts.items()
        rows, title, figure = [], f"{claim.claim}. {claim.text}", FIGURES[claim.figure]
        for study, verdict in verdicts.items():
            places = {"tests": "claims", "figure": short_name(Path(figure.notebook))}
            pages = {label: executed_for(self.env, place, study).page for label, place in places.items()}
            links = ", ".join(f"[{label}](/{page}.ipynb)" for label, page in pages.items())
            rows.append([f"{study}: {links}", *_facts(verdict)])
        where = f"{'Section' if claim.section[0].isdigit() else 'Appendix'} {claim.section} of the original study"
        where = "Our question, not a claim of the original study" if claim.section == OURS else where
        before = f"{where}; [Figure {figure.number}](fig-{figure.number.lower()}). Estimated: {claim.estimand}."
        needs = {study: verdict.resolution() for study, verdict in verdicts.items()}
        needed = "; ".join(f"*{study}*: {need}" for study, need in needs.items() if need)
        after = f"Rule in *{main}*: {markdown_text(claim.rule)}.{needed and f' What would resolve it: {needed}.'}"
        text = "\n\n".join([before, _table(["study", *_FACTS], rows), after])
        return self.section(f"claim-{claim.claim.lower()}", title, text)


_FACTS = ["verdict", f"effect, {LEVEL}", "detectable", "evidence"]


def _facts(verdict: Verdict) -> list[str]:
    return [markdown_text(text) for text in (verdict.verdict, *verdict.words().values())]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("book_studies", {}, "env", dict)
    for name, role in {"n": NumberRole(), "verdict": VerdictRole(), "committed": CommittedRole()}.items():
        app.add_role(name, role)
    made = {
        "study": Study, "each-study": EachStudy, "output": Output, "figure-of": FigureOf, "claims": Claims,
        "where-known": WhereKnown,
    }  # fmt: skip
    for name, directive in made.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
