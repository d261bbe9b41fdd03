"""Figure P1: how fast this is, against what the benchmark compares it with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.paths import results_of
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.style import BLUE, DOTTED_RULE, GREY, LAYOUT, ORANGE

if TYPE_CHECKING:
    from pretraining_gain.tell.software.performance import PerformanceView

_STYLES = {"met": (BLUE, "circle"), "missed": (ORANGE, "diamond")}
_ROW_PX = 30


@figure(
    key="figure_targets", number="P1", title="Speed against what it is compared with", notebook="21_performance",
    needs=Files("bench", "Benchmark", lambda view: [results_of("bench", "cpu.json") / f"{view.device}.json"]),
)
def figure_of_view(view: PerformanceView) -> go.Figure:
    """Draw the targets of one device's benchmark."""
    return figure_targets(view.performance().targets())


def figure_targets(targets: pd.DataFrame) -> go.Figure:
    """Draw each target and the speed that was measured: median over rounds, with the smallest and largest as a bar.

    `targets` as from `Performance.targets`. A short line marks the target; the long one, at 1, marks equal speed.
    """
    rows = targets["compared"] + ", against " + targets["against"]
    figure = go.Figure()
    for outcome, part in targets.groupby("met", sort=False):
        colour, symbol = _STYLES[outcome]
        figure.add_trace(
            go.Scatter(
                x=part["reached"], y=rows[part.index], name=f"reached, aim {outcome}", mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 10},
                error_x={"type": "data", "symmetric": False, "width": 0, "thickness": 1.5,
                         "array": part["high"] - part["reached"], "arrayminus": part["reached"] - part["low"]},
                customdata=part[["low", "high", "rounds", "contestant"]],
                hovertemplate="<b>%{y}</b><br>%{customdata[3]}: %{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f}, "
                "%{customdata[2]} rounds)<extra></extra>",
            )
        )  # fmt: skip
    marker = {"symbol": "line-ns", "size": 16, "color": GREY, "line": {"width": 3, "color": GREY}}
    hover = "aim: %{x:.2f}<extra></extra>"
    figure.add_trace(go.Scatter(x=targets["aim"], y=rows, name="aim", mode="markers", marker=marker, hovertemplate=hover))
    figure.add_vline(x=1, line=DOTTED_RULE)
    figure.update_layout(**LAYOUT | {"height": 140 + _ROW_PX * len(targets)})
    figure.update_xaxes(title="times as fast", type="log", tickvals=[0.25, 0.5, 1, 2, 5, 10, 20, 50, 100])
    order = rows[::-1].tolist()
    return figure.update_yaxes(categoryorder="array", categoryarray=order, automargin=True, tickfont={"size": 11})
