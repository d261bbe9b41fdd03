"""The playground's panel: choose, press Train, watch the curves, stop and go on, see the gain beside stored runs."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets
import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import public
from pretraining_gain.plan.parameters import plain_parameters
from pretraining_gain.plan.studies import load_study
from pretraining_gain.playground.choices import Choice, missing_data
from pretraining_gain.playground.controls import Controls
from pretraining_gain.playground.outcome import Outcome
from pretraining_gain.playground.pictures import curves_widget, gains_widget, show_curves, show_gains
from pretraining_gain.playground.training import Training
from pretraining_gain.playground.work import Work, duration


class Playground:
    """`panel` is the widget to display; `results()` lists what was trained in this session."""

    def __init__(self, start: Choice, train_now: bool = False) -> None:
        self._training: Training | None = None
        self._outcomes: dict[str, Outcome] = {}
        self._waits = train_now
        self.controls = Controls(start, self._reflect)
        self.train_button = widgets.Button(description="Train", button_style="primary")
        self.stop_button = widgets.Button(description="Stop", disabled=True)
        self.bar = widgets.FloatProgress(description="Progress", max=1.0, layout={"width": "min(100%, 24rem)"})
        self.plan, self.status, self.detail, self.remark = (widgets.HTML() for _ in range(4))
        self.curves, self.gains = curves_widget(), gains_widget()
        self.train_button.on_click(lambda _: self.train())
        self.stop_button.on_click(lambda _: self.stop())
        buttons = widgets.HBox([self.train_button, self.stop_button, self.bar], layout={"flex_flow": "row wrap"})
        below = [self.plan, buttons, self.status, self.detail, self.curves, self.remark, self.gains]
        self.panel = widgets.VBox([*self.controls.all, *below])
        self._say("Nothing trained yet. Choose above, then press Train.")
        self._reflect()
        if train_now:
            self.train()

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Playground:
        """Build the panel from a notebook's `globals()`. Raise `InputError` for an impossible choice."""
        given = plain_parameters(parameters, [*Choice.model_fields, "train_now"])
        train_now = given.pop("train_now", False)
        if not isinstance(train_now, bool):
            raise InputError(f"train_now={train_now!r}; accepted: True or False")
        return cls(Choice(**given), train_now)

    def train(self) -> None:
        """Start training the choice; raise `InputError` where it is impossible, in which case the button is disabled."""
        if self._is_training():
            return
        problem, work = self._planned()
        if work is None:
            raise InputError(problem)
        to_do = work.to_do()
        if not to_do and self._show_finished(work):
            return
        self._busy(True)
        runs = "1 run" if len(to_do) == 1 else f"{len(to_do)} runs"
        self._say(f"Training has begun: {runs}, {duration(to_do)}.")
        try:
            self._training = Training(work, self._update)
        except (InputError, OSError) as error:
            self._busy(False)
            self._say(public(str(error)))
            raise

    def stop(self) -> None:
        """Ask the training to save its state and end; a second call ends it at once."""
        if self._training is not None and self._is_training():
            self._say("Stopping and saving the state. Press Stop again to end at once, without saving.")
            self._training.stop()

    def wait(self) -> str:
        """Wait for the end of the training and return its state. Raise `InputError` when it failed."""
        return self._training.wait() if self._training else "nothing trained"

    def results(self) -> pd.DataFrame:
        """Return one row per run trained in this session; with `train_now`, wait for it first."""
        if self._waits:
            self.wait()
        if not self._outcomes:
            return pd.DataFrame({"trained here": ["nothing yet: press Train, and run this cell again when it is done"]})
        return pd.DataFrame([outcome.row() for outcome in self._outcomes.values()])

    def _is_training(self) -> bool:
        return self._training is not None and self._training.state == "running"

    def _planned(self) -> tuple[str, Work | None]:
        """Return the work that the choice means, or why it cannot be trained."""
        try:
            choice = self.controls.choice()
            missing = missing_data(load_study(choice.study))
            return (missing, None) if missing else ("", Work(choice.run()))
        except InputError as error:
            return public(str(error)), None

    def _reflect(self) -> None:
        """Show what Train would do, or why it can do nothing."""
        problem, work = self._planned()
        self.train_button.disabled = work is None or self._is_training()
        self.plan.value = _paragraph(problem if work is None else work.describe())

    def _update(self, training: Training) -> None:
        """Show progress; the training calls this from its thread."""
        work = training.work
        try:
            self.bar.value, detail = work.progress()
            show_curves(self.curves, work)
        except InputError as error:  # a damaged record; the training itself goes on
            detail = public(str(error))
        self.detail.value = _paragraph(detail)
        if training.state == "running":
            return
        try:
            if training.state == "done":
                self.bar.value = 1.0
                self._show_gain(Outcome.of(work.run, self.controls.species.value))
            elif training.state == "stopped":
                kept = "The state is saved" if training.saved else "What it had not saved before is lost"
                self._say(f"Stopped. {kept}: with the same choice, Train goes on from the last saved state.")
            else:
                self._say(f"Training failed: {public(training.problem)}")
        except InputError as error:
            self._say(f"The result cannot be shown: {public(str(error))}")
        finally:
            self._busy(False)
            self._reflect()

    def _show_finished(self, work: Work) -> bool:
        """Show runs that are finished already; return False when they are damaged, so that training makes them again."""
        try:
            work.borrow()
            self._show_gain(Outcome.of(work.run, self.controls.species.value))
        except InputError:
            return False
        self.bar.value, self.detail.value = 1.0, ""
        show_curves(self.curves, work)
        return True

    def _show_gain(self, outcome: Outcome) -> None:
        self._outcomes[f"{outcome.target} {outcome.run.run_id}"] = outcome
        alike = [one for one in self._outcomes.values() if one.target == outcome.target and one.gain is not None]
        self.remark.value = _paragraph(show_gains(self.gains, outcome, alike, self.controls.study.value))
        self._say(f"Done. {outcome.sentence()}")

    def _busy(self, busy: bool) -> None:
        self.controls.enable(not busy)
        self.train_button.disabled, self.stop_button.disabled = busy, not busy

    def _say(self, text: str) -> None:
        """Show the state; screen readers announce it."""
        self.status.value = f'<p role="status" style="font-weight:600;line-height:1.4">{html.escape(text)}</p>'


def _paragraph(text: str) -> str:
    return f'<p style="line-height:1.4;margin:0">{html.escape(text)}</p>'
