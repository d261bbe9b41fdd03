"""The learning curve of one run, in its own notebook; no chapter shows it."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.tell.figures.style import BLUE, LAYOUT, ORANGE


def learning_curve(history: list[dict[str, float]]) -> go.Figure:
    """Draw training loss and top-1 per epoch, as a run records them."""
    table = pd.DataFrame(history)
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.add_trace(go.Scatter(x=table["epoch"] + 1, y=table["loss"], name="loss", line={"color": ORANGE}))
    top1 = go.Scatter(x=table["epoch"] + 1, y=table["top1"], name="top-1", line={"color": BLUE})
    figure.add_trace(top1, secondary_y=True)
    figure.update_layout(**LAYOUT | {"height": 340}, xaxis={"title": "epoch"})
    figure.update_yaxes(title="training loss", rangemode="tozero", secondary_y=False)
    figure.update_yaxes(title="training top-1", tickformat=".0%", range=[0, 1], showgrid=False, secondary_y=True)
    return figure
