"""Hand figures and numbers from notebooks to chapters, under keys that the chapters paste."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from IPython.display import HTML, display
from myst_nb import glue

from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan, device_hours
from pretraining_gain.tell.book.provenance import Provenance
from pretraining_gain.tell.figures.declare import Figure, Files, Html, declared_in
from pretraining_gain.tell.figures.inert import script_json
from pretraining_gain.tell.figures.static import draw_static


class Shown:
    """An output by MIME type, with its provenance in a line below it.

    The output's metadata hold the same provenance, which the book publishes.
    """

    def __init__(self, key: str, provenance: Provenance, forms: dict[str, Any]) -> None:
        self._forms = forms | {"text/html": forms["text/html"] + provenance.line(key)}
        self._metadata = {"provenance": {"figure": provenance.named(key)} | provenance.model_dump(mode="json")}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._forms, dict(self._metadata)


def paste_figure(key: str, figure: go.Figure | Html | str, description: str, provenance: Provenance) -> None:
    """Show `figure` here and make it available to chapters as `key`; `description` is its text alternative.

    A text in place of a figure says why there is none. A plotly figure has three forms: a MIME form for JupyterLab; for the
    book its JSON in an inert element, which `figures.js` draws when it comes into view; and a static picture, which readers
    see until then, without JavaScript, and in other viewers of notebooks.
    """
    more: dict[str, Any] = {}
    if isinstance(figure, str):
        note = f'<div class="not-run"><p>{html.escape(figure)}</p></div>'
        forms: dict[str, Any] = {"text/html": note, "text/plain": figure}
    elif isinstance(figure, Html):
        forms = {"text/html": figure.html, "text/plain": figure.text}
    else:
        content, text = figure.to_json(), html.escape(description, quote=True)
        picture = base64.b64encode(draw_static(figure)).decode()
        drawn = f'<div class="gain-figure" data-key="{key}" role="figure" aria-label="{text}">'
        drawn += f'<script type="application/json">{script_json(content)}</script>'
        drawn += f'<img class="static" alt="{text}" src="data:image/png;base64,{picture}"></div>'
        forms = {"text/html": drawn, "text/plain": description}
        more = {"application/vnd.plotly.v1+json": json.loads(content), "image/png": picture}
    glue(key, Shown(key, provenance, forms), display=False)
    display(Shown(key, provenance, forms | more))


def show_figures(module: ModuleType, source: Any, study: str = "", downstream: str = "", arm: str = "") -> None:
    """Draw every figure that `module` declares from `source`, with its provenance, and hand it to the chapters.

    `study`, and the `downstream` and `arm` that the reader chose, say which runs a figure of a study shows.
    """
    for figure in declared_in(module):
        origin = Provenance.of_figure(figure, study, source, downstream, arm)
        plan = None if isinstance(figure.needs, Files) else Plan.of(study)
        title = f"{figure.title}, study {plan.study.name}" if plan else figure.title
        paste_figure(figure.key, figure.drawn(source, plan, downstream, arm), title, origin)


def show_not_run(study: str, figures: Iterable[Figure]) -> None:
    """Say in the place of every one of `figures` that needs runs what this study would cost.

    Raises `InputError` when there are no figures: the notebook that was named draws none.
    """
    plan, figures = Plan.of(study), list(figures)
    if not figures:
        raise InputError("no figures: the page draws none; accepted: a notebook with figures, such as 11_subsets")
    for figure in figures:
        if runs := figure.runs(plan):
            name = f"Figure {figure.number}" if figure.number else figure.title
            alone = f" {name} alone takes {len(runs):,} runs and {sum(map(device_hours, runs)):,.0f} hours."
            text = plan.not_run() + (alone if len(runs) < len(plan.runs()) else "")
            paste_figure(figure.key, text, "Not run here", Provenance.of_study_file(study, "not run, planned"))


def show_table(table: pd.DataFrame, key: str = "") -> None:
    """Show `table` with its texts in full, and make it available to chapters as `key` if one is given."""
    whole_numbers = {name: "{:,}".format for name in table.select_dtypes("integer")}
    with pd.option_context("display.max_colwidth", None):
        named = not isinstance(table.index, pd.RangeIndex)  # a bare count of rows says nothing
        numbers = "numbers" if len(table.select_dtypes("number").columns) == len(table.columns) else None
        styled = {"formatters": whole_numbers, "float_format": "{:,.2f}".format, "classes": numbers}
        shown = HTML(table.to_html(border=0, index=named, **styled))
    if key:
        glue(key, shown, display=False)
    display(shown)


def paste_numbers(numbers: dict[str, Any]) -> dict[str, Any]:
    """Make plain values available to chapters under their names, and return them; chapters choose the format."""
    for key, value in numbers.items():
        glue(key, value.item() if hasattr(value, "item") else value, display=False)
    return numbers
