"""Draw Figure 3 of the main study for the README: `python -m pretraining_gain.tell.software.readme`.

It writes `book/_static/figure-3.png`, which names the results it was drawn from, so a test can tell when it is out of date.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.paths import project_root, results_of, write_atomically
from pretraining_gain.tell.figures.static import draw_static
from pretraining_gain.tell.figures.subsets import subset_curves
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import arm_accuracy
from pretraining_gain.workflow import book_studies

STUDY = book_studies()[0]


def results_mark() -> str:
    """Name the table of runs by its hash."""
    table = (results_of(STUDY) / "runs.csv").read_bytes()
    return f"from results/{STUDY}/runs.csv, sha256 {hashlib.sha256(table).hexdigest()}"


def draw() -> Path:
    evaluation = View(study=STUDY).evaluation()
    picture = draw_static(subset_curves(arm_accuracy(evaluation)), results_mark())
    path = project_root() / "book" / "_static" / "figure-3.png"
    write_atomically(path, picture)
    return path


if __name__ == "__main__":
    CommandLine("tell.software.readme", __doc__ or "").parse_args()
    sys.exit(answer("readme", lambda: print(draw())))
