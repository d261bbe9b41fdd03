"""Figures W1 to W5: which source classes matter, how near, how much target data, whether it is saturated, and the gain's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.plan import experiments
from pretraining_gain.plan.relatives import RANKS
from pretraining_gain.tell.figures.declare import Runs, figure
from pretraining_gain.tell.figures.inert import plotly_text
from pretraining_gain.tell.figures.style import (
    BLUE,
    GREEN,
    LAYOUT,
    ORANGE,
    POINTS_TICKS,
    RULE,
    YELLOW,
    interval_bars,
    legend_once,
    panels,
)

if TYPE_CHECKING:
    from pretraining_gain.tell.results.why import Why

_LOOKS = ((BLUE, "circle"), (ORANGE, "square"), (GREEN, "diamond"), (YELLOW, "triangle-up"))


def _interval(axis: str) -> str:
    """Return the hover text of an estimate in points on the axis `x` or `y`, with the ends from `customdata`."""
    return f"%{{{axis}:+.1f}} points, interval %{{customdata[0]:+.1f}} to %{{customdata[1]:+.1f}}<extra></extra>"


def _marks(
    table: pd.DataFrame, places: pd.Series, name: str, hover: str, number: int = 0, axis: str = "y", **more: Any
) -> go.Scatter:
    """Return marks in points with intervals, along `axis`; `hover` may use the columns of `customdata` after low and high."""
    colour, symbol = _LOOKS[number % len(_LOOKS)]
    shown = [column for column in ("n_classes", "n_seeds", "n_subsets") if column in table]
    values = {axis: 100 * table["mean"], f"error_{axis}": interval_bars(table, scale=100), "xy".replace(axis, ""): places}
    look = {"mode": "markers", "marker": {"color": colour, "symbol": symbol, "size": 10}}
    return go.Scatter(
        name=plotly_text(name), customdata=(100 * table[["low", "high"]]).join(table[shown]),
        hovertemplate=f"{hover}<br>{_interval(axis)}", **values | look | more,
    )  # fmt: skip


def _two_lines(name: str) -> str:
    """Break a name at the space nearest its middle: on a phone, the panels need the width."""
    spaces = [place for place, letter in enumerate(name) if letter == " "]
    middle = min(spaces, key=lambda place: abs(2 * place - len(name)), default=len(name))
    return f"{name[:middle]}<br>{name[middle + 1 :]}" if spaces else name


def _side_by_side(titles: list[str], rows: list[str], x_title: str, top_px: int = 90, legend_y: float = 1.2) -> go.Figure:
    """Return a panel per title, for values in points along x, whose named rows stand once at the left."""
    names = [plotly_text(one, 32).replace(" ", "<br>") for one in titles]
    drawn = panels(names, top_px, legend_y, y_title="", shared_yaxes=True, horizontal_spacing=0.05, x_title=x_title)
    rows = [_two_lines(row) for row in rows]
    drawn.update_yaxes(categoryorder="array", categoryarray=rows, autorange="reversed", automargin=True, dtick=1)
    drawn.update_annotations(font_size=12)
    return drawn.update_xaxes(tickformat=POINTS_TICKS, nticks=3, tickangle=0, zeroline=True, zerolinecolor=RULE["color"])


def _panel_per_target(
    table: pd.DataFrame, column: str, order: tuple[str, ...], x_title: str, trace: Callable[[pd.DataFrame], go.Scatter | go.Bar]
) -> go.Figure:
    """Draw the `trace` of each target's rows in a panel of its own; the rows stand in `order`, by their `column`."""
    titles = list(dict.fromkeys(table["title"]))
    drawn = _side_by_side(titles, [one for one in order if one in set(table[column])], x_title)
    for number, title in enumerate(titles, start=1):
        drawn.add_trace(trace(table[table["title"] == title]), row=1, col=number)
    return drawn.update_layout(showlegend=False)


@figure("W1", "What three more classes of a kind change", "25_why", Runs(select=experiments.many_subsets))
def figure_kinds(why: Why) -> go.Figure:
    """Draw the effect of three classes of each kind in place of three of the reference, one panel per target."""
    kinds = why.kinds
    titles = list(dict.fromkeys(kinds["title"]))
    x_title = f"three classes for three {kinds['reference'].iloc[0]}, points"
    drawn = _side_by_side(titles, list(dict.fromkeys(kinds["term"])), x_title, 150, 1.22)
    for number, (whose, of) in enumerate(kinds.groupby("whose", sort=False)):
        for title, part in of.groupby("title", sort=False):
            hover = f"<b>%{{y}}</b>, top-1 of {whose}<br>%{{customdata[3]}} subsets, %{{customdata[2]}} species"
            marks = _marks(part, part["term"].map(_two_lines), whose, hover, number, "x", legendgroup=whose)
            drawn.add_trace(marks, row=1, col=titles.index(title) + 1)
    return legend_once(drawn).update_layout(height=540)


