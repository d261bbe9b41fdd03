"""Figures W1 to W5: which source classes matter, how near, how much target data, whether it is saturated, and the gain's parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    panels,
)

if TYPE_CHECKING:
    from pretraining_gain.tell.results.why import Why

_LOOKS = ((BLUE, "circle"), (ORANGE, "square"), (GREEN, "diamond"), (YELLOW, "triangle-up"))
_POINTS = "%{y:+.1f} points, interval %{customdata[0]:+.1f} to %{customdata[1]:+.1f}"


def _marks(table: pd.DataFrame, x: pd.Series, name: str, hover: str, number: int = 0, **more: object) -> go.Scatter:
    """Return marks in points with intervals; `hover` may use the columns of `customdata` after low and high."""
    colour, symbol = _LOOKS[number % len(_LOOKS)]
    ends = 100 * table[["low", "high"]]
    shown = [column for column in ("n_classes", "n_seeds", "n_subsets") if column in table]
    return go.Scatter(
        x=x, y=100 * table["mean"], name=plotly_text(name), error_y=interval_bars(table, scale=100),
        customdata=ends.join(table[shown]), hovertemplate=f"{hover}<br>{_POINTS}<extra></extra>",
        **{"mode": "markers", "marker": {"color": colour, "symbol": symbol, "size": 10}} | more,
    )  # fmt: skip


@figure(
    key="figure_kinds", number="W1", title="What ten more classes of a kind change", notebook="25_why",
    needs=Runs(select=experiments.many_subsets),
)
def figure_kinds(why: Why) -> go.Figure | str:
    """Draw the effect of ten classes of each kind in place of ten of the reference, one panel per target."""
    if why.kinds.empty:
        return why.absent
    titles = list(dict.fromkeys(why.kinds["title"]))
    title = f"ten classes in place of ten {why.kinds['reference'].iloc[0]}, points"
    drawn = panels([plotly_text(one, 32) for one in titles], 110, 1.14, y_title=title, shared_yaxes=True, horizontal_spacing=0.03)
    for number, (whose, of) in enumerate(why.kinds.groupby("whose", sort=False)):
        for target, part in of.groupby("title", sort=False):
            hover = f"<b>%{{x}}</b>, top-1 of {whose}<br>%{{customdata[3]}} subsets, %{{customdata[2]}} species"
            first = target == titles[0]
            trace = _marks(part, part["term"], whose, hover, number, legendgroup=whose, showlegend=first)
            drawn.add_trace(trace, row=1, col=titles.index(target) + 1)
    return drawn.update_layout(height=520).update_xaxes(tickangle=-50, automargin=True)


@figure(
    key="figure_ranks", number="W2", title="Gain by the nearest relative in the source", notebook="25_why",
    needs=Runs(select=experiments.by_distance),
)
def figure_ranks(why: Why) -> go.Figure | str:
    """Draw the mean gain of the species that share a species, genus, family and so on with their nearest source class."""
    if why.ranks.empty:
        return why.absent
    titles = list(dict.fromkeys(why.ranks["title"]))
    names = [plotly_text(one, 32) for one in titles]
    drawn = panels(names, 60, 1.02, y_title="pretraining gain, points", shared_yaxes=True, horizontal_spacing=0.03)
    held = [rank for rank in RANKS if rank in set(why.ranks["rank"])]
    for column, title in enumerate(titles, start=1):
        part = why.ranks[why.ranks["title"] == title]
        hover = "<b>nearest: %{x}</b><br>%{customdata[2]} species, %{customdata[3]} seeds"
        drawn.add_trace(_marks(part, part["rank"], title, hover), row=1, col=column)
    drawn.update_xaxes(categoryorder="array", categoryarray=held, title="lowest rank shared with the source")
    return drawn.update_layout(showlegend=False)


@figure(
    key="figure_target_size", number="W3", title="Gain by images per species of the target", notebook="25_why",
    needs=Runs(select=experiments.by_target_size),
)
def figure_target_size(why: Why) -> go.Figure | str:
    """Draw the gain from all classes against the target's training images per species, on a logarithmic axis."""
    sizes = why.target_sizes
    if sizes.empty:
        return why.absent
    hover = "<b>%{x} images per species</b><br>%{customdata[2]} species, %{customdata[3]} seeds"
    drawn = go.Figure(_marks(sizes, sizes["images"], "gain", hover, mode="lines+markers", line={"color": BLUE}))
    ticks = {"type": "log", "tickvals": sizes["images"].tolist(), "title": "training images per species"}
    drawn.update_layout(**LAYOUT, xaxis=ticks, yaxis={"title": "pretraining gain, points", "tickformat": POINTS_TICKS})
    return drawn.add_hline(y=0, line=RULE)


@figure(
    key="figure_saturation", number="W4", title="Gain by animal classes and by their images", notebook="25_why",
    needs=Runs(select=experiments.saturation),
)
def figure_saturation(why: Why) -> go.Figure | str:
    """Draw the gain of animal classes against their number and their images, with the fitted line and what it predicts."""
    curves = why.curves
    if curves.empty:
        return why.absent
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
            look = {"marker": {"color": colour, "symbol": mark, "size": 10}, "legendgroup": title}
            named = {"showlegend": what == "gain" and by == next(iter(ways))}
            if len(rows):
                drawn.add_trace(_marks(rows, rows["at"], title, hover, **look, **named), **place)
    for column, by in enumerate(ways, start=1):
        shown = curves[(curves["by"] == by) & (curves["at"] > 0)]
        axis = {"type": "log", "tickvals": sorted(set(shown["at"].tolist())), "title": f"animal {by}", "tickangle": -50}
        drawn.update_xaxes(**axis, row=1, col=column)
    return drawn


@figure(
    key="figure_parts", number="W5", title="What the gain is made of", notebook="25_why",
    needs=Runs(select=experiments.parts_of_the_gain),
)
def figure_parts(why: Why) -> go.Figure | str:
    """Draw the parts of the gain from all source classes, which add up to it, one panel per target."""
    parts = why.parts
    if parts.empty:
        return why.absent
    titles = list(dict.fromkeys(parts["title"]))
    names = [plotly_text(one, 32) for one in titles]
    drawn = panels(names, 60, 1.02, y_title="difference in top-1, points", horizontal_spacing=0.08)
    for column, title in enumerate(titles, start=1):
        part = parts[parts["title"] == title]
        bars = go.Bar(
            x=part["part"], y=100 * part["mean"], error_y=interval_bars(part, scale=100), customdata=100 * part[["low", "high"]],
            marker={"color": [ORANGE if one == "all" else BLUE for one in part["part"]]},
            hovertemplate=f"<b>%{{x}}</b><br>{_POINTS}<extra></extra>",
        )  # fmt: skip
        drawn.add_trace(bars, row=1, col=column)
    return drawn.update_layout(showlegend=False).update_xaxes(tickangle=-50, automargin=True)
