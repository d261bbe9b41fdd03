"""Figure K2: planted effects in trained networks, beside the same estimate in simulated studies."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.paths import results_of
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.style import BLUE, ORANGE, POINTS_TICKS, RULE, interval_bars, panels_layout


@figure(
    "K2", "Trained networks with a known answer", "17_anchors",
    Files("anchors", "Study anchors", lambda _: [results_of("anchors") / "runs.csv"]),
)
def figure_anchors(anchors: pd.DataFrame) -> go.Figure:
    """Draw each anchor twice: trained, with its interval, and simulated; one line per target, so that no interval hides another.

    `anchors` as from `AnchorView.table`.
    """
    figure = go.Figure()
    styles = ((BLUE, "circle"), (ORANGE, "square"))
    for (target, part), (colour, symbol) in zip(anchors.groupby("target", sort=False), styles, strict=False):
        points = 100 * part[["mean", "low", "high", "se", "simulated", "simulated_se", "se_low", "se_high"]]
        shared = {"y": part["source"], "orientation": "h", "offsetgroup": target, "mode": "markers"}
        trained = go.Scatter(
            x=points["mean"], name=f"{target}, trained", **shared,
            marker={"color": colour, "symbol": symbol, "size": 11},
            error_x=interval_bars(part, scale=100),
            customdata=points[["low", "high", "se"]],
            hovertemplate="<b>%{y}</b><br>%{x:+.1f} points, interval %{customdata[0]:+.1f} to %{customdata[1]:+.1f}"
            "<br>standard error %{customdata[2]:.2f} points<extra></extra>",
        )
        simulated = go.Scatter(
            x=points["simulated"], name=f"{target}, simulated", **shared,
            marker={"color": colour, "symbol": f"{symbol}-open", "size": 17},
            customdata=points[["simulated_se", "se_low", "se_high"]],
            hovertemplate="<b>%{y}</b><br>simulated %{x:+.1f} points, standard deviation %{customdata[0]:.2f}"
            "<br>estimated standard errors %{customdata[1]:.2f} to %{customdata[2]:.2f}<extra></extra>",
        )
        figure.add_traces([trained, simulated])
    figure.add_vline(x=0, line=RULE)
    figure.update_layout(**panels_layout(110, legend_y=1.02), scattermode="group")
    figure.update_xaxes(title="gain, species in the source − others, points", tickformat=POINTS_TICKS)
    return figure.update_yaxes(autorange="reversed", automargin=True)
