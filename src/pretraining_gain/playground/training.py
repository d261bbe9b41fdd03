"""A training under way: a process of its own, followed by a thread, so that whoever started it stays free to react."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Literal

from pretraining_gain.errors import TRY_AGAIN, InputError
from pretraining_gain.paths import make_writable
from pretraining_gain.playground.choices import playground_root
from pretraining_gain.playground.work import Work

State = Literal["running", "done", "stopped", "failed"]
_LOOK_EVERY_S = 0.25
_MOST_SHOWN = 400  # letters of a failure


class Training:
    """The runs of `work` being done. `on_change` is called, from another thread, whenever there is news.

    `state` says how it stands, and `problem` what went wrong. Stopped, it keeps what it has learnt: a new training of the
    same work goes on from there.
    """

    def __init__(self, work: Work, on_change: Callable[[Training], None]) -> None:
        self.work, self._on_change = work, on_change
        self.state: State = "running"
        self.problem = ""
        self._stopped = False
        work.borrow()
        self._log = make_writable(playground_root() / "progress") / f"{work.run.record_path.stem}.log"
        with open(self._log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, env=self._environment())
        atexit.register(self.stop)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell the process to end, and return at once; told a second time, it ends without keeping its state."""
        if self._process.poll() is None:
            self._process.kill() if self._stopped else self._process.terminate()
            self._stopped = True

    def wait(self) -> State:
        """Until it ends. Raises `InputError` when it failed."""
        self._thread.join()
        if self.state == "failed":
            raise InputError(self.problem)
        return self.state

    def _command(self) -> list[str]:
        given = [text for name, value in self.work.run.parameters().items() for text in ("-p", name, json.dumps(value))]
        return [sys.executable, "-m", "pretraining_gain.playground.train", *given]

    def _environment(self) -> dict[str, str]:
        """The playground's own folder for results, and where to report."""
        places = {"PRETRAINING_GAIN_RESULTS": playground_root(), "PRETRAINING_GAIN_PROGRESS": self.work.progress_file()}
        return os.environ | {name: str(place) for name, place in places.items()}

    def _follow(self) -> None:
        """Look for news until the process has ended."""
        seen = -1
        while True:
            try:
                code = self._process.wait(_LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                code = None
            size = self.work.progress_file().stat().st_size if self.work.progress_file().exists() else 0
            if code is not None:
                self._ended(code)
            if code is not None or size != seen:
                seen = size
                self._on_change(self)
            if code is not None:
                return

    def _ended(self, code: int) -> None:
        atexit.unregister(self.stop)
        if code == 0:
            self.state = "done"
        elif code == TRY_AGAIN or self._stopped:
            self.state = "stopped"
        else:
            self.state, self.problem = "failed", self._last_words()

    def _last_words(self) -> str:
        """The one line that the process left, without the bars of its progress."""
        lines = [line.split("\r")[-1].strip() for line in self._log.read_text(encoding="utf-8", errors="replace").split("\n")]
        said = [line for line in lines if line]
        words = said[-1] if said else "the process that trains ended without a word; most often it was out of memory"
        return words.removeprefix("train: ")[:_MOST_SHOWN]
