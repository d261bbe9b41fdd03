"""What a run needs, all of it loaded by importing this; what each run would do the same again; and a run in a fork."""

from __future__ import annotations

import pdb  # noqa: F401
import sqlite3  # noqa: F401
import sys
import threading

import ipykernel.debugger
import ipykernel.kernelapp  # noqa: F401
import myst_nb.ext  # noqa: F401
import nbformat
import plotly.io  # noqa: F401

import pretraining_gain.compute.finetune
import pretraining_gain.compute.pretrain
import pretraining_gain.tell.book
import pretraining_gain.tell.provenance
import pretraining_gain.tell.results  # noqa: F401
from pretraining_gain import execute
from pretraining_gain.plan.code import code_hash
from pretraining_gain.tell.figures import learning_curve
from pretraining_gain.warm.kernel import WaitingKernel, use


def rehearse() -> None:
    """Check a notebook, draw a figure, hash the code, and look at all modules, some of which load others then."""
    nbformat.validate(nbformat.v4.new_notebook())
    learning_curve([{"epoch": 0, "loss": 1.0, "top1": 0.5}]).to_html()
    code_hash("compute.pretrain")
    code_hash("compute.finetune")
    for module in list(sys.modules.values()):
        hasattr(module, "__file__")


def run(arguments: list[str], beside: threading.Thread) -> int:
    """Be `python -m pretraining_gain.execute`, with the thread `beside` it; returns the exit code."""
    kernel = WaitingKernel()  # forked first, as a fork takes no thread along
    use(kernel)
    beside.start()
    try:
        return execute.main(arguments)
    finally:
        kernel.kill()