@figure("W2", "Gain by the nearest relative in the source", "25_why", Runs(select=experiments.by_distance))
def figure_ranks(why: Why) -> go.Figure:
    """Draw the mean gain of the species that share a species, genus, family and so on with their nearest source class."""
    hover = "<b>nearest: %{y}</b><br>%{customdata[2]} species, %{customdata[3]} seeds"

    def marks(part: pd.DataFrame) -> go.Scatter:
        return _marks(part, part["rank"], part["title"].iloc[0], hover, axis="x")

    return _panel_per_target(why.ranks, "rank", RANKS, "pretraining gain, points", marks)


@figure("W3", "Gain by images per species of the target", "25_why", Runs(select=experiments.by_target_size))
def figure_target_size(why: Why) -> go.Figure:
    """Draw the gain from all classes against the target's training images per species, on a logarithmic axis."""
    sizes = why.target_sizes
    hover = "<b>%{x} images per species</b><br>%{customdata[2]} species, %{customdata[3]} seeds"
    drawn = go.Figure(_marks(sizes, sizes["images"], "gain", hover, mode="lines+markers", line={"color": BLUE}))
    ticks = {"type": "log", "tickvals": sizes["images"].tolist(), "title": "training images per species"}
    drawn.update_layout(**LAYOUT, xaxis=ticks, yaxis={"title": "pretraining gain, points", "tickformat": POINTS_TICKS})
    return drawn.add_hline(y=0, line=RULE)


@figure("W4", "Gain by animal classes and by their images", "25_why", Runs(select=experiments.saturation))
def figure_saturation(why: Why) -> go.Figure:
    """Draw the gain of animal classes against their number and their images, with the fitted line and what it predicts."""
    curves = why.curves
    ways = {by: f"number of {by}" for by in curves["by"].unique()}
    drawn = panels(list(ways.values()), 110, 1.14, y_title="pretraining gain, points", shared_yaxes=True, horizontal_spacing=0.04)
    titles = list(dict.fromkeys(curves["title"]))
    for (by, title), part in curves.groupby(["by", "title"], sort=False):
        place, number = {"row": 1, "col": list(ways).index(by) + 1}, titles.index(title)
        colour, symbol = _LOOKS[number % len(_LOOKS)]
        group = {"legendgroup": title, "showlegend": False}
        line = part[part["what"].isin(["line", "predicted"])]
        straight = {"mode": "lines", "line": {"color": colour, "dash": "dot"}, "hoverinfo": "skip"}
        drawn.add_trace(go.Scatter(x=line["at"], y=100 * line["mean"], **straight, **group), **place)
        for what, mark in {"predicted": f"{symbol}-open", "gain": symbol}.items():
            rows = part[part["what"] == what]
            hover = f"<b>{plotly_text(title)}</b>, {what} at %{{x:,}} {by}"
            look: dict[str, Any] = {"marker": {"color": colour, "symbol": mark, "size": 10}, "showlegend": what == "gain"}
            if len(rows):
                drawn.add_trace(_marks(rows, rows["at"], title, hover, legendgroup=title, **look), **place)
    for column, by in enumerate(ways, start=1):
        shown = curves[(curves["by"] == by) & (curves["at"] > 0)]
        ticks = sorted(set(shown["at"].tolist()))
        axis = {"type": "log", "tickvals": ticks, "title": f"animal {by}", "tickformat": ",.0f", "tickangle": -50}
        drawn.update_xaxes(**axis, row=1, col=column)
    return legend_once(drawn)


@figure("W5", "What the gain is made of", "25_why", Runs(select=experiments.parts_of_the_gain))
def figure_parts(why: Why) -> go.Figure:
    """Draw the parts of the gain from all source classes, which add up to it, one panel per target."""

    def bars(part: pd.DataFrame) -> go.Bar:
        return go.Bar(
            x=100 * part["mean"], y=part["part"].map(_two_lines), error_x=interval_bars(part, scale=100),
            customdata=100 * part[["low", "high"]],
            orientation="h", marker={"color": [ORANGE if one == "all" else BLUE for one in part["part"]]},
            hovertemplate=f"<b>%{{y}}</b><br>{_interval('x')}",
        )  # fmt: skip

    return _panel_per_target(why.parts, "part", experiments.PARTS, "difference in top-1, points", bars)
