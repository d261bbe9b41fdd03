"""Figure C1: what the original design could show about representation, whatever its networks do."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.tell.figures.declare import StudyFile, figure
from pretraining_gain.tell.figures.style import DOTTED_RULE, LAYOUT, SEED_STYLES


@figure(
    "C1", "The difference that the design could rule out", "13_claims",
    StudyFile("the variances of a study that was run"),
)
def figure_sight(margins: pd.DataFrame) -> go.Figure | str:
    """Draw the smallest margin of equality against the number of well represented species, one line per number of seeds.

    `margins` as from `margins_by_representation`. Dotted lines mark how many species a rule counts.
    """
    if margins.empty:
        return "How many species are well represented is not known for this study's target."
    drawn = go.Figure()
    for (n_seeds, part), (colour, symbol) in zip(margins.groupby("n_seeds"), SEED_STYLES, strict=False):
        drawn.add_trace(
            go.Scatter(
                x=part["represented"], y=100 * part["margin"], name=f"{n_seeds} seeds", mode="lines+markers",
                line={"color": colour}, marker={"symbol": symbol, "size": 7}, customdata=part[["others"]],
                hovertemplate=f"{n_seeds} seeds, %{{x}} species against %{{customdata[0]}}: differences above "
                "%{y:.1f} points can be ruled out<extra></extra>",
            )
        )
    top = {"yref": "paper", "y": 1, "yanchor": "top", "showarrow": False}
    for (rule, n), side in zip(margins.groupby("rule")["represented"].first().drop("").items(), ("right", "left"), strict=True):
        drawn.add_vline(x=n, line=DOTTED_RULE)
        drawn.add_annotation(x=math.log10(n), text=rule, xanchor=side, **top)  # as plotly wants it on this axis
    xaxis = {"title": "well represented species", "type": "log", "tickvals": [20, 50, 100, 200, 300]}
    return drawn.update_layout(**LAYOUT, xaxis=xaxis, yaxis={"title": "smallest margin, points", "rangemode": "tozero"})
