"""One run on several devices: data-parallel processes, started from inside a notebook by torch's elastic launcher."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Callable
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from pretraining_gain.compute.machine import n_devices
from pretraining_gain.errors import InputError, Interrupted


def launch(function: Callable[..., None], *arguments: Any) -> None:
    """Call `function(*arguments)` in this process, or, with several devices, in one new process for each of them.

    Processes are spawned, so `function` belongs to a module and its arguments can be pickled. When one fails, the others
    are ended, and its `InputError` or `Interrupted` is raised here. A SIGTERM is passed on to all of them.
    """
    n = n_devices()
    if n == 1:
        function(*arguments)
        return
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=n, run_id=uuid.uuid4().hex, start_method="spawn", max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1", monitor_interval=0.1,
    )  # fmt: skip
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        elastic_launch(config, function)(*arguments)
    except ChildFailedError as failed:
        raise _as_raised_there(failed) from None
    except SignalException:
        raise Interrupted("told to end; the state is kept") from None
    finally:
        for number, handler in handlers.items():  # the launcher sets its own and leaves them
            signal.signal(number, handler)


def _as_raised_there(failed: ChildFailedError) -> Exception:
    _, failure = failed.get_first_failure()
    message = failure.message
    if isinstance(message, str) and message.startswith("{"):
        message = json.loads(message)
    if isinstance(message, dict):
        message = message.get("message", message)
    kind, _, text = str(message).strip().splitlines()[-1].partition(": ")
    for known in (InputError, Interrupted):
        if kind.rpartition(".")[2] == known.__name__:
            return known(text)
    return InputError(f"process {failure.local_rank} of the run failed: {message}")
