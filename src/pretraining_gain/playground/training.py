"""Train in a separate process, followed by a thread, so that the notebook's kernel stays free to react."""

from __future__ import annotations

import atexit
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

_POLL_S = 0.25
_LONGEST_PROBLEM = 400  # characters


class Training:
    """A process that does the runs of `work`; it calls `on_change` from another thread whenever there is news.

    `state` is running, done, stopped or failed, `problem` what went wrong, and `saved` whether a stopped process saved its
    state: a new training of the same work goes on from it.
    """

    def __init__(self, work: Work, on_change: Callable[[Training], None]) -> None:
        self.work, self._on_change = work, on_change
        self.state: Literal["running", "done", "stopped", "failed"] = "running"
        self.problem, self.saved = "", False
        self._stopped = False
        work.borrow()
        self._log = make_writable(playground_root() / "progress") / f"{work.run.record_path.stem}.log"
        command = [sys.executable, "-m", "pretraining_gain.playground.train", *work.run.arguments()]
        places = {"PRETRAINING_GAIN_RESULTS": playground_root(), "PRETRAINING_GAIN_PROGRESS": work.progress_file()}
        environment = os.environ | {name: str(place) for name, place in places.items()}
        with open(self._log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        atexit.register(self.stop)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the process to save and end, and return at once; the second call ends it without saving."""
        if self._process.poll() is None:
            self._process.kill() if self._stopped else self._process.terminate()
            self._stopped = True

    def wait(self) -> str:
        """Wait for the end and return the state. Raise `InputError` when the training failed."""
        self._thread.join()
        if self.state == "failed":
            raise InputError(self.problem)
        return self.state

    def _follow(self) -> None:
        """Report news until the process ends."""
        code, seen, progress = None, -1, self.work.progress_file()
        while code is None:
            try:
                code = self._process.wait(_POLL_S)
                self._end(code)
            except subprocess.TimeoutExpired:
                pass
            size = progress.stat().st_size if progress.exists() else 0
            if code is not None or size != seen:
                seen = size
                self._on_change(self)

    def _end(self, code: int) -> None:
        atexit.unregister(self.stop)
        if code == 0:
            self.state = "done"
        elif code == TRY_AGAIN or self._stopped:
            self.state, self.saved = "stopped", code == TRY_AGAIN
        else:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in (line.split("\r")[-1].strip() for line in text.split("\n")) if line]
            silent = "the training process ended without a message; most often it ran out of memory"
            last = lines[-1] if lines else silent
            self.state, self.problem = "failed", last.removeprefix("train: ")[:_LONGEST_PROBLEM]
