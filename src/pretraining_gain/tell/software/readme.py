"""Draw Figure 3 of `mini` for the README: `python -m pretraining_gain.tell.software.readme` writes `book/_static/figure-3.svg`.

Needs kaleido and a Chromium. The file names the results it was drawn from, so a test can tell when it is out of date.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.paths import project_root, results_root, write_atomically
from pretraining_gain.tell.figures.subsets import subset_curves
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.gains import arm_accuracy

STUDY = "mini"


def results_mark() -> str:
    """Return a comment with the hash of the table of runs."""
    table = (results_root() / STUDY / "runs.csv").read_bytes()
    return f"<!-- from results/{STUDY}/runs.csv, sha256 {hashlib.sha256(table).hexdigest()} -->"


def draw() -> Path:
    evaluation = View(study=STUDY, draws=2000).evaluation()
    figure = subset_curves(arm_accuracy(evaluation, draws=2000))
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", width=760, height=400)
    path = project_root() / "book" / "_static" / "figure-3.svg"
    svg = figure.to_image(format="svg").decode()
    write_atomically(path, f"{svg}\n{results_mark()}\n".encode())
    return path


if __name__ == "__main__":
    CommandLine("tell.software.readme", __doc__ or "").parse_args()
    sys.exit(answer("readme", lambda: print(draw())))
