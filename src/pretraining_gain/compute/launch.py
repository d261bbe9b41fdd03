"""Share one run among several devices: start data-parallel processes from inside a notebook.

This is torch's elastic launcher, as in accelerate's `notebook_launcher`, whose own rules do not suit: it forks a kernel in
which torch has already run threads, wants a fixed port, refuses a second run in the same kernel, and leaves its handlers.
"""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Callable
from typing import Any

from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.plan.resources import whole_number


def launch(function: Callable[..., None], *arguments: Any) -> None:
    """Call `function(*arguments)` in this process or, with several devices, in one new process per device.

    Processes are spawned, so `function` belongs to a module and its arguments can be pickled. When one fails, the others are
    stopped, and its `InputError` or `Interrupted` is raised here. SIGTERM is passed on to all of them.
    """
    if (n := whole_number("DEVICES", 1)) == 1:
        return function(*arguments)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=n, run_id=uuid.uuid4().hex, start_method="spawn", max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1", monitor_interval=0.1,
    )  # fmt: skip
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        elastic_launch(config, function)(*arguments)
    except ChildFailedError as failed:
        _, failure = failed.get_first_failure()
        raise _as_raised_there(failure.message, failure.local_rank) from None
    except SignalException:
        raise Interrupted("stopped by SIGTERM; the state is kept") from None
    finally:
        for number, handler in handlers.items():  # the launcher leaves its own
            signal.signal(number, handler)


def _as_raised_there(message: Any, rank: int) -> Exception:
    """Rebuild the exception of a process from the launcher's report: JSON, a dictionary, or the text of a traceback."""
    if isinstance(message, str) and message.startswith("{"):
        message = json.loads(message)
    if isinstance(message, dict):
        message = message.get("message", message)
    kind, _, text = str(message).strip().splitlines()[-1].partition(": ")
    kinds = {known.__name__: known for known in (InputError, Interrupted)}
    raised = kinds.get(kind.rpartition(".")[2])
    return raised(text) if raised else InputError(f"process {rank} of the run failed: {message}")
