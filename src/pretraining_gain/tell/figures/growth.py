"""Figure P2: how time and memory of the analysis grow with the size of the study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.paths import results_of
from pretraining_gain.plan.pools import starts
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.style import LAYOUT

if TYPE_CHECKING:
    from pretraining_gain.tell.software.performance import PerformanceView

#: What the growth measurement varies, its steps, and what it measures, with the words of the figure.
_VARIED = {"species": "species", "images": "images per species", "seeds": "seeds", "ks": "subset sizes per pool"}
_STEPS = {"tables": "tables, from predictions", "figures": "Figures 1 to 6, with intervals", "claims": "claims ledger"}
_MEASURES = {"cpu_s": "processor time, s", "peak_mb": "peak memory, MB"}


@figure(
    key="figure_growth", number="P2", title="Time and memory of the analysis by the size of the study",
    notebook="21_performance",
    needs=Files("growth", "Simulated results of study paper", lambda _: [results_of("bench", "growth.json") / "growth.json"]),
)
def figure_growth(_: PerformanceView) -> go.Figure:
    """Draw processor time and peak memory of each step against species, images, seeds and subset sizes."""
    from pretraining_gain.tell.software.performance import growth_rows

    rows, figure = growth_rows(), make_subplots(2, len(_VARIED), shared_yaxes=True, shared_xaxes=True, vertical_spacing=0.06)
    for (step, label), pool in zip(_STEPS.items(), starts().values(), strict=False):
        for column, (varied, title) in enumerate(_VARIED.items(), 1):
            part = rows[(rows["varied"] == varied) & (rows["step"] == step)].sort_values(varied)
            for row, (measure, unit) in enumerate(_MEASURES.items(), 1):
                look = {"line": {"color": pool.colour}, "marker": {"symbol": pool.marker, "size": 8}}
                hover = f"<b>{label}</b>, %{{x:,}} {title}<br>%{{y:,.2f}} {unit}<extra></extra>"
                shown = {"name": label, "legendgroup": step, "showlegend": (row, column) == (1, 1)}
                trace = go.Scatter(x=part[varied], y=part[measure], mode="lines+markers", hovertemplate=hover, **shown, **look)
                figure.add_trace(trace, row, column)
                figure.update_yaxes(title_text=unit if column == 1 else "", type="log", row=row, col=column)
                axis = {"title_text": title if row == 2 else "", "type": "log", "tickvals": part[varied].tolist()}
                figure.update_xaxes(**axis, row=row, col=column)
    figure.update_layout(**LAYOUT | {"height": 520})
    return figure
