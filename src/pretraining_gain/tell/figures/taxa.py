"""Figures 1 and 2: pretraining gain by species, and top-1 by supercategory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.plan.pools import FROM_SCRATCH, SCRATCH
from pretraining_gain.plan.relatives import RANKS, UNRELATED
from pretraining_gain.plan.representation import NONE, SOME
from pretraining_gain.plan.species import NOT_STATED, TAXON_COLUMNS
from pretraining_gain.tell.figures.declare import Runs, figure
from pretraining_gain.tell.figures.inert import plotly_text
from pretraining_gain.tell.figures.style import (
    BLUE,
    GREEN,
    GREY,
    LAYOUT,
    ORANGE,
    POINTS_TICKS,
    PURPLE,
    RULE,
    SHARE_TICKS,
    SKY,
    TOP1_HOVER,
    YELLOW,
    interval_bars,
)

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

#: Colour and marker by representation in the source, best first. `best` stands for whatever the study calls it.
REPRESENTATION_STYLES = {
    "best": (BLUE, "circle"), SOME: (GREEN, "square"), NONE: (ORANGE, "diamond"), NOT_STATED: (FROM_SCRATCH.colour, "x")
}  # fmt: skip
#: The same by the rank shared with the nearest source class, nearest first: from cool to warm colours.
_RANK_LOOKS = ((BLUE, "circle"), (SKY, "triangle-up"), (GREEN, "square"), (YELLOW, "triangle-down"), (ORANGE, "diamond"),
               (PURPLE, "star"), (GREY, "cross"))  # fmt: skip
_RANK_WORDS = {rank: f"same {rank}" for rank in RANKS} | {UNRELATED: "another phylum"}
_RANK_STYLES = dict(zip(_RANK_WORDS.values(), _RANK_LOOKS, strict=True)) | {NOT_STATED: REPRESENTATION_STYLES[NOT_STATED]}
_NEEDS = Runs(domains=("out_of_domain",), chosen=True)
_OF_GROUPS = Runs(domains=("out_of_domain",), chosen=True, across="supercategory")


@figure("1", "Pretraining gain of each species", "10_taxa", _NEEDS)
def figure_1(results: StudyResults) -> go.Figure | str:
    """Draw the gain of each species, in points, coloured by `_colouring`; a menu groups by family, order or supercategory.

    Offers the levels that the class table states; without any, each species stands alone. Groups stand in the order of their
    mean gain; bars are 95 % intervals.
    """
    species = results.figure1_species
    if species.empty:
        return f"No species of {results.out_of_domain.downstream.title} is a bird of a family that the source names."
    levels = [column for column in reversed(TAXON_COLUMNS) if (species[column] != NOT_STATED).any()] or ["name"]
    places = {column: _short(species[column]) for column in levels}
    orders = {column: species.groupby(at)["mean"].mean().sort_values(ascending=False).index for column, at in places.items()}
    shown, values, styles = _colouring(results, species)
    known = list(styles)
    present = sorted(set(values), key=lambda name: known.index(name) if name in known else 0)
    parts = {name: species[values == name] for name in present}
    drawn = go.Figure()
    for name, part in parts.items():
        colour, symbol = styles.get(name, REPRESENTATION_STYLES["best"])
        drawn.add_trace(
            go.Scatter(
                x=places[levels[0]][part.index], y=100 * part["mean"], name=name, mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9},
                error_y=interval_bars(part, scale=100, thickness=1),
                customdata=pd.DataFrame({
                    "species": part["name"].map(plotly_text), "group": part[levels[0]].map(plotly_text),
                    "n": part["n_images"], "low": 100 * part["low"], "high": 100 * part["high"],
                }),
                hovertemplate="<b>%{customdata[0]}</b> (%{customdata[1]})<br>gain %{y:+.1f} points, interval "
                "%{customdata[3]:+.1f} to %{customdata[4]:+.1f}<br>%{customdata[2]} images; "
                f"{shown}: {name}<extra></extra>",
            )
        )  # fmt: skip
    drawn.add_hline(y=0, line=RULE)
    buttons = []
    for column in levels:
        xs = [places[column][part.index].tolist() for part in parts.values()]
        axis = {"xaxis.title.text": column, "xaxis.categoryarray": orders[column].tolist()}
        buttons.append({"label": f"by {column}", "method": "update", "args": [{"x": xs}, axis]})
    drawn.update_layout(
        **LAYOUT | {"height": 560},
        updatemenus=[{"name": "Group", "buttons": buttons, "x": 1, "xanchor": "right", "y": 1.15, "yanchor": "top"}],
        xaxis={"type": "category", "categoryorder": "array", "categoryarray": orders[levels[0]].tolist(), "tickangle": -50,
               "dtick": 1, "tickfont": {"size": 11}, "title": levels[0], "automargin": True},
        yaxis={"title": "pretraining gain in top-1, points", "tickformat": POINTS_TICKS},
    )  # fmt: skip
    return drawn


def _colouring(results: StudyResults, species: pd.DataFrame) -> tuple[str, pd.Series, dict[str, tuple[str, str]]]:
    """Return what the colours of Figure 1 show, its value for each species, and the look of each value in the legend's order.

    They show the lowest rank that a species shares with a source class, where that takes more values than representation.
    """
    ranks = species["class_id"].map(results.out_of_domain.nearest_ranks)
    if ranks.nunique() > species["representation"].nunique():
        return "nearest source class", ranks.map(_RANK_WORDS).fillna(NOT_STATED), _RANK_STYLES
    return "representation", species["representation"], REPRESENTATION_STYLES


def _short(names: pd.Series) -> pd.Series:
    """Cut names to 32 characters for an axis, but for those that would then be alike; hover texts show all in full."""
    full, cut = names.map(plotly_text), names.map(lambda name: plotly_text(name, 32))
    return cut.where(full.groupby(cut).transform("nunique") == 1, full)


@figure("2", "Top-1 with and without pretraining by supercategory", "10_taxa", _OF_GROUPS)
def figure_2(results: StudyResults) -> go.Figure:
    """Draw top-1 with and without pretraining in each supercategory, largest gain first."""
    groups = results.supercategories
    order = groups[groups["quantity"] == "gain"].sort_values("mean", ascending=False)["group"].tolist()
    drawn = go.Figure()
    for quantity, colour, label in ((SCRATCH, FROM_SCRATCH.colour, "from scratch"), ("pretrained", BLUE, "pretrained")):
        part = groups[groups["quantity"] == quantity].set_index("group").loc[order].reset_index()
        drawn.add_trace(
            go.Bar(
                x=_short(part["group"]), y=part["mean"], name=label, marker={"color": colour}, error_y=interval_bars(part),
                customdata=part[["low", "high", "n_classes", "n_images"]],
                hovertemplate=f"<b>%{{x}}</b>, {label}<br>{TOP1_HOVER}"
                "<br>%{customdata[2]} species, %{customdata[3]} images<extra></extra>",
            )
        )
    yaxis = {"title": "top-1", "tickformat": SHARE_TICKS, "rangemode": "tozero"}
    drawn.update_layout(**LAYOUT, barmode="group", xaxis={"type": "category", "automargin": True}, yaxis=yaxis)
    return drawn
