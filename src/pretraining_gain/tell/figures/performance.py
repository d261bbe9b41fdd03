"""Figures P1 and P2: how fast this is, against what the benchmark compares it with, and how the analysis grows."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.plan.pools import starts
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.style import BLUE, DOTTED_RULE, GREY, LAYOUT, ORANGE, interval_bars
from pretraining_gain.tell.software.performance import Performance, bench_path, growth_rows

_STYLES = {
    "met": (BLUE, "circle", "reached, aim met"), "missed": (ORANGE, "diamond", "reached, aim missed"),
    "too noisy to tell": (GREY, "circle-open", "too noisy to tell"),
}  # fmt: skip
_ROW_PX = 30
#: What the growth measurement varies, its steps, and what it measures, with the words of the figure.
_VARIED = {"species": "species", "images": "images per species", "seeds": "seeds", "ks": "subset sizes per pool"}
_STEPS = {"tables": "tables, from predictions", "figures": "Figures 1 to 6, with intervals", "claims": "claims ledger"}
_MEASURES = {"cpu_s": "processor time, s", "peak_mb": "peak memory, MB"}


@figure(
    "P1", "Speed against what it is compared with", "21_performance",
    Files("bench", "Benchmark", lambda performance: [bench_path(performance.device)]),
)
def figure_targets(performance: Performance) -> go.Figure:
    """Draw each target and the speed that was measured: median over rounds, with the smallest and largest as a bar.

    A short line marks the target; the long one, at 1, marks equal speed.
    """
    targets = performance.targets()
    rows = targets["compared"] + ", against " + targets["against"]
    figure = go.Figure()
    for outcome, part in targets.groupby("met", sort=False):
        colour, symbol, name = _STYLES[outcome]
        figure.add_trace(
            go.Scatter(
                x=part["reached"], y=rows[part.index], name=name, mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 10},
                error_x=interval_bars(part.rename(columns={"reached": "mean"})),
                customdata=part[["low", "high", "rounds", "contestant"]],
                hovertemplate="<b>%{y}</b><br>%{customdata[3]}: %{x:.2f} (%{customdata[0]:.2f} to %{customdata[1]:.2f}, "
                "%{customdata[2]} rounds)<extra></extra>",
            )
        )
    marker = {"symbol": "line-ns", "size": 16, "color": GREY, "line": {"width": 3, "color": GREY}}
    hover = "aim: %{x:.2f}<extra></extra>"
    figure.add_trace(go.Scatter(x=targets["aim"], y=rows, name="aim", mode="markers", marker=marker, hovertemplate=hover))
    figure.add_vline(x=1, line=DOTTED_RULE)
    figure.update_layout(**LAYOUT | {"height": 140 + _ROW_PX * len(targets)})
    figure.update_xaxes(title="times as fast", type="log", tickvals=[0.25, 0.5, 1, 2, 5, 10, 20, 50, 100])
    order = rows[::-1].tolist()
    return figure.update_yaxes(categoryorder="array", categoryarray=order, automargin=True, tickfont={"size": 11})


@figure(
    "P2", "Time and memory of the analysis by the size of the study", "21_performance",
    Files("growth", "Simulated results of study paper", lambda _: [bench_path("growth")]),
)
def figure_growth(_: Performance) -> go.Figure:
    """Draw processor time and peak memory of each step against species, images, seeds and subset sizes."""
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
