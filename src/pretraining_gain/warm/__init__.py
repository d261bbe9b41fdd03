"""A run that starts at once: Python, torch and the notebook machinery are loaded once a workflow, and each run is forked.

Starting them takes about five seconds of a core, training a run of the toy study about one. So on Linux, where its jobs run
on the machine itself, the workflow starts one *warm* process (`server`), which has imported everything and done nothing.
What stands in place of a run's process (`python -m pretraining_gain.warm`, as `execute`) asks it for a fork, passes on its
files, environment and signals, and ends as the fork ends. Wherever that cannot be had, the run starts the usual way. The
warm process ends with the workflow, however that ends, and a run with whoever asked for it.

`PRETRAINING_GAIN_WARM=no` in the environment says: always the usual way.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: `no`, or, set by the workflow for its jobs, the place of the warm process's socket.
VARIABLE = "PRETRAINING_GAIN_WARM"
#: What the warm process answers first; then, at the end, the exit code (of a kill, minus the signal's number).
STARTED, REFUSED = b"s", b"r"
#: As Snakemake sets them for its jobs; libraries read them when they are loaded.
_THREADS = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_ends_with_this_process: list[int] = []


def start(threads: int, environment: Mapping[str, str] = os.environ) -> str:
    """Start a warm process that ends with this one; returns what its jobs, of `threads` threads, find in `VARIABLE`."""
    if environment.get(VARIABLE) or not _can():
        return environment.get(VARIABLE, "no")
    place = Path(tempfile.mkdtemp(prefix="warm-"), "socket")  # of this user alone
    ended, held = os.pipe()
    _ends_with_this_process.append(held)  # the pipe closes when this process is gone, killed or not
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen(128)  # from now on, jobs can ask: they wait until everything is loaded
        subprocess.Popen(
            [sys.executable, "-m", "pretraining_gain.warm.server", str(listening.fileno()), str(ended)],
            pass_fds=(listening.fileno(), ended),
            env=dict(environment) | dict.fromkeys(_THREADS, str(threads)),
            start_new_session=True,  # signals of a terminal go to those who ask
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    os.close(ended)
    return str(place)


def _can() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))  # Linux from 5.3 on
        return sys.platform == "linux"
    except (AttributeError, OSError):
        return False
