"""Do the runs behind one gain: `python -m pretraining_gain.playground.train -p study toy -p downstream field -p pool all …`

The playground starts this process: it pretrains, finetunes, and trains from scratch as `notebooks/02_finetune.ipynb` does. A
SIGTERM makes it save its state and end; the same command goes on from there.
"""

from __future__ import annotations

import signal
import sys

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.compute.records import is_finished
from pretraining_gain.execute import read_parameters
from pretraining_gain.plan.runs import Run
from pretraining_gain.playground.choices import scratch_partner


def train(run: Run) -> None:
    """Finish `run`, the pretraining that it needs, and its partner from scratch."""
    if not is_finished(run):
        pretrain(run.pretraining)
        finetune(run)
    partner = scratch_partner(run)
    if partner:
        finetune(partner)


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("playground.train", __doc__ or "")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a notebook's kernel forwards its interrupts; only Stop stops
    return answer("train", lambda: train(Run(**read_parameters(given.parameter))))


if __name__ == "__main__":
    sys.exit(main())
