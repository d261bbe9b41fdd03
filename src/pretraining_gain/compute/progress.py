"""Show the progress of a run: a bar in a terminal, one overwritten line in a notebook.

If `PRETRAINING_GAIN_PROGRESS` names a file, each epoch is also appended to it as a line of JSON, for a watching process.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from IPython import get_ipython
from IPython.display import HTML, display
from tqdm import tqdm


class Progress:
    """Count epochs. Use as a context manager and call `epoch_done` with each epoch's history entry."""

    def __init__(self, title: str, epochs: int, shown: bool = True) -> None:
        self._title, self._epochs, self._started = title, epochs, time.perf_counter()
        shell = get_ipython()
        in_notebook = shell is not None and hasattr(shell, "kernel")
        self._line = display(HTML(f"{title}: starting"), display_id=True) if in_notebook else None
        self._bar = None if in_notebook else tqdm(total=epochs, desc=title, unit="epoch", disable=not shown)
        self._file = os.environ.get("PRETRAINING_GAIN_PROGRESS") if shown else None
        self._report({})

    def __enter__(self) -> Progress:
        return self

    def epoch_done(self, epoch: dict[str, float]) -> None:
        done = int(epoch["epoch"]) + 1
        self._report(epoch)
        figures = f"loss {epoch['loss']:.3f}, top-1 {epoch['top1']:.1%}"
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            self._bar.set_postfix_str(figures)
        elif self._line is not None:
            bar = f"<progress value={done} max={self._epochs} aria-label='epochs'></progress>"
            seconds = time.perf_counter() - self._started
            self._line.update(HTML(f"{bar} {self._title}: {done}/{self._epochs} epochs, {figures}, {seconds:.0f} s"))

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def _report(self, epoch: dict[str, float]) -> None:
        if self._file:
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(json.dumps({"run": self._title, "epochs": self._epochs, **epoch}) + "\n")
