"""Figure L1: what each run of a study cost."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from pretraining_gain.plan.pools import starts
from pretraining_gain.tell.figures.declare import Runs, figure
from pretraining_gain.tell.figures.inert import plotly_text
from pretraining_gain.tell.figures.style import LAYOUT

if TYPE_CHECKING:
    from pretraining_gain.tell.software.costs import Costs

#: What the figure can show: label -> column.
MEASURES = {"wall time, s": "wall_s", "device time, s": "device_time_s", "peak memory, MB": "peak_memory_mb"}


@figure("L1", "Cost of each run", "18_costs", Runs())
def figure_costs(costs: Costs) -> go.Figure:
    """Draw what each run cost, one point per run, by what it was pretrained on; a menu chooses the measure."""
    parts, figure = [part for _, part in costs.runs.groupby("downstream", sort=False)], go.Figure()
    hover = "<b>%{customdata[0]}</b><br>%{customdata[1]:,} images trained on, %{customdata[2]:,} evaluated<br>"
    hover += "%{customdata[3]:,.1f} s, device time %{customdata[4]:,.1f} s, %{customdata[5]:,.0f} MB<extra></extra>"
    for part, style in zip(parts, cycle(starts().values())):
        title = plotly_text(costs.title(part["downstream"].iloc[0]), 32)
        details = part[["run_id", "train_images_seen", "eval_images_seen", *MEASURES.values()]]
        look = {"color": style.colour, "symbol": style.marker, "size": 8, "opacity": 0.75}
        trace = go.Scatter(x=part["arm"], y=part["wall_s"], name=title, mode="markers", marker=look)
        figure.add_trace(trace.update(customdata=details, hovertemplate=hover))
    buttons = []
    for label, name in MEASURES.items():
        change = [{"y": [part[name] for part in parts]}, {"yaxis.title.text": label}]
        buttons.append({"label": label, "method": "update", "args": change})
    arms = costs.runs["arm"].unique().tolist()  # in the plan's order: pretrainings first, scratch last
    # The legend is below the names of the arms; on a phone it has a line for each target.
    plot_px, names_px, legend_px = 380, 170, 22 * len(parts)
    legend = {"orientation": "h", "x": 0, "y": -names_px / plot_px, "yanchor": "top"}
    margin = LAYOUT["margin"] | {"b": names_px + legend_px}
    height = LAYOUT["margin"]["t"] + plot_px + margin["b"]
    figure.update_layout(
        **LAYOUT | {"height": height, "margin": margin, "legend": legend},
        updatemenus=[{"name": "Show", "buttons": buttons, "x": 1, "xanchor": "right", "y": 1.04, "yanchor": "bottom"}],
        xaxis={"categoryorder": "array", "categoryarray": arms, "tickangle": -50, "dtick": 1, "tickfont": {"size": 11},
               "automargin": False},
        yaxis={"title": next(iter(MEASURES)), "rangemode": "tozero"},
    )  # fmt: skip
    return figure
