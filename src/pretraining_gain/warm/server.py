"""The warm process: imports what a run needs, starts no thread, and forks a runner for each who asks.

It ends when the process that started it is gone and all its runs have ended.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pretraining_gain.warm import REFUSED, STARTED

#: What no library reads while it is loaded; where anything else differs, a run starts the usual way.
_MAY_DIFFER = {"_", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "TMP", "TEMPDIR", "TEMP"}
_RUNNER = "pretraining_gain.warm.runner"  # imports everything, so not before it is known what there was
_PR_SET_PDEATHSIG = 1
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Loaded:
    """What was loaded, and in which environment; libraries add to it."""

    code: list[tuple[str, int, int]]
    environment: dict[str, str]
    server: int


def state_of_the_code() -> list[tuple[str, int, int]]:
    """The files of the package with time of change and size: a run of other code than is loaded starts the usual way."""
    files = [(str(path), path.stat()) for path in sorted(_PACKAGE.rglob("*.*")) if path.suffix != ".pyc"]
    return [(path, about.st_mtime_ns, about.st_size) for path, about in files]


def serve(listening: socket.socket, starter: int) -> None:
    """Fork a runner for each connection, until `starter`, the end of a pipe, closes; tell each how its runner ended."""
    loaded = Loaded(state_of_the_code(), dict(os.environ), os.getpid())
    importlib.import_module(_RUNNER).rehearse()
    gc.collect()
    gc.freeze()  # what is loaded stays shared between the forks
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        selector.register(starter, selectors.EVENT_READ)
        while running or starter in selector.get_map():
            for key, _ in selector.select()[:1]:  # one at a time: it may close what another is about
                if key.fd == starter:
                    selector.unregister(starter)
                    selector.unregister(listening)
                    listening.close()
                elif key.fd in running:
                    selector.unregister(key.fd)
                    _report(key.fd, *running.pop(key.fd))
                else:
                    asking, _ = listening.accept()
                    inherited = [selector, listening, *(other for _, other in running.values())]
                    with suppress(OSError):  # no memory for one more: who asks takes the usual way
                        pid = _fork(asking, inherited, loaded)
                        ended = os.pidfd_open(pid)
                        running[ended] = pid, asking
                        selector.register(ended, selectors.EVENT_READ)
                    del asking


def _fork(asking: socket.socket, inherited: Sequence[Any], loaded: Loaded) -> int:
    pid = os.fork()
    if pid == 0:
        for one in inherited:  # of other runs
            one.close()
        _run(asking, loaded)
    return pid


def _report(ended: int, pid: int, asking: socket.socket) -> None:
    os.close(ended)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with asking, suppress(OSError):  # who asked may be gone
        asking.sendall(f"{status}\n".encode())


def _run(asking: socket.socket, loaded: Loaded) -> NoReturn:
    """In the fork: be the process `python -m pretraining_gain.execute`."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != loaded.server:
            os._exit(1)
        arguments = _become(asking, loaded)
        if arguments is not None:
            obeys = threading.Thread(target=_obey, args=(asking,), daemon=True)
            status = importlib.import_module(_RUNNER).run(arguments, obeys)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:  # ends as Python itself would
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(status)


def _become(asking: socket.socket, loaded: Loaded) -> list[str] | None:
    """Take files, folder and environment of who asks; returns the arguments, None where the usual way has to be taken."""
    _, files, _, _ = socket.recv_fds(asking, 1, 3)
    arguments, folder, environment = json.loads(asking.makefile().readline())
    differing = {name for name, _ in environment.items() ^ loaded.environment.items()}
    unlike = [name for name in differing - _MAY_DIFFER if not name.startswith("PRETRAINING_GAIN_")]
    if unlike or state_of_the_code() != loaded.code:
        asking.sendall(REFUSED)
        return None
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    for name in differing:
        os.environ.pop(name, None)
        os.environ.update({name: environment[name]} if name in environment else {})
    tempfile.tempdir = None  # as the environment says
    asking.sendall(STARTED)
    return arguments


def _obey(asking: socket.socket) -> None:
    """Give this process the signals that who asked for it passes on, and end with it."""
    with suppress(ConnectionError):
        while told := asking.recv(1):
            signal.pthread_kill(threading.main_thread().ident or 0, told[0])
    os.kill(os.getpid(), signal.SIGKILL)


def main(listening: int, starter: int) -> None:
    with socket.socket(fileno=listening) as asked:
        place = Path(asked.getsockname()).parent
        try:
            serve(asked, starter)
        finally:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
