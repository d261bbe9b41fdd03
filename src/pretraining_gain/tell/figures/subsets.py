"""Figures 3, 4 and 6: top-1 by what the network was pretrained on, against an axis that the reader chooses.

Pure functions. The axes are prepared here: `layout.meta["axes"]` holds, for each, its name, its title and the x of every
trace, and the book's `figures.js` makes a switch of them. The first is the one that is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.plan.pools import SCRATCH, Pool, shown_in, starts
from pretraining_gain.tell.figures.declare import Runs, figure
from pretraining_gain.tell.figures.taxa import LAYOUT, interval_bars

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

DOMAINS = ("out_of_domain", "in_domain")
SCALED = Runs(DOMAINS, pools_of="6", designs="published")


@dataclass(frozen=True)
class Axis:
    """What an arm is drawn at: `column` of the table from `arm_accuracy`, single seeds at their own where it has them."""

    name: str
    title: str
    column: str


AXES = (
    Axis("classes", "pretraining classes", "k"),
    Axis("images", "pretraining images", "pretrain_images"),
    Axis("gradient steps", "gradient steps of pretraining", "pretrain_steps"),
    Axis("expected animals", "expected animal classes", "expected_animals"),
    Axis("realised animals", "realised animal classes", "animal_classes"),
)
FIGURE_6_AXES = AXES[3:] + AXES[:1]


@figure(
    key="figure_3",
    number="3",
    title="Top-1 out of domain by number of pretraining classes",
    notebook="11_subsets",
    needs=Runs(DOMAINS[:1], pools_of="3", designs="published"),
)
def figure_3(results: StudyResults) -> go.Figure:
    """Draw Figure 3 of the paper."""
    return subset_curves(results.arms("out_of_domain"))


@figure(
    key="figure_4",
    number="4",
    title="Top-1 in domain by number of pretraining classes",
    notebook="11_subsets",
    needs=Runs(DOMAINS[1:], pools_of="4", designs="published"),
)
def figure_4(results: StudyResults) -> go.Figure:
    """Draw Figure 4 of the paper."""
    return subset_curves(results.arms("in_domain"))


@figure(
    key="figure_6",
    number="6",
    title="Top-1 by expected number of animal classes",
    notebook="11_subsets",
    needs=SCALED,
)
def figure_6(results: StudyResults) -> go.Figure:
    """Draw Figure 6 of the paper."""
    return figure6_scaled_curves(results.arms_by_target)


def subset_curves(arms: pd.DataFrame) -> go.Figure:
    """Figures 3 and 4: top-1 against the number of pretraining classes, or another axis. `arms` as from `arm_accuracy`.

    Lines join the means over seeds, bands and bars are 95 % intervals, small points single seeds; scratch is level.
    """
    figure = go.Figure()
    curves = _add_curves(figure, _as_published(arms, "3"), AXES)
    figure.update_layout(
        **LAYOUT,
        meta={"axes": _switch(AXES, curves)},
        xaxis={"title": AXES[0].title, "rangemode": "tozero"},
        yaxis={"title": "top-1", "tickformat": ".0%"},
    )
    return figure


def figure6_scaled_curves(arms: dict[str, pd.DataFrame]) -> go.Figure:
    """Figure 6: the animal curve, and the random curve drawn at its expected number of animal classes, per target.

    `arms` maps a target's title to its table from `arm_accuracy`; `all` belongs to the random curve, at its end.
    """
    figure = make_subplots(cols=len(arms), subplot_titles=list(arms), horizontal_spacing=0.12)
    curves = []
    for column, table in enumerate(arms.values(), start=1):
        top1 = _as_published(table, "6").replace({"pool": {"all": "random"}})
        curves += _add_curves(figure, top1, FIGURE_6_AXES, column)
    figure.update_layout(**LAYOUT | {"margin": {"l": 60, "r": 15, "t": 80, "b": 60}})
    figure.update_layout(legend={"y": 1.1}, meta={"axes": _switch(FIGURE_6_AXES, curves)})
    figure.update_xaxes(title="expected animal classes", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%")
    figure.update_yaxes(title="top-1", col=1)
    return figure


def _as_published(arms: pd.DataFrame, figure: str) -> pd.DataFrame:
    """Return top-1 of the arms of the paper's own design whose pool the figure of this number shows."""
    return arms[(arms["quantity"] == "top1") & (arms["design"] == "") & arms["pool"].isin(shown_in(figure))]


