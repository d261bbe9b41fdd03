"""Figures of what goes beyond the paper, as pure functions: a table in, a plotly figure out. No files, no randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.paths import results_of
from pretraining_gain.plan.pools import POOLS, SCRATCH
from pretraining_gain.tell.figures.declare import Files, Runs, figure
from pretraining_gain.tell.figures.subsets import DOMAINS, SCALED
from pretraining_gain.tell.figures.taxa import LAYOUT, interval_bars

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults
    from pretraining_gain.tell.statistics.estimates import Estimate
    from pretraining_gain.tell.validation.control_tables import ControlTables

_AS_PUBLISHED = "as published"


@figure(
    key="figure_designs",
    number="B1",
    title="Classes, images or steps",
    notebook="15_beyond",
    needs=Runs(DOMAINS[:1], designs="compared"),
)
def designs(results: StudyResults) -> go.Figure | str:
    """Draw the curves of the study's other designs beside the published ones."""
    return results.absent if results.designs.empty else figure_designs(results.designs)


@figure(
    key="figure_freezing",
    number="B2",
    title="Each target finetuned with and without a frozen backbone",
    notebook="15_beyond",
    needs=Runs(
        DOMAINS,
        ("all", "animal", "non_animal", SCRATCH),
        designs="published",
        both_ways=True,
        largest_shared_k=True,
    ),
)
def freezing(results: StudyResults) -> go.Figure | str:
    """Draw gain and contrast of both targets, finetuned both ways."""
    return results.absent if results.freezing.empty else figure_freezing(results.freezing)


@figure(
    key="figure_realised",
    number="B4",
    title="Expected and realised animal classes",
    notebook="15_beyond",
    needs=SCALED,
)
def realised(results: StudyResults) -> go.Figure:
    """Draw Figure 6 at the animal classes that each random subset really holds."""
    return figure_realised(results.arms_by_target, results.animal_share)


@figure(
    key="figure_assigned",
    number="B3",
    title="Representation assigned by chance",
    notebook="15_beyond",
    needs=Runs(DOMAINS, ("half_animal",)),
)
def assigned(results: StudyResults) -> go.Figure | str:
    """Draw the effect of representation that chance decides."""
    return figure_assigned(results.assigned) if results.assigned else results.absent


@figure(
    key="figure_power",
    number="K1",
    title="How often each verdict is reached",
    notebook="16_controls",
    needs=Files("controls", "Simulated studies", lambda controls: [controls.path("power")]),
)
def power(controls: ControlTables) -> go.Figure:
    """Draw the power curves of the controls."""
    return figure_power(controls.curves)


@figure(
    key="figure_anchors",
    number="K2",
    title="Trained networks with a known answer",
    notebook="17_anchors",
    needs=Files("anchors", "Study anchors", lambda _: [results_of("anchors") / "runs.csv"]),
)
def anchors(table: pd.DataFrame) -> go.Figure:
    """Draw the anchors of the controls."""
    return figure_anchors(table)


