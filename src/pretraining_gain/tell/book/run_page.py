"""Show one run at the end of its notebook."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pretraining_gain.plan.runs import Run
from pretraining_gain.tell.book.paste import paste_figure, show_table
from pretraining_gain.tell.book.provenance import Provenance
from pretraining_gain.tell.figures.training import learning_curve


def show_run(run: Run, record: dict[str, Any]) -> None:
    """Show the learning curve of a run, with its provenance, and its record as a table, one row per value."""
    description = f"Training loss and top-1 by epoch of {run.run_id}"
    paste_figure(run.run_id, learning_curve(record["history"]), description, Provenance.of_run(run, record))
    shown = {name: value for name, value in record.items() if name not in ("history", "recipe", "parameters")}
    flat = pd.json_normalize(shown, sep=".").iloc[0]
    show_table(flat.map(lambda value: value if value is not None else "").to_frame("value"))
