"""Figures B1 to B4, beyond the paper's design: one factor changed, both ways to finetune, representation by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from pretraining_gain.plan.experiments import both_ways, chance_decides, other_designs
from pretraining_gain.plan.pools import POOLS
from pretraining_gain.tell.figures.declare import Runs, figure
from pretraining_gain.tell.figures.inert import plotly_text
from pretraining_gain.tell.figures.style import BLUE, GREY, ORANGE, TOP1_HOVER, interval_bars, legend_once, panels
from pretraining_gain.tell.figures.subsets import published, random_with_all

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

_WAYS = {"everything trained": (BLUE, "circle"), "backbone frozen": (ORANGE, "square")}


@figure("B1", "Classes, images or steps", "15_beyond", Runs(select=other_designs))
def figure_designs(results: StudyResults) -> go.Figure:
    """Draw top-1 against k in the original design (solid) and with one thing changed (dashed), one panel per design."""
    curves = results.designs
    names = list(dict.fromkeys(curves["panel"]))
    titles = [name.replace("_", " ") for name in names]
    drawn = panels(titles, 110, 1.14, y_title="top-1", shared_yaxes=True, horizontal_spacing=0.03)
    for (panel, pool, way), part in curves.groupby(["panel", "pool", "way"], sort=False):
        part, style, as_published = part.sort_values("k"), POOLS[pool], way == "as published"
        name = f"{style.label}, {'original design' if as_published else 'changed'}"
        trace = go.Scatter(
            x=part["k"], y=part["mean"], name=name, legendgroup=name, mode="lines+markers",
            line={"color": style.colour, "dash": "solid" if as_published else "dash"},
            marker={"symbol": style.marker if as_published else f"{style.marker}-open", "size": 10},
            error_y=interval_bars(part), customdata=part[["low", "high", "pretrain_images", "pretrain_steps"]],
            hovertemplate=f"<b>{name}</b>, k = %{{x}}<br>{TOP1_HOVER}"
            "<br>%{customdata[2]:,.0f} images, %{customdata[3]:,.0f} gradient steps<extra></extra>",
        )
        drawn.add_trace(trace, row=1, col=names.index(panel) + 1)
    return legend_once(drawn).update_xaxes(title="pretraining classes", rangemode="tozero")


@figure("B2", "Each target finetuned with and without a frozen backbone", "15_beyond", Runs(select=both_ways))
def figure_freezing(results: StudyResults) -> go.Figure:
    """Draw what pretraining adds, and what animal classes add over non-animal ones, each target finetuned both ways."""
    freezing = results.freezing
    quantities = list(dict.fromkeys(freezing["quantity"]))
    titles = [title.replace(" of ", " of<br>").replace(" − ", " −<br>") for title in quantities]  # for a phone
    drawn = panels(titles, 100, 1.16, y_title="difference in top-1, points", horizontal_spacing=0.15)
    for (quantity, way), part in freezing.groupby(["quantity", "way"], sort=False):
        colour, symbol = _WAYS[way]
        trace = go.Scatter(
            x=part["domain"].str.replace(" domain", "<br>domain"), y=100 * part["mean"], name=way, legendgroup=way,
            mode="lines+markers", line={"color": colour, "dash": "dot"},
            marker={"color": colour, "symbol": symbol, "size": 11}, error_y=interval_bars(part, scale=100),
            customdata=part[["target", "n_seeds"]].map(plotly_text).assign(low=100 * part["low"], high=100 * part["high"]),
            hovertemplate=f"<b>%{{customdata[0]}}, {way}</b><br>%{{y:+.1f}} points, interval %{{customdata[2]:+.1f}} to "
            "%{customdata[3]:+.1f}<br>%{customdata[1]} seeds<extra></extra>",
        )
        drawn.add_trace(trace, row=1, col=quantities.index(quantity) + 1)
    return legend_once(drawn)


@figure("B3", "Representation assigned by chance", "15_beyond", Runs(select=chance_decides))
def figure_assigned(results: StudyResults) -> go.Figure | str:
    """Draw the effect on each species of having its class in the source, one panel per domain."""
    if not results.assigned:
        return f"In study {results.study.name}, chance decided for no two species of a target whether a source shows them."
    titles = [plotly_text(title, 32) for title in results.assigned]
    drawn = panels(titles, 50, 1.02, y_title="top-1 with its class − without, points", horizontal_spacing=0.12)
    for column, (table, _) in enumerate(results.assigned.values(), start=1):
        facts = table[["n_images", "supercategory"]].map(plotly_text).join(100 * table[["low", "high"]])
        bars = go.Bar(
            x=table["name"].map(plotly_text), y=100 * table["mean"], marker={"color": BLUE}, customdata=facts,
            error_y=interval_bars(table, scale=100) | {"color": GREY},
            hovertemplate="<b>%{x}</b> (%{customdata[1]}): %{y:+.1f} points with its class in the source, interval "
            "%{customdata[2]:+.1f} to %{customdata[3]:+.1f}<br>%{customdata[0]} images<extra></extra>",
        )
        drawn.add_trace(bars, row=1, col=column)
    return drawn.update_layout(showlegend=False).update_xaxes(type="category", tickangle=-50, automargin=True)


@figure("B4", "Expected and realised animal classes", "15_beyond", Runs(("out_of_domain", "in_domain"), pools_of="6"))
def figure_realised(results: StudyResults) -> go.Figure:
    """Draw Figure 6 at the animal classes that each subset really has (mean over seeds), beside the expected number."""
    arms = results.arms_by_target
    drawn = panels([plotly_text(title, 32) for title in arms], 80, 1.1, y_title="top-1", horizontal_spacing=0.12)
    for column, table in enumerate(arms.values(), start=1):
        for pool, part in random_with_all(published(table, "6")).groupby("pool"):
            label = POOLS[pool].label
            lines = {label: ("animal_classes", "solid")}
            if not np.allclose(part["animal_classes"], part["expected_animals"]):
                lines = {f"{label}, as drawn": ("animal_classes", "solid"), f"{label}, as expected": ("expected_animals", "dot")}
            for name, (place, dash) in lines.items():
                ordered = part.sort_values(place)
                trace = go.Scatter(
                    x=ordered[place], y=ordered["mean"], name=name, legendgroup=name,
                    mode="lines+markers", line={"color": POOLS[pool].colour, "dash": dash},
                    marker={"symbol": POOLS[pool].marker, "size": 9}, error_y=interval_bars(ordered, thickness=1),
                    customdata=ordered[["low", "high"]],
                    hovertemplate=f"<b>{name}</b>, %{{x:.1f}} animal classes<br>{TOP1_HOVER}<extra></extra>",
                )
                drawn.add_trace(trace, row=1, col=column)
    return legend_once(drawn).update_xaxes(title="animal classes in the source", rangemode="tozero")
