"""Declare figures: number, title, notebook, and the runs or files that each shows.

Price, re-run command, provenance line, "not run" page and the book's figure directive follow from the declaration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.pools import SCRATCH, shown_in
from pretraining_gain.plan.runs import Run, finetuning_runs
from pretraining_gain.plan.studies import Study, load_study
from pretraining_gain.tell.figures.inert import script_json


@dataclass(frozen=True)
class Runs:
    """The finetunings that a figure shows; `Runs()` means every run of the study.

    `domains`: of the study's first target of each (`across`: as in `Study.downstream_in`), in the paper's own design, the
    pools whose declaration names the figure number `pools_of`. `chosen`: instead of these pools, scratch and
    `Study.everything`; the notebook's parameters `downstream` and `arm` take the place of `domains` and of the latter.
    `select`: those that an experiment compares (see `plan.experiments`), in place of all rules above.
    """

    domains: tuple[str, ...] = ()
    pools_of: str = ""
    chosen: bool = False
    across: str = ""
    select: Callable[[Study, list[Run]], list[Run]] | None = None

    def finetunings(self, name: str, downstream: str = "", arm: str = "") -> list[Run]:
        """Return the finetunings in the study's order; none where the study lacks a domain, or every start to compare.

        `downstream` and `arm` count where `chosen` is set.
        """
        study, runs = load_study(name), finetuning_runs(name)
        if self.select:
            return self.select(study, runs)
        if not set(self.domains) <= set(study.domains):
            return []
        targets = [study.downstream_in(domain, self.across).name for domain in self.domains]
        if self.chosen:
            targets, arms = [downstream] if downstream else targets, (arm or study.everything, SCRATCH)
            runs = [run for run in runs if run.downstream in targets and run.arm in arms]
        else:
            pools = shown_in(self.pools_of)
            runs = [run for run in runs if run.downstream in targets and run.pool in pools and not run.design]
        return runs if any(run.pool != SCRATCH for run in runs) else []


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

    def runs(self, plan: Plan, downstream: str = "", arm: str = "") -> list[Run]:
        """Return the runs that the figure needs, each once: pretrainings first, then finetunings.

        `downstream` and `arm` are those of a notebook that lets the reader choose them.
        """
        if not isinstance(self.needs, Runs):
            return []
        if self.needs == Runs():
            return plan.runs()
        finetunings = self.needs.finetunings(plan.name, downstream, arm)
        return [*dict.fromkeys(run.pretraining for run in finetunings if run.pretraining), *finetunings]

    def drawn(self, source: Any, plan: Plan | None, downstream: str = "", arm: str = "") -> go.Figure | Html | str:
        """Draw the figure, or say that the study, whose `plan` this is, has nothing to draw."""
        if plan and isinstance(self.needs, Runs) and not self.runs(plan, downstream, arm):
            return f"Study {plan.study.name} has no runs for this comparison."
        return self.draw(source)


#: Every figure declared so far, by its key. `registry` imports all modules that declare figures.
DECLARED: dict[str, Figure] = {}


def figure(
    number: str, title: str, notebook: str, needs: Runs | Files | StudyFile
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Declare the decorated function as the one that draws a figure, whose key is the function's name.

    The function takes what its notebook prepares (a `StudyResults`, an `Audit`, …) and returns a plotly figure, `Html`,
    or a sentence that says why there is nothing to show. Raises `InputError` for a name that is taken.
    """

    def declare(draw: Callable[[Any], Any]) -> Callable[[Any], Any]:
        key = draw.__name__
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
    rows = plain.to_html(border=0, index=False, float_format=lambda value: f"{round(value, 1) + 0.0:,.1f}")
    return Html(
        f'<div class="{kind}" data-key="{key}">'
        f'<script type="application/json">{script_json(tables)}</script>'
        f"<noscript><p>{escape(description)}</p>{rows}</noscript></div>",
        description,
    )