def figure_designs(curves: pd.DataFrame) -> go.Figure:
    """Top-1 against k as published (solid) and with one thing changed (dashed), a panel a design.

    `curves` as from `design_curves`; colours and marks are the pools'.
    """
    panels = list(dict.fromkeys(curves["panel"]))
    titles = [name.replace("_", " ") for name in panels]
    figure = make_subplots(cols=len(panels), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.03)
    for column, panel in enumerate(panels, start=1):
        shown = curves[curves["panel"] == panel]
        for (pool, way), part in shown.groupby(["pool", "way"], sort=False):
            figure.add_trace(_curve(pool, way, part.sort_values("k"), column == 1), row=1, col=column)
    figure.update_layout(**LAYOUT | {"margin": {"l": 60, "r": 15, "t": 110, "b": 60}})
    figure.update_layout(legend={"y": 1.14})
    figure.update_xaxes(title="pretraining classes", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%")
    figure.update_yaxes(title="top-1", col=1)
    return figure


def _curve(pool: str, way: str, part: pd.DataFrame, first: bool) -> go.Scatter:
    style = POOLS[pool]
    published = way == _AS_PUBLISHED
    name = f"{style.label}, {_AS_PUBLISHED if published else 'changed'}"
    return go.Scatter(
        x=part["k"],
        y=part["mean"],
        name=name,
        legendgroup=name,
        showlegend=first,
        mode="lines+markers",
        line={"color": style.colour, "dash": "solid" if published else "dash"},
        marker={"symbol": style.marker if published else f"{style.marker}-open", "size": 10},
        error_y=interval_bars(part, thickness=1.5),
        customdata=part[["low", "high", "pretrain_images", "pretrain_steps"]],
        hovertemplate=f"<b>{name}</b>, k = %{{x}}<br>top-1 %{{y:.1%}}, interval %{{customdata[0]:.1%}} to %{{customdata[1]:.1%}}"
        "<br>%{customdata[2]:,.0f} images, %{customdata[3]:,.0f} gradient steps<extra></extra>",
    )


def figure_freezing(freezing: pd.DataFrame) -> go.Figure:
    """Each target finetuned both ways: what pretraining brings, and what animal classes bring over non-animal ones.

    `freezing` as from `freezing_by_domain`.
    """
    quantities = list(dict.fromkeys(freezing["quantity"]))
    titles = [title.replace(" of ", " of<br>").replace(" − ", " −<br>") for title in quantities]  # for a phone
    figure = make_subplots(cols=len(quantities), subplot_titles=titles, horizontal_spacing=0.15)
    styles = {"everything trained": ("#0072B2", "circle"), "backbone frozen": ("#D55E00", "square")}
    for column, quantity in enumerate(quantities, start=1):
        for way, (colour, symbol) in styles.items():
            part = freezing[(freezing["quantity"] == quantity) & (freezing["way"] == way)]
            figure.add_trace(
                go.Scatter(
                    x=part["domain"].str.replace(" domain", "<br>domain"),
                    y=part["mean"],
                    name=way,
                    legendgroup=way,
                    showlegend=column == 1,
                    mode="lines+markers",
                    line={"color": colour, "dash": "dot"},
                    marker={"color": colour, "symbol": symbol, "size": 11},
                    error_y=interval_bars(part, thickness=1.5),
                    customdata=part[["low", "high", "target", "n_seeds"]],
                    hovertemplate=f"<b>%{{customdata[2]}}, {way}</b><br>%{{y:+.1%}}, interval %{{customdata[0]:+.1%}} to "
                    "%{customdata[1]:+.1%}<br>%{customdata[3]} seeds<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_layout(**LAYOUT | {"margin": {"l": 60, "r": 15, "t": 100, "b": 60}})
    figure.update_layout(legend={"y": 1.16})
    figure.update_yaxes(tickformat="+.0%", zeroline=True)
    figure.update_yaxes(title="difference in top-1", col=1)
    return figure


def figure_realised(arms: dict[str, pd.DataFrame], animal_share: float) -> go.Figure:
    """Figure 6 with each random subset at the animals it really holds (mean over seeds), beside the expected number.

    `arms` maps a target's title to its table from `arm_accuracy`.
    """
    figure = make_subplots(cols=len(arms), subplot_titles=list(arms), horizontal_spacing=0.12)
    for column, table in enumerate(arms.values(), start=1):
        top1 = table[(table["quantity"] == "top1") & (table["design"] == "")]
        random = top1[top1["pool"].isin(["random", "all"])].assign(pool="random")
        lines = {
            "animal classes": (top1[top1["pool"] == "animal"], "animal", "solid"),
            "random, as drawn": (random, "random", "solid"),
            "random, as expected": (random.assign(animal_classes=random["k"] * animal_share), "random", "dot"),
        }
        for name, (part, pool, dash) in lines.items():
            colour, symbol = POOLS[pool].colour, POOLS[pool].marker
            ordered = part.sort_values("animal_classes")
            figure.add_trace(
                go.Scatter(
                    x=ordered["animal_classes"],
                    y=ordered["mean"],
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    mode="lines+markers",
                    line={"color": colour, "dash": dash},
                    marker={"symbol": symbol, "size": 9},
                    error_y=interval_bars(ordered, thickness=1),
                    hovertemplate=f"<b>{name}</b><br>%{{x:.1f}} animal classes: top-1 %{{y:.1%}}<extra></extra>",
                ),
                row=1,
                col=column,
            )
    figure.update_layout(**LAYOUT | {"margin": {"l": 60, "r": 15, "t": 80, "b": 60}})
    figure.update_layout(legend={"y": 1.1})
    figure.update_xaxes(title="animal classes in the source", rangemode="tozero")
    figure.update_yaxes(tickformat=".0%")
    return figure


def figure_assigned(assigned: dict[str, tuple[pd.DataFrame, Estimate]]) -> go.Figure:
    """Effect on each species of having its class in the source, when chance decides, a panel a domain.

    `assigned` as from `assigned_effects`.
    """
    figure = make_subplots(cols=len(assigned), subplot_titles=list(assigned), horizontal_spacing=0.12)
    for column, (table, _) in enumerate(assigned.values(), start=1):
        bars = go.Bar(
            x=table["name"],
            y=table["mean"],
            marker={"color": "#0072B2"},
            customdata=table[["n_images", "supercategory"]],
            hovertemplate="<b>%{x}</b> (%{customdata[1]}): %{y:+.1%} with its class in the source<br>"
            "%{customdata[0]} images<extra></extra>",
        )
        figure.add_trace(bars, row=1, col=column)
    figure.update_layout(**LAYOUT, showlegend=False)
    figure.update_xaxes(tickangle=-50, automargin=True)
    figure.update_yaxes(tickformat="+.0%", zeroline=True)
    figure.update_yaxes(title="top-1 with its class − without", col=1)
    return figure


def figure_power(curves: pd.DataFrame) -> go.Figure:
    """How often a claim comes out supported and contradicted against the effect that is planted; a menu chooses the claim.

    `curves`: one row a claim, number of seeds and effect, with `supported`, `contradicted` (shares of `repetitions`),
    `test` and `margin`. Dotted: the bound, 0 or the margin, on whose right side the claim is true for `greater` and false
    for `equal`.
    """
    claims, figure = (
        list(dict.fromkeys(curves["claim"])),
        make_subplots(cols=2, subplot_titles=["supported", "contradicted"]),
    )
    seeds = sorted(set(curves["n_seeds"]))
    for claim in claims:
        for n_seeds, (colour, symbol) in zip(seeds, _SEED_STYLE, strict=False):
            part = curves[(curves["claim"] == claim) & (curves["n_seeds"] == n_seeds)].sort_values("effect")
            for column, verdict in enumerate(("supported", "contradicted"), start=1):
                figure.add_trace(
                    go.Scatter(
                        x=part["effect"],
                        y=part[verdict],
                        name=f"{n_seeds} seeds",
                        legendgroup=str(n_seeds),
                        showlegend=column == 1,
                        visible=claim == claims[0],
                        mode="lines+markers",
                        line={"color": colour},
                        marker={"symbol": symbol, "size": 9},
                        customdata=part[["repetitions"]],
                        hovertemplate=f"<b>{claim}, {n_seeds} seeds</b><br>planted %{{x:+.1%}}: {verdict} in %{{y:.0%}} "
                        "of %{customdata[0]} repetitions<extra></extra>",
                    ),
                    row=1,
                    col=column,
                )
    per_claim = 2 * len(seeds)
    bounds = {claim: _bound(curves[curves["claim"] == claim]) for claim in claims}
    buttons = [
        {
            "label": claim,
            "method": "update",
            "args": [
                {"visible": [i // per_claim == number for i in range(per_claim * len(claims))]},
                {"shapes": bounds[claim]},
            ],
        }
        for number, claim in enumerate(claims)
    ]
    figure.update_layout(**LAYOUT | {"margin": {"l": 60, "r": 15, "t": 110, "b": 60}})
    figure.update_layout(
        legend={"y": 1.14, "x": 0.2},
        shapes=bounds[claims[0]],
        updatemenus=[{"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.3, "yanchor": "top"}],
    )
    figure.update_xaxes(title="planted effect, top-1", tickformat="+.0%")
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03])
    figure.update_yaxes(title="share of repetitions", col=1)
    return figure


_SEED_STYLE = [("#D55E00", "square"), ("#0072B2", "circle"), ("#009E73", "diamond")]


def _bound(part: pd.DataFrame) -> list[dict]:
    """The dotted lines of one claim, on both panels."""
    at = float(part["margin"].iloc[0]) if part["test"].iloc[0] == "equal" else 0.0
    line = {
        "type": "line",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "line": {"color": "#767676", "dash": "dot", "width": 1},
    }
    return [line | {"xref": x, "yref": f"{y} domain"} for x, y in (("x", "y"), ("x2", "y2"))]


def figure_anchors(anchors: pd.DataFrame) -> go.Figure:
    """Planted effects in trained networks, with interval, beside the same estimate in simulated studies.

    `anchors` as from `AnchorView.table`.
    """
    figure = go.Figure()
    marks = zip(anchors.groupby("target", sort=False), ("#0072B2", "#D55E00"), ("circle", "square"), strict=False)
    for (target, part), colour, symbol in marks:
        figure.add_trace(
            go.Scatter(
                x=part["effect"],
                y=part["source"],
                name=f"{target}, trained",
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 11},
                error_x=interval_bars(part.rename(columns={"effect": "mean"})),
                customdata=part[["low", "high", "se"]],
                hovertemplate="<b>%{y}</b><br>%{x:+.1%}, interval %{customdata[0]:+.1%} to %{customdata[1]:+.1%}"
                "<br>standard error %{customdata[2]:.2%}<extra></extra>",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=part["simulated"],
                y=part["source"],
                name=f"{target}, simulated",
                mode="markers",
                marker={"color": colour, "symbol": f"{symbol}-open", "size": 17},
                customdata=part[["simulated_se", "se_low", "se_high"]],
                hovertemplate="<b>%{y}</b><br>simulated %{x:+.1%}, varying by %{customdata[0]:.2%}"
                "<br>own standard errors %{customdata[1]:.2%} to %{customdata[2]:.2%}<extra></extra>",
            )
        )
    figure.add_vline(x=0, line={"color": "#767676", "width": 1})
    figure.update_layout(**LAYOUT | {"margin": {"l": 60, "r": 15, "t": 110, "b": 60}})
    figure.update_xaxes(title="gain, species in the source − others", tickformat="+.0%")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure
