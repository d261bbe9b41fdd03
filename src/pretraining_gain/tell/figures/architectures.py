"""Figure B5: top-1 and the pretraining gain of several architectures."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.paths import results_of
from pretraining_gain.plan.pools import FROM_SCRATCH
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.style import BLUE, GREEN, POINTS_TICKS, TOP1_HOVER, interval_bars, panels

#: Quantity -> panel, name in the legend, colour and marker.
_STYLES = {
    "scratch": (1, "from scratch", FROM_SCRATCH.colour, FROM_SCRATCH.marker),
    "pretrained": (1, "pretrained", BLUE, "circle"),
    "gain": (2, "gain", GREEN, "square"),
}


@figure(
    "B5", "Other architectures", "26_architectures",
    Files("architectures", "Mini with other architectures",
                lambda table: [results_of(study) / "runs.csv" for study in table["study"].unique()]),
)  # fmt: skip
def figure_architectures(table: pd.DataFrame) -> go.Figure:
    """Draw top-1 from scratch and pretrained, and the gain, by architecture. `table` as from `ArchitectureView.table`."""
    drawn = panels(["top-1", "gain, points"], 90, 1.16, y_title="top-1", horizontal_spacing=0.15)
    for quantity, (column, name, colour, marker) in _STYLES.items():
        part, scale = table[table["quantity"] == quantity], 100 if quantity == "gain" else 1
        hover = TOP1_HOVER if scale == 1 else "gain %{y:+.1f} points, interval %{customdata[0]:+.1f} to %{customdata[1]:+.1f}"
        points = go.Scatter(
            x=part["backbone"], y=scale * part["mean"], name=name, mode="markers",
            marker={"color": colour, "symbol": marker, "size": 11}, error_y=interval_bars(part, scale=scale),
            customdata=scale * part[["low", "high"]], hovertemplate=f"<b>%{{x}}, {name}</b><br>{hover}<extra></extra>",
        )
        drawn.add_trace(points, row=1, col=column)
    return drawn.update_yaxes(tickformat=POINTS_TICKS, rangemode="tozero", col=2)
