"""Layout and error bars that all figures share."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

#: Colours of Okabe and Ito's palette, which readers with any colour vision can tell apart, and a grey for rules.
BLUE, ORANGE, GREEN, YELLOW, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#767676"
SKY, PURPLE = "#56B4E9", "#CC79A7"
#: Colour and marker of each number of seeds, where a figure compares several.
SEED_STYLES = [(ORANGE, "square"), (BLUE, "circle"), (GREEN, "diamond")]
RULE = {"color": GREY, "width": 1}
DOTTED_RULE = RULE | {"dash": "dot"}
#: Ticks of axes in points, with their sign, and of shares; a decimal only where they need one.
POINTS_TICKS, SHARE_TICKS = "+.1~f", ".1~%"
#: Hover text of top-1 with its interval, from the first two columns of `customdata`.
TOP1_HOVER = "top-1 %{y:.1%}, interval %{customdata[0]:.1%} to %{customdata[1]:.1%}"
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 60, "r": 15, "t": 50, "b": 60},
    "height": 460,
    "font": {"size": 14},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
}


def panels_layout(top_px: int, legend_y: float) -> dict[str, Any]:
    """Return the layout of a figure with panels: room for their titles and, above them, for the legend."""
    return LAYOUT | {"margin": LAYOUT["margin"] | {"t": top_px}, "legend": LAYOUT["legend"] | {"y": legend_y}}


def panels(titles: list[str], top_px: int, legend_y: float, y_title: str, **subplots: Any) -> go.Figure:
    """Return a figure with one empty panel per title, side by side; axes of differences and of shares (`top-1`) differ."""
    drawn = make_subplots(cols=len(titles), subplot_titles=titles, **subplots)
    y_axes = {"tickformat": POINTS_TICKS, "zeroline": True} if y_title.endswith("points") else {"tickformat": SHARE_TICKS}
    return drawn.update_layout(**panels_layout(top_px, legend_y)).update_yaxes(**y_axes).update_yaxes(title=y_title, col=1)


def legend_once(drawn: go.Figure) -> go.Figure:
    """Show each group of the legend once, at its first trace that may show, whichever panel that is in."""
    shown = set()
    for trace in drawn.data:
        trace.showlegend = trace.showlegend is not False and trace.legendgroup not in shown
        shown |= {trace.legendgroup} if trace.showlegend else set()
    return drawn


def interval_bars(table: pd.DataFrame, scale: float = 1, thickness: float = 1.5) -> dict[str, Any]:
    """Return error bars from the columns `mean`, `low` and `high`; `scale` 100 turns fractions into points."""
    return {
        "type": "data",
        "symmetric": False,
        "array": scale * (table["high"] - table["mean"]).clip(lower=0),
        "arrayminus": scale * (table["mean"] - table["low"]).clip(lower=0),
        "width": 0,
        "thickness": thickness,
    }
