"""The figure of the performance chapter, as a pure function: a table in, a plotly figure out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.paths import results_of
from pretraining_gain.tell.figures.declare import Files, Runs, figure
from pretraining_gain.tell.figures.taxa import LAYOUT

if TYPE_CHECKING:
    from pretraining_gain.tell.software.costs import Costs
    from pretraining_gain.tell.software.performance import PerformanceView

_STYLE = {"met": ("#0072B2", "circle"), "missed": ("#D55E00", "diamond")}
_ROW_PX = 30


@figure(
    key="figure_costs",
    number="L1",
    title="Cost of each run",
    notebook="18_costs",
    needs=Runs(),
)
def costs_of_runs(costs: Costs) -> go.Figure:
    """Draw what each run of a study cost."""
    return costs.figure()


@figure(
    key="figure_targets",
    number="P1",
    title="Speed against what it is compared with",
    notebook="21_performance",
    needs=Files("bench", "Benchmark", lambda view: [results_of("bench", "cpu.json") / f"{view.device}.json"]),
)
def targets(view: PerformanceView) -> go.Figure:
    """Draw the aims of the benchmark and what was reached."""
    return figure_targets(view.performance().targets())


@figure(
    key="figure_growth",
    number="G1",
    title="Time by number of species",
    notebook="22_growth",
    needs=Files("growth", "Simulated results of study paper", lambda _: [results_of("bench", "growth.json") / "growth.json"]),
)
def growth(_: None) -> go.Figure:
    """Draw how the analysis grows with species."""
    from pretraining_gain.tell.software.growth import figure_species

    return figure_species()


def figure_targets(targets: pd.DataFrame) -> go.Figure:
    """Each aim with what was reached: median over rounds, smallest and largest as a bar, on a logarithmic axis.

    `targets` as from `Performance.targets`. A short line marks the aim; the long one, at 1, is as fast as the other.
    """
    rows = targets["compared"] + ", against " + targets["against"]
    figure = go.Figure()
    for outcome, (colour, symbol) in _STYLE.items():
        part, names = targets[targets["met"] == outcome], rows[targets["met"] == outcome]
        if len(part):
            figure.add_trace(_reached(part, names, outcome, colour, symbol))
    figure.add_trace(
        go.Scatter(
            x=targets["aim"],
            y=rows,
            name="aim",
            mode="markers",
            marker={"symbol": "line-ns", "size": 16, "color": "#767676", "line": {"width": 3, "color": "#767676"}},
            hovertemplate="aim: %{x:.2f}<extra></extra>",
        )
    )
    figure.add_vline(x=1, line={"color": "#767676", "width": 1, "dash": "dot"})
    figure.update_layout(**LAYOUT | {"height": 140 + _ROW_PX * len(targets)})
    figure.update_xaxes(title="times as fast", type="log", tickvals=[0.25, 0.5, 1, 2, 5, 10, 20, 50, 100])
    figure.update_yaxes(
        categoryorder="array", categoryarray=rows[::-1].tolist(), automargin=True, tickfont={"size": 11}
    )
    return figure


def _reached(part: pd.DataFrame, names: pd.Series, outcome: str, colour: str, symbol: str) -> go.Scatter:
    spread = {"array": part["high"] - part["reached"], "arrayminus": part["reached"] - part["low"]}
    return go.Scatter(
        x=part["reached"],
        y=names,
        name=f"reached, aim {outcome}",
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x={"type": "data", "symmetric": False, "width": 0, "thickness": 1.5, **spread},
        customdata=part[["low", "high", "rounds", "contestant"]],
        hovertemplate="<b>%{y}</b><br>%{customdata[3]}: %{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f}, "
        "%{customdata[2]} rounds)<extra></extra>",
    )
