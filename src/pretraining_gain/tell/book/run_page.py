"""Show one run at the end of its notebook."""

from __future__ import annotations

from typing import Any

from pretraining_gain.plan.runs import Run
from pretraining_gain.tell.book.paste import paste_figure, show_table
from pretraining_gain.tell.figures.training import learning_curve
from pretraining_gain.tell.results.evaluation import record_table
from pretraining_gain.tell.results.provenance import Provenance


def show_run(run: Run, record: dict[str, Any]) -> None:
    """Show the learning curve of a run, with its provenance, and its record as a table."""
    description = f"Training loss and top-1 by epoch of {run.run_id}"
    paste_figure(run.run_id, learning_curve(record["history"]), description, Provenance.of_run(run, record))
    show_table(record_table(record))
