"""Progress of a run: a bar in a terminal, and in a notebook one line that is overwritten, so only the last is stored."""

from __future__ import annotations

import time
from types import TracebackType

from IPython import get_ipython
from IPython.display import HTML, display
from tqdm import tqdm


class Progress:
    """Counts epochs. Use as a context manager and call `epoch_done` with each epoch's history entry."""

    def __init__(self, title: str, epochs: int, shown: bool = True) -> None:
        self._title, self._epochs, self._started = title, epochs, time.perf_counter()
        shell = get_ipython()
        in_notebook = shell is not None and hasattr(shell, "kernel")
        self._line = display(HTML(f"{title}: starting"), display_id=True) if in_notebook else None
        self._bar = None if in_notebook else tqdm(total=epochs, desc=title, unit="epoch", disable=not shown)

    def __enter__(self) -> Progress:
        return self

    def epoch_done(self, epoch: dict[str, float]) -> None:
        done = int(epoch["epoch"]) + 1
        figures = f"loss {epoch['loss']:.3f}, top-1 {epoch['top1']:.1%}"
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
            self._bar.set_postfix_str(figures)
        else:
            seconds = time.perf_counter() - self._started
            self._line.update(
                HTML(
                    f"<progress value={done} max={self._epochs} aria-label='epochs'></progress> "
                    f"{self._title}: {done}/{self._epochs} epochs, {figures}, {seconds:.0f} s"
                )
            )

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()
