"""The learning curve of one run, in its own notebook, and those of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.plan.pools import FROM_SCRATCH, SCRATCH
from pretraining_gain.tell.figures.declare import Runs, figure
from pretraining_gain.tell.figures.style import BLUE, LAYOUT, ORANGE, SHARE_TICKS, legend_once, panels_layout

if TYPE_CHECKING:
    from pretraining_gain.tell.results.study import StudyResults


def learning_curve(history: list[dict[str, float]]) -> go.Figure:
    """Draw training loss and top-1 per epoch, as a run records them."""
    table = pd.DataFrame(history)
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.add_trace(go.Scatter(x=table["epoch"] + 1, y=table["loss"], name="loss", line={"color": ORANGE}))
    top1 = go.Scatter(x=table["epoch"] + 1, y=table["top1"], name="top-1", line={"color": BLUE})
    figure.add_trace(top1, secondary_y=True)
    figure.update_layout(**LAYOUT | {"height": 340}, xaxis={"title": "epoch"})
    figure.update_yaxes(title="training loss", rangemode="tozero", secondary_y=False)
    figure.update_yaxes(title="training top-1", tickformat=SHARE_TICKS, range=[0, 1], showgrid=False, secondary_y=True)
    return figure


@figure(
    "", "Learning curves with and without pretraining", "22_training",
    Runs(domains=("out_of_domain",), chosen=True),
)
def learning_curves(results: StudyResults) -> go.Figure:
    """Draw training loss and top-1 per epoch of every seed, with pretraining and from scratch, one panel each."""
    from pretraining_gain.tell.results.confusions import histories

    drawn = make_subplots(cols=2, subplot_titles=["training top-1", "training loss"], horizontal_spacing=0.12)
    styles = {SCRATCH: (FROM_SCRATCH.colour, "from scratch"), results.view.arm: (BLUE, "pretrained")}
    for (arm, seed), run in histories(results.out_of_domain, tuple(styles)).groupby(["arm", "seed"]):
        colour, name = styles[arm]
        for column, measure in enumerate(("top1", "loss"), start=1):
            trace = go.Scatter(
                x=run["epoch"] + 1, y=run[measure], name=name, legendgroup=name, mode="lines",
                line={"color": colour, "width": 1.5},
                hovertemplate=f"{name}, seed {seed}, epoch %{{x}}: %{{y:{'.1%' if column == 1 else '.3f'}}}<extra></extra>",
            )  # fmt: skip
            drawn.add_trace(trace, row=1, col=column)
    drawn.update_layout(**panels_layout(80, 1.1)).update_xaxes(title="epoch").update_yaxes(rangemode="tozero")
    return legend_once(drawn).update_yaxes(tickformat=SHARE_TICKS, col=1)
