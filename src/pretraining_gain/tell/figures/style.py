"""Layout and error bars that all figures share."""

from __future__ import annotations

from typing import Any

import pandas as pd

#: Colours of Okabe and Ito's palette, which readers with any colour vision can tell apart, and a grey for rules.
BLUE, ORANGE, GREEN, YELLOW, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#767676"
RULE = {"color": GREY, "width": 1}
DOTTED_RULE = RULE | {"dash": "dot"}
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 60, "r": 15, "t": 50, "b": 60},
    "height": 460,
    "font": {"size": 14},
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
}


def panels_layout(top_px: int, legend_y: float) -> dict[str, Any]:
    """Return the layout of a figure with panels: room for their titles and, above them, for the legend."""
    return LAYOUT | {
        "margin": {"l": 60, "r": 15, "t": top_px, "b": 60},
        "legend": {**LAYOUT["legend"], "y": legend_y},
    }


def interval_bars(table: pd.DataFrame, scale: float = 1, thickness: float = 1.5) -> dict[str, Any]:
    """Return error bars from the columns `mean`, `low` and `high`; `scale` 100 turns fractions into points."""
    return {
        "type": "data",
        "symmetric": False,
        "array": scale * (table["high"] - table["mean"]).clip(lower=0),
        "arrayminus": scale * (table["mean"] - table["low"]).clip(lower=0),
        "width": 0,
        "thickness": thickness,
    }