def _switch(axes: tuple[Axis, ...], curves: list[dict[str, list[float]]]) -> list[dict[str, Any]]:
    """`curves` are the traces' x by axis."""
    return [{"name": axis.name, "title": axis.title, "x": [xs[axis.name] for xs in curves]} for axis in axes]


def _add_curves(
    figure: go.Figure, top1: pd.DataFrame, axes: tuple[Axis, ...], column: int | None = None
) -> list[dict[str, list[float]]]:
    """Draw a band, a line and single seeds of each pool; returns the x of each trace added, by axis."""
    place = {} if column is None else {"row": 1, "col": column}
    added = []
    for name, pool in starts().items():
        part = top1[top1["pool"] == name].sort_values("k")
        if part.empty:
            continue
        if name == SCRATCH:
            part = pd.concat([part, part.assign(**{axis.column: top1[axis.column].max() for axis in axes})])
        means = {axis.name: part[axis.column].astype(float).tolist() for axis in axes}
        traces = [(_band(part, pool), {name: x + x[::-1] for name, x in means.items()}), (_line(part, pool), means)]
        if name != SCRATCH:
            traces.append((_seeds(part, pool), {axis.name: _by_seed(part, axis) for axis in axes}))
        for trace, xs in traces:
            shown = trace.showlegend is not False and column in (None, 1)
            figure.add_trace(trace.update(x=xs[axes[0].name], legendgroup=name, showlegend=shown), **place)
            added.append(xs)
    return added


def _band(part: pd.DataFrame, pool: Pool) -> go.Scatter:
    return go.Scatter(
        y=[*part["high"], *part["low"][::-1]],
        fill="toself",
        fillcolor=_faint(pool.colour),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )


def _faint(colour: str) -> str:
    return f"rgba({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))}, 0.15)"


def _line(part: pd.DataFrame, pool: Pool) -> go.Scatter:
    made_of = part[["low", "high", "k", "animal_classes", "pretrain_images", "pretrain_steps"]]
    scratch = pool.name == SCRATCH
    of = "" if scratch else ", k = %{customdata[2]}"
    more = "<br>%{customdata[3]:.1f} animal classes, %{customdata[4]:,.0f} images, %{customdata[5]:,.0f} steps"
    seeds = f"<br>{len(part['by_seed'].iloc[0])} seeds"
    return go.Scatter(
        y=part["mean"],
        name=pool.label,
        mode="lines" if scratch else "lines+markers",
        cliponaxis=False,
        error_y=interval_bars(part, thickness=1),
        line={"color": pool.colour, "dash": pool.dash},
        marker={"symbol": pool.marker, "size": 10},
        customdata=made_of,
        hovertemplate=f"<b>{pool.label}</b>{of}<br>top-1 %{{y:.1%}}, interval %{{customdata[0]:.1%}} to %{{customdata[1]:.1%}}"
        + ("" if scratch else more)
        + f"{seeds}<extra></extra>",
    )


def _seeds(part: pd.DataFrame, pool: Pool) -> go.Scatter:
    return go.Scatter(
        y=part["by_seed"].explode().astype(float),
        cliponaxis=False,
        mode="markers",
        showlegend=False,
        marker={"color": pool.colour, "size": 5, "opacity": 0.6},
        hovertemplate="one seed: %{y:.1%}<extra></extra>",
    )


def _by_seed(part: pd.DataFrame, axis: Axis) -> list[float]:
    """The x of single seeds: their own, or, where all of an arm's are alike, the arm's."""
    own = f"{axis.column}_by_seed"
    lists = (
        part[own]
        if own in part
        else [[x] * len(seeds) for x, seeds in zip(part[axis.column], part["by_seed"], strict=True)]
    )
    return [float(x) for xs in lists for x in xs]
