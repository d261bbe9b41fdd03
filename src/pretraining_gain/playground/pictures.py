"""What the playground shows of a training and of its outcome: the data of runs, in the form that `drawing` draws."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pretraining_gain.errors import InputError
from pretraining_gain.paths import public
from pretraining_gain.plan.pools import starts
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.playground.drawing import Curve, Row, curves_svg, gains_svg
from pretraining_gain.playground.outcome import Outcome, stored_gains
from pretraining_gain.playground.work import Work


def curves_picture(work: Work) -> str:
    """The curves of all runs of `work`, in the colours of the book's figures."""
    histories = work.histories()
    curves = [
        Curve(step.title, starts()[step.run.pool].colour, _dash(step.run), step.run.recipe.epochs, histories[step.key])
        for step in work.steps()
    ]
    return curves_svg(curves)


def gains_picture(outcome: Outcome, mine: Sequence[Outcome], study_name: str) -> str:
    """The study's stored gains on this target, and under them those trained here; a line says how they compare."""
    rows, said = _stored_rows(outcome.run, study_name)
    rows += [_own_row(one) for one in mine]
    title = f"Pretraining gain on {outcome.run.target.title}, study {outcome.run.plan.name}"
    picture = gains_svg(rows, title) if rows else ""
    return f'<p style="line-height:1.4"><b>{html.escape(title)}.</b> {html.escape(said)}</p>{picture}'


def _stored_rows(run: Run, study_name: str) -> tuple[list[Row], str]:
    """The stored gains on the run's target, and what they are; none, and why."""
    try:
        table = stored_gains(study_name, run.downstream)
    except InputError as error:
        return [], f"No stored runs to compare with: {public(str(error))}."
    rows = []
    for arm in table.to_dict("records"):
        pool = starts()[arm["pool"]]
        rows.append(Row(pool.title(arm["k"]), pool.colour, arm["mean"], arm["low"], arm["high"], arm["by_seed"]))
    n_seeds = len(table["by_seed"].iloc[0])
    said = f"Stored: {n_seeds} seeds, bars are 95 % intervals over seeds and images, small points single seeds. "
    said += "Yours: a diamond, one seed, the bar over images only. " + _differences(run)
    return rows, said + "Evidence about this small setting, not about ImageNet."


def _own_row(outcome: Outcome) -> Row:
    name = f"yours: {starts()[outcome.run.pool].title(outcome.run.k)}, seed {outcome.run.seed}"
    return Row(name, "currentColor", outcome.gain or 0.0, outcome.low or 0.0, outcome.high or 0.0, (), mine=True)


def _differences(run: Run) -> str:
    """How the run differs from the stored ones beside its classes, if it does."""
    study = load_study(run.study)
    found = [f"backbone {run.backbone}, stored {study.backbone}"] if run.backbone != study.backbone else []
    usual = run.target.recipe.resolve().epochs
    found += [f"{run.epochs} epochs, stored {usual}"] if run.epochs else []
    return f"Yours has another recipe ({'; '.join(found)}), so the two are not the same experiment. " if found else ""


def _dash(run: Run) -> str:
    if run.stage == "pretrain":
        return "2 4"
    return "8 5" if starts()[run.pool].dash != "solid" else ""
