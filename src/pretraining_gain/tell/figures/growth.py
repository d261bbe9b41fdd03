"""Figure G1: how the analysis grows with the number of species."""

from __future__ import annotations

import plotly.graph_objects as go

from pretraining_gain.paths import results_of
from pretraining_gain.tell.figures.declare import Files, figure


@figure(
    key="figure_growth",
    number="G1",
    title="Time by number of species",
    notebook="22_growth",
    needs=Files("growth", "Simulated results of study paper", lambda _: [results_of("bench", "growth.json") / "growth.json"]),
)
def figure_growth(_: None) -> go.Figure:
    """Draw the processor time of each step of the analysis."""
    from pretraining_gain.tell.software.growth import figure_species

    return figure_species()
