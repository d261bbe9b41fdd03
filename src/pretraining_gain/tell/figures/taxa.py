"""The paper's figures as pure functions: a table in, a plotly figure out. No files, no randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.plan.pools import FROM_SCRATCH, POOLS, SCRATCH
from pretraining_gain.plan.representation import NONE, SOME
from pretraining_gain.plan.taxonomy import TAXON_COLUMNS
from pretraining_gain.tell.figures.declare import Runs, figure

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults

REPRESENTATION_STYLE = {SOME: ("#009E73", "square"), NONE: ("#D55E00", "diamond")}
BEST_STYLE = ("#0072B2", "circle")  # of what the source represents best, whatever the study calls it
LAYOUT = {
    "template": "plotly_white",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 60, "r": 15, "t": 50, "b": 60},
    "height": 460,
    "font": {"size": 14},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
}


OF_ALL_CLASSES = Runs(domains=("out_of_domain",), pools_of="1", designs="published", chosen=True)


@figure(key="figure_1", number="1", title="Pretraining gain of each species", notebook="10_taxa", needs=OF_ALL_CLASSES)
def figure_1(results: StudyResults) -> go.Figure:
    """Draw Figure 1 of the paper."""
    return figure1_gain_by_taxon(results.figure1_species)


@figure(
    key="figure_2",
    number="2",
    title="Top-1 with and without pretraining by supercategory",
    notebook="10_taxa",
    needs=OF_ALL_CLASSES,
)
def figure_2(results: StudyResults) -> go.Figure:
    """Draw Figure 2 of the paper."""
    return figure2_supercategories(results.supercategories)


def figure1_gain_by_taxon(species: pd.DataFrame) -> go.Figure:
    """Figure 1: pretraining gain of each species, grouped by family, order or supercategory (a menu), coloured by representation.

    `species` as from `species_gains`. Groups stand in the order of their mean gain; bars are 95 % intervals.
    """
    figure = go.Figure()
    present = sorted(set(species["representation"]), key=_by_style)
    parts = {name: species[species["representation"] == name] for name in present}
    for name, part in parts.items():
        colour, symbol = REPRESENTATION_STYLE.get(name, BEST_STYLE)
        figure.add_trace(
            go.Scatter(
                x=part["family"].map(_short),
                y=part["mean"],
                name=name,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9},
                error_y=interval_bars(part, thickness=1),
                customdata=part[["name", "family", "n_images", "low", "high"]],
                hovertemplate="<b>%{customdata[0]}</b> (%{customdata[1]})<br>gain %{y:+.1%}, interval %{customdata[3]:+.1%} to "
                f"%{{customdata[4]:+.1%}}<br>%{{customdata[2]}} images; representation: {name}<extra></extra>",
            )
        )
    figure.add_hline(y=0, line={"color": "#767676", "width": 1})
    buttons = [_grouping_button(species, list(parts.values()), column) for column in reversed(TAXON_COLUMNS)]
    figure.update_layout(
        **LAYOUT | {"height": 560},
        updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.15, "yanchor": "top"}],
        xaxis={
            "categoryorder": "array",
            "categoryarray": _by_gain(species, "family"),
            "tickangle": -50,
            "dtick": 1,
            "tickfont": {"size": 11},
            "title": "family",
            "automargin": True,
        },
        yaxis={"title": "pretraining gain (top-1)", "tickformat": "+.0%"},
    )
    return figure


def _grouping_button(species: pd.DataFrame, parts: list[pd.DataFrame], column: str) -> dict:
    xs = [part[column].map(_short).tolist() for part in parts]
    axis = {"xaxis.title.text": column, "xaxis.categoryarray": _by_gain(species, column)}
    return {"label": f"by {column}", "method": "update", "args": [{"x": xs}, axis]}


def _by_gain(species: pd.DataFrame, column: str) -> list[str]:
    return species.groupby(species[column].map(_short))["mean"].mean().sort_values(ascending=False).index.tolist()


def _by_style(representation: str) -> int:
    """Best represented first, `none` last."""
    return [*REPRESENTATION_STYLE].index(representation) if representation in REPRESENTATION_STYLE else -1


def _short(taxon: str) -> str:
    """A taxon as an axis can show it; the full text is shown where one points."""
    return taxon if len(taxon) <= 24 else f"{taxon[:23].rstrip()}…"


def figure2_supercategories(groups: pd.DataFrame) -> go.Figure:
    """Figure 2: top-1 with and without pretraining in each supercategory. `groups` as from `group_accuracy`."""
    figure = go.Figure()
    order = groups[groups["quantity"] == "gain"].sort_values("mean", ascending=False)["group"].tolist()
    for quantity, colour, label in [
        (SCRATCH, FROM_SCRATCH.colour, "from scratch"),
        ("pretrained", POOLS["animal"].colour, "pretrained"),
    ]:
        part = groups[groups["quantity"] == quantity].set_index("group").loc[order].reset_index()
        figure.add_trace(
            go.Bar(
                x=part["group"],
                y=part["mean"],
                name=label,
                marker={"color": colour},
                error_y=interval_bars(part),
                customdata=part[["low", "high", "n_classes", "n_images"]],
                hovertemplate="<b>%{x}</b>, "
                + label
                + "<br>top-1 %{y:.1%}, interval %{customdata[0]:.1%} to %{customdata[1]:.1%}"
                "<br>%{customdata[2]} species, %{customdata[3]} images<extra></extra>",
            )
        )
    figure.update_layout(
        **LAYOUT,
        barmode="group",
        xaxis={"automargin": True},
        yaxis={"title": "top-1", "tickformat": ".0%", "rangemode": "tozero"},
    )
    return figure


def learning_curve(history: list[dict[str, float]]) -> go.Figure:
    """Training loss and top-1 by epoch, as recorded by a run."""
    table = pd.DataFrame(history)
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.add_trace(go.Scatter(x=table["epoch"] + 1, y=table["loss"], name="loss", line={"color": "#D55E00"}))
    figure.add_trace(
        go.Scatter(x=table["epoch"] + 1, y=table["top1"], name="top-1", line={"color": "#0072B2"}), secondary_y=True
    )
    figure.update_layout(**LAYOUT | {"height": 340}, xaxis={"title": "epoch"})
    figure.update_yaxes(title="training loss", rangemode="tozero", secondary_y=False)
    figure.update_yaxes(title="training top-1", tickformat=".0%", range=[0, 1], showgrid=False, secondary_y=True)
    return figure


def interval_bars(table: pd.DataFrame, **style: float) -> dict:
    return {
        "type": "data",
        "symmetric": False,
        "array": (table["high"] - table["mean"]).clip(lower=0),
        "arrayminus": (table["mean"] - table["low"]).clip(lower=0),
        "width": 0,
        **style,
    }
