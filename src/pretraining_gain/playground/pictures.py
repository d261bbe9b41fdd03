"""Draw curves and gains as plotly widgets, which any notebook with anywidget updates in place, without a network."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pretraining_gain.errors import InputError
from pretraining_gain.paths import public
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.runs import Run
from pretraining_gain.playground.outcome import Outcome, stored_gains
from pretraining_gain.playground.work import Work, title_of
from pretraining_gain.tell.figures.inert import plotly_text
from pretraining_gain.tell.figures.style import GREY, LAYOUT, SHARE_TICKS, interval_bars

_MEASURES = {"top1": "training top-1", "loss": "training loss"}
_OWN = "#222222"


def curves_widget() -> go.FigureWidget:
    """Return an empty chart of training top-1 and training loss by epoch."""
    figure = make_subplots(1, 2, subplot_titles=[*_MEASURES.values()])
    figure.update_layout(**LAYOUT | {"height": 300, "margin": {"l": 50, "r": 15, "t": 70, "b": 45}})
    figure.update_layout(legend_y=1.15, yaxis={"tickformat": SHARE_TICKS, "range": [0, 1.02]}, yaxis2={"rangemode": "tozero"})
    return go.FigureWidget(figure.update_xaxes(title="epoch"))


def show_curves(figure: go.FigureWidget, work: Work) -> None:
    """Draw the epochs so far of every run of `work`, in the colours of the book's figures."""
    histories = work.histories()
    names = [f"{run.run_id} {measure}" for run in histories for measure in _MEASURES]
    if [trace.meta for trace in figure.data] != names:
        figure.data, traces = [], []
        for run in histories:
            pool = run.plan.starts[run.pool]
            line = {"color": pool.colour, "dash": pool.dash if run.downstream else "dot"}
            look = {"name": title_of(run), "legendgroup": run.run_id, "mode": "lines+markers", "line": line}
            traces += [go.Scatter(showlegend=measure == "top1", marker_size=4, **look) for measure in _MEASURES]
        figure.add_traces(traces, rows=[1] * len(traces), cols=[1, 2] * len(histories))
    with figure.batch_update():
        drawn = [(history, measure) for history in histories.values() for measure in _MEASURES]
        for trace, name, (history, measure) in zip(figure.data, names, drawn, strict=True):
            trace.x, trace.y = [epoch["epoch"] + 1 for epoch in history], [epoch[measure] for epoch in history]
            trace.meta = name
        most = max(run.recipe.epochs for run in histories)
        figure.layout.xaxis.range = figure.layout.xaxis2.range = [0.5, most + 0.5]


def gains_widget() -> go.FigureWidget:
    """Return an empty chart of gains, in points."""
    figure = go.FigureWidget()
    figure.update_layout(**LAYOUT | {"height": 120}, xaxis={"title": "pretraining gain (points)", "zeroline": True})
    return figure


def show_gains(figure: go.FigureWidget, outcome: Outcome, mine: Sequence[Outcome], study_name: str) -> str:
    """Draw the study's stored gains on the outcome's target and species above the reader's own gains there, `mine`.

    Return a remark on how they compare.
    """
    run = outcome.run
    try:
        stored = stored_gains(study_name, run.downstream, outcome.species)
        remark = _remark(run, len(stored["by_seed"].iloc[0]))
    except InputError as error:
        stored = pd.DataFrame(columns=["pool", "k", "mean", "low", "high", "by_seed"])
        remark = f"No stored runs to compare with: {public(str(error))}."
    starts = run.plan.starts
    names = [starts[pool].title(k) for pool, k in zip(stored["pool"], stored["k"], strict=True)]
    seeds = [(name, 100 * gain) for name, gains in zip(names, stored["by_seed"], strict=True) for gain in gains]
    own = pd.DataFrame(
        [{"mean": one.gain, "low": one.low, "high": one.high} for one in mine], columns=["mean", "low", "high"]
    )
    yours = [", ".join([f"yours: {one.run.title}", f"seed {one.run.seed}", *_own_recipe(one.run)]) for one in mine]
    colours = [starts[pool].colour for pool in stored["pool"]]
    traces = [
        _row("stored", names, stored, colours, "circle", 9),
        go.Scatter(name="single seeds", x=[gain for _, gain in seeds], y=[name for name, _ in seeds], mode="markers",
                   marker={"size": 5, "color": GREY}),
        _row("yours", yours, own, _OWN, "diamond", 13),
    ]  # fmt: skip
    figure.data = []
    figure.add_traces([trace for trace in traces if len(trace.y)])
    order = [*names, *dict.fromkeys(yours)][::-1]
    title = plotly_text(f"{run.target.title}, study {run.plan.name}")
    figure.update_layout(height=150 + 26 * len(order), title=title, yaxis={"categoryorder": "array", "categoryarray": order})
    return remark


def _row(name: str, rows: list[str], table: pd.DataFrame, colour: str | list[str], symbol: str, size: int) -> go.Scatter:
    values = table[["mean", "low", "high"]].astype(float)
    look = {"marker": {"color": colour, "symbol": symbol, "size": size}, "error_x": interval_bars(values, 100)}
    hover = "%{y}: %{x:+.1f} points<extra></extra>"
    return go.Scatter(name=name, x=100 * values["mean"], y=rows, mode="markers", hovertemplate=hover, **look)


def _own_recipe(run: Run) -> list[str]:
    """Say in words what of a run's recipe differs from that of the study."""
    backbone = [f"backbone {run.backbone}"] if run.backbone != run.plan.backbone else []
    return backbone + ([f"{run.epochs} epochs"] if run.epochs else [])


def _remark(run: Run, n_seeds: int) -> str:
    """Say what the marks mean and how the run's recipe differs from the stored ones, if it does."""
    found, recipe = " and ".join(_own_recipe(run)), run.target.recipe.resolve(scratch=run.pool == SCRATCH)
    stored = f"{run.plan.backbone} and {recipe.epochs} epochs"
    other = f"Yours has another recipe ({found}; stored: {stored}), so the two are not the same experiment. " if found else ""
    return (
        f"Stored: {n_seeds} seed{'s' * (n_seeds > 1)}, bars are 95 % intervals over seeds and images. Yours: a diamond, one seed, "
        f"the bar over images only. {other}Evidence about this small setting, not about ImageNet."
    )
