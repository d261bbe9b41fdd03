"""Figures 3, 4 and 6: top-1 by what the network was pretrained on, against an axis that the reader chooses.

A menu of each figure switches the axis; each is drawn at the first one. The book's `figures.js` makes choices of it, above the
drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.plan.experiments import on_further_targets
from pretraining_gain.plan.pools import SCRATCH, Pool, shown_in, starts
from pretraining_gain.tell.figures.declare import Runs, figure
from pretraining_gain.tell.figures.inert import plotly_text
from pretraining_gain.tell.figures.style import LAYOUT, SHARE_TICKS, TOP1_HOVER, interval_bars, legend_once, panels

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults


class Axis(NamedTuple):
    """An x axis: its name in the switch, its title, and the column of the table from `arm_accuracy`."""

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
Curves = list[tuple[go.Scatter, dict[str, list[float]]]]


@figure(
    "3", "Top-1 out of domain by number of pretraining classes", "11_subsets",
    Runs(("out_of_domain",), pools_of="3"),
)
def figure_3(results: StudyResults) -> go.Figure:
    return subset_curves(results.arms("out_of_domain"), "3")


@figure("4", "Top-1 in domain by number of pretraining classes", "11_subsets", Runs(("in_domain",), pools_of="4"))
def figure_4(results: StudyResults) -> go.Figure:
    return subset_curves(results.arms("in_domain"), "4")


def subset_curves(arms: pd.DataFrame, number: str = "3") -> go.Figure:
    """Draw top-1 against the number of pretraining classes, or another axis. `arms` as from `arm_accuracy`.

    Lines join the means over seeds, bands and bars are 95 % intervals, small points single seeds; scratch is level.
    """
    curves = _curves(published(arms, number), AXES)
    drawn = go.Figure([trace for trace, _ in curves])
    xaxis, yaxis = {"title": AXES[0].title, "rangemode": "tozero"}, {"title": "top-1", "tickformat": SHARE_TICKS}
    return drawn.update_layout(**LAYOUT, updatemenus=_switch(AXES, curves), xaxis=xaxis, yaxis=yaxis)


@figure(
    "6", "Top-1 by expected number of animal classes", "11_subsets",
    Runs(("out_of_domain", "in_domain"), pools_of="6"),
)
def figure_6(results: StudyResults) -> go.Figure:
    """Draw Figure 6 of the paper: each curve at its expected number of animal classes, one panel per target."""
    tables = {title: random_with_all(published(arms, "6")) for title, arms in results.arms_by_target.items()}
    return _in_panels(tables, FIGURE_6_AXES)


@figure(
    "B6", "Top-1 on further targets by number of pretraining classes", "11_subsets",
    Runs(select=on_further_targets),
)
def figure_further(results: StudyResults) -> go.Figure:
    """Draw Figure 3 for the targets beside the first of each domain, one panel each."""
    return _in_panels({one.downstream.title: published(arms, "3") for one, arms in results.further.values()}, AXES)


def _in_panels(tables: Mapping[str, pd.DataFrame], axes: tuple[Axis, ...]) -> go.Figure:
    """Draw the curves of several targets, by title, side by side."""
    drawn = panels([plotly_text(title, 32) for title in tables], 80, 1.1, y_title="top-1", horizontal_spacing=0.12)
    curves: Curves = []
    for column, table in enumerate(tables.values(), start=1):
        panel = _curves(table, axes)
        for trace, _ in panel:
            drawn.add_trace(trace, row=1, col=column)
        curves += panel
    panels_axes = [name for name in drawn.layout.to_plotly_json() if name.startswith("xaxis")]
    drawn.update_layout(updatemenus=_switch(axes, curves, panels_axes))
    return legend_once(drawn).update_xaxes(title=axes[0].title, rangemode="tozero")


def published(arms: pd.DataFrame, number: str) -> pd.DataFrame:
    """Return top-1 of the arms of the paper's own design whose pool the figure of this number shows."""
    return arms[(arms["quantity"] == "top1") & (arms["design"] == "") & arms["pool"].isin(shown_in(number))]


