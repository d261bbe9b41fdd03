"""Declare figures: key, number, title, notebook, and the runs or files that each shows.

Price, re-run command, provenance line, "not run" page and the book's figure directive follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pretraining_gain.errors import InputError
from pretraining_gain.plan.pools import SCRATCH, shown_in
from pretraining_gain.plan.runs import Run, finetuning_runs
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.figures.inert import script_json

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from pretraining_gain.plan.costs import Plan


@dataclass(frozen=True)
class Runs:
    """The finetunings that a figure shows; `Runs()` means every run of the study.

    `domains`: of the targets, the study's first target of each (`across`: as in `Study.downstream_in`); empty: all targets.
    `pools`: empty: all pools, or those whose declaration names the figure number `pools_of`.
    `designs`: `published`: the paper's design only; `compared`: each design that has two arms or more, and the published
    arms of the same pools and sizes; `all`. `both_ways`: also the target with the same images that is finetuned the
    other way. `largest_shared_k`: of `animal` and `non_animal`, only the largest size that both have. `chosen`: scratch
    and `Study.everything`; the notebook's parameters `downstream` and `arm` take the place of `domains` and the latter.
    `select`: those that an experiment compares (see `plan.experiments`), in place of all rules above.
    """

    domains: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    pools_of: str = ""
    designs: Literal["published", "compared", "all"] = "all"
    both_ways: bool = False
    largest_shared_k: bool = False
    chosen: bool = False
    across: str = ""
    select: Callable[[Study, list[Run]], list[Run]] | None = None

    def finetunings(self, study: Study, name: str, downstream: str = "", arm: str = "") -> list[Run]:
        """Return the finetunings in the study's order; none where the study lacks a domain, or every start to compare.

        `downstream` and `arm` count where `chosen` is set.
        """
        if self.select:
            return self.select(study, finetuning_runs(study, name))
        runs = self._of_targets(study, name, downstream) if set(self.domains) <= set(study.domains) else []
        runs = self._of_arms(study, runs, arm)
        return runs if any(run.pool != SCRATCH for run in runs) else []

    def _of_targets(self, study: Study, name: str, downstream: str) -> list[Run]:
        targets = [study.downstream_in(domain, self.across) for domain in self.domains] or list(study.downstreams)
        if self.both_ways:
            pairs = [(target, study.finetuned_the_other_way(target)) for target in targets]
            targets = [one for target, other in pairs if other for one in (target, other)]
        names = [downstream] if self.chosen and downstream else [target.name for target in targets]
        return [run for run in finetuning_runs(study, name) if run.downstream in names]

    def _of_arms(self, study: Study, runs: list[Run], arm: str) -> list[Run]:
        if self.chosen:
            return [run for run in runs if run.arm in (arm or study.everything, SCRATCH)]
        own = [study.main_start if pool == "all" else pool for pool in self.pools]
        if pools := own or shown_in(self.pools_of):
            runs = [run for run in runs if run.pool in pools]
        if self.designs == "published":
            runs = [run for run in runs if not run.design]
        elif self.designs == "compared":
            arms = {design.name: {run.arm for run in runs if run.design == design.name} for design in study.designs}
            compared = [design for design in study.designs if sum(map(len, design.arms.values())) > 1 and arms[design.name]]
            published = {f"{pool}-k{k}" for design in compared for pool, ks in design.arms.items() for k in ks}
            wanted = published.union(*(arms[design.name] for design in compared))
            runs = [run for run in runs if run.arm in wanted]
        if self.largest_shared_k:
            runs = [run for run in runs if run.pool not in ("animal", "non_animal") or run.k == study.largest_shared_k]
        return runs


@dataclass(frozen=True)
class Files:
    """Files of no single study that a figure shows. `paths` receives what the figure is drawn from."""

    origin: str
    title: str
    paths: Callable[[Any], list[Path]]


class StudyFile(NamedTuple):
    """A figure that follows from the study file, without any run; `note` says from what else."""

    note: str


class Html(NamedTuple):
    """A figure that is no plot: HTML for the page and its text alternative."""

    html: str
    text: str


@dataclass(frozen=True)
class Figure:
    """A figure of the book. `number` is empty for applications such as the gain explorer."""

    key: str
    number: str
    title: str
    notebook: str
    needs: Runs | Files | StudyFile
    draw: Callable[[Any], go.Figure | Html | str]

    @property
    def label(self) -> str:
        """The name of the figure in tables: `Figure 3`, or the title of an unnumbered one."""
        return f"Figure {self.number}" if self.number else self.title

    def runs(self, plan: Plan, downstream: str = "", arm: str = "") -> list[Run]:
        """Return the runs that the figure needs, each once: pretrainings first, then finetunings.

        `downstream` and `arm` are those of a notebook that lets the reader choose them.
        """
        if not isinstance(self.needs, Runs):
            return []
        if self.needs == Runs():
            return plan.runs()
        finetunings = self.needs.finetunings(plan.study, plan.name, downstream, arm)
        return [*dict.fromkeys(run.pretraining for run in finetunings if run.pretraining), *finetunings]

    def drawn(self, source: Any, plan: Plan | None, downstream: str = "", arm: str = "") -> go.Figure | Html | str:
        """Draw the figure, or say that the study, whose `plan` this is, has nothing to draw."""
        if plan and isinstance(self.needs, Runs) and not self.runs(plan, downstream, arm):
            return f"Study {plan.study.name} has no runs for this comparison."
        return self.draw(source)


#: Every figure declared so far, by its key. `registry` imports all modules that declare figures.
DECLARED: dict[str, Figure] = {}


def figure(
    *, key: str, number: str, title: str, notebook: str, needs: Runs | Files | StudyFile
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Declare the decorated function as the one that draws a figure.

    The function takes what its notebook prepares (a `StudyResults`, an `Audit`, …) and returns a plotly figure, `Html`,
    or a sentence that says why there is nothing to show. Raises `InputError` for a key that is taken.
    """

    def declare(draw: Callable[[Any], Any]) -> Callable[[Any], Any]:
        if key in DECLARED and DECLARED[key].draw.__module__ != draw.__module__:
            raise InputError(f"figure {key!r} is declared twice; accepted: one function per key")
        DECLARED[key] = Figure(key, number, title, notebook, needs, draw)
        return draw

    return declare


def declared_in(module: ModuleType) -> list[Figure]:
    """Return the figures that a module declares, in their order. Raises `InputError` where it declares none."""
    found = [one for one in DECLARED.values() if one.draw.__module__ == module.__name__]
    if not found:
        raise InputError(f"{module.__name__} declares no figure; accepted: a module with a function under `@figure`")
    return found


def in_browser(kind: str, key: str, tables: dict[str, Any], plain: pd.DataFrame, description: str) -> Html:
    """Embed `tables` as inert JSON, which a script of the book reads without a request.

    `kind` is the class that the script looks for. A browser without JavaScript shows `description` and the table `plain`.
    """
    rows = plain.to_html(border=0, index=False, float_format="{:,.1f}".format)
    return Html(
        f'<div class="{kind}" data-key="{key}" data-study="{escape(tables["study"])}">'
        f'<script type="application/json">{script_json(tables)}</script>'
        f"<noscript><p>{escape(description)}</p>{rows}</noscript></div>",
        description,
    )
