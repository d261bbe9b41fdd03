"""BENCH: how fast this is, against the limit of the machine and against what one would take otherwise.

It uses the other packages, and none of them uses it. `python -m pretraining_gain.bench` writes `results/bench/<device>.json`.
"""

import pretraining_gain.compute.models  # noqa: F401 - lets torchvision be imported beside a CPU build of torch
