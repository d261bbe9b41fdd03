"""The playground in a notebook: choose, press Train, watch the curves, stop and go on, see the gain beside stored runs."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import public
from pretraining_gain.plan.parameters import plain_parameters
from pretraining_gain.playground import work as works
from pretraining_gain.playground.choices import Choice, missing_data
from pretraining_gain.playground.controls import Controls
from pretraining_gain.playground.outcome import Outcome
from pretraining_gain.playground.pictures import curves_picture, gains_picture
from pretraining_gain.playground.training import Training
from pretraining_gain.playground.work import Work, in_words


class Playground:
    """`panel` is what a notebook shows; `results` are what was trained so far, as a table."""

    def __init__(self, start: Choice, train_now: bool = False) -> None:
        self._training: Training | None = None
        self._outcomes: dict[str, Outcome] = {}
        self._pace, self._waits = 1.0, train_now
        self.controls = Controls(start, self._reflect)
        self.train_button = widgets.Button(description="Train", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.bar = widgets.FloatProgress(description="Progress", max=1.0, layout={"width": "min(100%, 24rem)"})
        self.plan, self.status, self.detail, self.curves, self.gain = (widgets.HTML() for _ in range(5))
        self.train_button.on_click(lambda _: self.train())
        self.stop_button.on_click(lambda _: self.stop())
        buttons = widgets.HBox([self.train_button, self.stop_button, self.bar], layout={"flex_flow": "row wrap"})
        below = [self.plan, buttons, self.status, self.detail, self.curves, self.gain]
        self.panel = widgets.VBox([*self.controls.all, *below])
        self._say("Nothing trained yet. Choose above, then press Train.")
        self._reflect()
        if train_now:
            self.train()

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Playground:
        """From a notebook's `globals()`: what is chosen at first, and `train_now`. Raises `InputError` for what cannot be."""
        given = plain_parameters(parameters, [*Choice.model_fields, "train_now"])
        train_now = given.pop("train_now", False)
        return cls(Choice(**given), train_now)

    def train(self) -> None:
        """Start training what is chosen; raises `InputError` where that cannot be, as a click on Train never does."""
        if self._is_training():
            return
        problem, work = self._planned()
        if work is None:
            raise InputError(problem)
        if not work.to_do() and self._show_finished(work):
            return
        self._busy(True)
        n, expected = len(work.to_do()), works.seconds(work.to_do(), self._pace)
        self._say(f"Training has begun: {_runs(n)}, {in_words(expected)}.")
        self._training = Training(work, self._news)

    def stop(self) -> None:
        if self._training and self._is_training():
            self._say("Stopping: the state is being kept. Press Stop again to end at once, without keeping it.")
            self._training.stop()

    def wait(self) -> str:
        """Until the training ends; returns how it stands. Raises `InputError` when it failed."""
        return self._training.wait() if self._training else "nothing trained"

    def results(self) -> pd.DataFrame:
        """What was trained in this session, one row a run. With `train_now`, waits for it."""
        if self._waits:
            self.wait()
        if not self._outcomes:
            return pd.DataFrame({"trained here": ["nothing yet: press Train, and run this cell again when it is done"]})
        return pd.DataFrame([outcome.row() for outcome in self._outcomes.values()])

    def _is_training(self) -> bool:
        return self._training is not None and self._training.state == "running"

    def _planned(self) -> tuple[str, Work | None]:
        """Why what is chosen cannot be trained, or the work that it means."""
        try:
            choice = self.controls.choice()
            missing = missing_data(choice.study_of)
            return (missing, None) if missing else ("", Work(choice.run()))
        except InputError as error:
            return public(str(error)), None

    def _reflect(self) -> None:
        """Say what Train would do, or why it can do nothing."""
        problem, work = self._planned()
        self.train_button.disabled = work is None or self._is_training()
        self.plan.value = _paragraph(problem if work is None else work.describe(self._pace))

    def _news(self, training: Training) -> None:
        """Called by the training, from its thread."""
        done, detail = _progress(training.work)
        self.bar.value = done
        self.detail.value = _paragraph(detail)
        self.curves.value = curves_picture(training.work)
        if training.state != "running":
            self._learn_pace(training.work)
            self._end(training)

    def _end(self, training: Training) -> None:
        try:
            if training.state == "done":
                self.bar.value = 1.0
                self._show_gain(Outcome.of(training.work.run))
            elif training.state == "stopped":
                self._say("Stopped. What was learnt is kept: with the same choice, Train goes on from there.")
            else:
                self._say(f"Training failed: {public(training.problem)}")
        except InputError as error:
            self._say(f"The result cannot be shown: {public(str(error))}")
        finally:
            self._busy(False)
            self._reflect()

    def _show_finished(self, work: Work) -> bool:
        """Show runs that are there already; false when they are damaged, so that training makes them anew."""
        try:
            work.borrow()
            self._show_gain(Outcome.of(work.run))
        except InputError:
            return False
        self.bar.value, self.detail.value, self.curves.value = 1.0, "", curves_picture(work)
        return True

    def _show_gain(self, outcome: Outcome) -> None:
        self._outcomes[f"{outcome.target} {outcome.run.run_id}"] = outcome
        alike = [one for one in self._outcomes.values() if one.target == outcome.target and one.gain is not None]
        self.gain.value = gains_picture(outcome, alike, self.controls.study.value)
        self._say(f"Done. {outcome.sentence()}")

    def _learn_pace(self, work: Work) -> None:
        """How this machine compares with the study's assumed speed, from the epochs just done."""
        took = expected = 0.0
        for step in work.trained_here():
            history = work.histories()[step.key]
            took += sum(epoch["wall_time_s"] for epoch in history)
            expected += works.step_seconds(step) * len(history) / step.run.recipe.epochs
        self._pace = took / expected if expected else self._pace

    def _busy(self, busy: bool) -> None:
        self.controls.enable(not busy)
        self.train_button.disabled, self.stop_button.disabled = busy, not busy

    def _say(self, text: str) -> None:
        """The state, for eyes and for screen readers, which announce it."""
        self.status.value = f'<p role="status" style="font-weight:600;line-height:1.4">{html.escape(text)}</p>'


def _progress(work: Work) -> tuple[float, str]:
    """The share of the work that is done, and where it stands in words."""
    steps, histories = work.steps(), work.histories()
    weights = {step.key: works.step_seconds(step) for step in steps}
    shares = {step.key: len(histories[step.key]) / step.run.recipe.epochs for step in steps}
    now = next((step for step in steps if shares[step.key] < 1), steps[-1])
    done = sum(weights[key] * share for key, share in shares.items()) / sum(weights.values())
    place = f"Step {steps.index(now) + 1} of {len(steps)}, {now.title}"
    return done, f"{place}: epoch {len(histories[now.key])} of {now.run.recipe.epochs}."


def _paragraph(text: str) -> str:
    return f'<p style="line-height:1.4;margin:0">{html.escape(text)}</p>'


def _runs(n: int) -> str:
    return f"{n} run" if n == 1 else f"{n} runs"