def random_with_all(top1: pd.DataFrame) -> pd.DataFrame:
    """Put the arm of all classes at the end of the random curve: it is the random subset of every class."""
    return top1.replace({"pool": {"all": "random"}})


def _switch(axes: tuple[Axis, ...], curves: Curves, panels: Iterable[str] = ("xaxis",)) -> list[dict[str, Any]]:
    """Return the menu that switches the horizontal axis of all panels."""
    buttons = []
    for axis in axes:
        change = [{"x": [xs[axis.name] for _, xs in curves]}, {f"{panel}.title.text": axis.title for panel in panels}]
        buttons.append({"label": axis.name, "method": "update", "args": change})
    return [{"name": "Horizontal axis", "buttons": buttons, "x": 1, "xanchor": "right", "y": 1.15, "yanchor": "top"}]


def _curves(top1: pd.DataFrame, axes: tuple[Axis, ...]) -> Curves:
    """Return the traces of each pool (band, line, single seeds), each with its x by axis and drawn at the first axis."""
    curves: Curves = []
    for name, pool in starts().items():
        part = top1[top1["pool"] == name].sort_values("k")
        if part.empty:
            continue
        if name == SCRATCH:  # a level line over the whole width
            part = pd.concat([part, part.assign(**{axis.column: top1[axis.column].max() for axis in axes})])
        means = {axis.name: part[axis.column].astype(float).tolist() for axis in axes}
        rgb = ", ".join(str(int(pool.colour[at : at + 2], 16)) for at in (1, 3, 5))
        shared = {"legendgroup": name, "showlegend": False}
        band = go.Scatter(
            y=[*part["high"], *part["low"][::-1]], fill="toself", fillcolor=f"rgba({rgb}, 0.15)", line={"width": 0},
            mode="lines", hoverinfo="skip", **shared,
        )
        curves.append((band, {axis: x + x[::-1] for axis, x in means.items()}))
        curves.append((_line(part, pool), means))
        if name != SCRATCH:
            seeds = go.Scatter(
                y=part["by_seed"].explode().astype(float), cliponaxis=False, mode="markers", **shared,
                marker={"color": pool.colour, "size": 5, "opacity": 0.6}, hovertemplate="one seed: %{y:.1%}<extra></extra>",
            )
            curves.append((seeds, {axis.name: _by_seed(part, axis.column) for axis in axes}))
    for trace, xs in curves:
        trace.update(x=xs[axes[0].name])
    return curves


def _line(part: pd.DataFrame, pool: Pool) -> go.Scatter:
    scratch = pool.name == SCRATCH
    source = "%{customdata[3]:.1f} animal classes, %{customdata[4]:,.0f} images, %{customdata[5]:,.0f} steps"
    lines = [
        f"<b>{pool.label}</b>" + ("" if scratch else ", k = %{customdata[2]}"),
        TOP1_HOVER,
        *([] if scratch else [source]),
        "%{customdata[6]} seeds<extra></extra>",
    ]
    return go.Scatter(
        y=part["mean"], name=pool.label, legendgroup=pool.name, showlegend=True,
        mode="lines" if scratch else "lines+markers", cliponaxis=False, error_y=interval_bars(part, thickness=1),
        line={"color": pool.colour, "dash": pool.dash}, marker={"symbol": pool.marker, "size": 10},
        customdata=part[["low", "high", "k", "animal_classes", "pretrain_images", "pretrain_steps", "n_seeds"]],
        hovertemplate="<br>".join(lines),
    )


def _by_seed(part: pd.DataFrame, column: str) -> list[float]:
    """Return the x of single seeds: their own values where the table has them, else the arm's."""
    if f"{column}_by_seed" in part:
        return part[f"{column}_by_seed"].explode().astype(float).tolist()
    return part[column].repeat(part["by_seed"].map(len)).astype(float).tolist()
