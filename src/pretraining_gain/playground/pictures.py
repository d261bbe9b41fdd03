"""What the playground shows of a training and of its outcome: the data of runs, in the form that `drawing` draws."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pretraining_gain.errors import InputError
from pretraining_gain.paths import public
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import SCRATCH, load_study
from pretraining_gain.playground.drawing import Curve, Row, curves_svg, gains_svg
from pretraining_gain.playground.outcome import Outcome, arm_title, stored_gains
from pretraining_gain.playground.work import Work
from pretraining_gain.tell.figures.taxa import POOL_STYLE

_OTHER = "#56B4E9"  # of pools that the figures do not show: Okabe and Ito's sky blue


def curves_picture(work: Work) -> str:
    """The curves of all runs of `work`, in the colours of the book's figures."""
    histories = work.histories()
    curves = [
        Curve(step.title, _colour(step.run.pool), _dash(step.run), step.run.recipe.epochs, histories[step.key])
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
    rows = [
        Row(arm_title(arm["pool"], arm["k"]), _colour(arm["pool"]), arm["mean"], arm["low"], arm["high"], arm["by_seed"])
        for arm in table.to_dict("records")
    ]
    n_seeds = len(table["by_seed"].iloc[0])
    said = f"Stored: {n_seeds} seeds, bars are 95 % intervals over seeds and images, small points single seeds. "
    said += "Yours: a diamond, one seed, the bar over images only. " + _differences(run)
    return rows, said + "Evidence about this small setting, not about ImageNet."


def _own_row(outcome: Outcome) -> Row:
    name = f"yours: {arm_title(outcome.run.pool, outcome.run.k)}, seed {outcome.run.seed}"
    return Row(name, "currentColor", outcome.gain or 0.0, outcome.low or 0.0, outcome.high or 0.0, (), mine=True)


def _differences(run: Run) -> str:
    """How the run differs from the stored ones beside its classes, if it does."""
    study = load_study(run.study)
    found = [f"backbone {run.backbone}, stored {study.backbone}"] if run.backbone != study.backbone else []
    usual = run.target.recipe.resolve().epochs
    found += [f"{run.epochs} epochs, stored {usual}"] if run.epochs else []
    return f"Yours has another recipe ({'; '.join(found)}), so the two are not the same experiment. " if found else ""


def _colour(pool: str) -> str:
    return POOL_STYLE[pool][0] if pool in POOL_STYLE else _OTHER


def _dash(run: Run) -> str:
    if run.stage == "pretrain":
        return "2 4"
    return "8 5" if run.pool == SCRATCH else ""
