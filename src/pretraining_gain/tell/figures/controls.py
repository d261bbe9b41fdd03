"""Figure K1: how often the verdict of a claim is right and wrong, against the effect that is planted."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from pretraining_gain.tell.claims.parts import CONTRADICTED, SUPPORTED
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.style import DOTTED_RULE, POINTS_TICKS, SEED_STYLES, panels

if TYPE_CHECKING:
    from pretraining_gain.tell.validation.tables import ControlTables

@figure(
    "K1", "How often each verdict is reached", "16_controls",
    Files("controls", "Simulated studies", lambda controls: [controls.path("power")]),
)
def figure_power(controls: ControlTables) -> go.Figure:
    """Draw the share of simulated studies that support and contradict a claim, by planted effect; a menu chooses the claim.

    A dotted line marks the bound, 0 or the margin: to its right a claim of the test `greater` is true, one of `equal` false.
    """
    curves = controls.curves
    claims, seeds = list(dict.fromkeys(curves["claim"])), sorted(set(curves["n_seeds"]))
    drawn = panels([SUPPORTED, CONTRADICTED], 110, 1.14, y_title="share of repetitions")
    for claim, n_seeds, (column, verdict) in product(claims, seeds, enumerate([SUPPORTED, CONTRADICTED], 1)):
        colour, symbol = SEED_STYLES[seeds.index(n_seeds)]
        part = curves[(curves["claim"] == claim) & (curves["n_seeds"] == n_seeds)].sort_values("effect")
        trace = go.Scatter(
            x=100 * part["effect"], y=part[verdict], name=f"{n_seeds} seeds", legendgroup=str(n_seeds),
            showlegend=column == 1, visible=claim == claims[0], mode="lines+markers", line={"color": colour},
            marker={"symbol": symbol, "size": 9}, customdata=part[["repetitions"]],
            hovertemplate=f"<b>{claim}, {n_seeds} seeds</b><br>planted %{{x:+.1f}} points: {verdict} in %{{y:.0%}} "
            "of %{customdata[0]} repetitions<extra></extra>",
        )
        drawn.add_trace(trace, row=1, col=column)
    bounds, buttons = {}, []
    for claim in claims:
        row = curves[curves["claim"] == claim].iloc[0]
        at = 100 * float(row["margin"]) if row["test"] == "equal" else 0.0
        line = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": DOTTED_RULE}
        bounds[claim] = [line | {"xref": axis, "yref": f"{axis.replace('x', 'y')} domain"} for axis in ("x", "x2")]
        visible = [one == claim for one in claims for _ in range(2 * len(seeds))]
        buttons.append({"label": claim, "method": "update", "args": [{"visible": visible}, {"shapes": bounds[claim]}]})
    menu = {"name": "Claim", "buttons": buttons, "x": 1, "xanchor": "right", "y": 1.3, "yanchor": "top"}
    drawn.update_layout(updatemenus=[menu], shapes=bounds[claims[0]])
    drawn.update_xaxes(title="planted effect on top-1, points", tickformat=POINTS_TICKS)
    return drawn.update_yaxes(range=[-0.03, 1.03])
