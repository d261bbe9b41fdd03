"""`python -m pretraining_gain.warm NOTEBOOK OUTPUT [-p NAME VALUE]...`: what `execute` does, from a warm start if there is one."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import NoReturn

from pretraining_gain.warm import STARTED, VARIABLE

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(arguments: list[str]) -> NoReturn:
    place = os.environ.get(VARIABLE, "no")
    if place != "no":
        with suppress(OSError), socket.socket(socket.AF_UNIX) as warm:
            warm.connect(place)
            _ask(warm, arguments)
    os.execv(sys.executable, [sys.executable, "-m", "pretraining_gain.execute", *arguments])


def _ask(warm: socket.socket, arguments: list[str]) -> None:
    """Have the run done by a fork of the warm process and end as it does; returns when it is refused."""
    socket.send_fds(warm, [b"0"], [0, 1, 2])
    warm.sendall(json.dumps([arguments, os.getcwd(), dict(os.environ)]).encode() + b"\n")
    if warm.recv(1) != STARTED:
        return
    for number in _PASSED_ON:
        signal.signal(number, lambda given, _: warm.sendall(bytes([given])))
    with suppress(ConnectionError):
        said = warm.makefile().readline()
        if said:
            _end(int(said))
    _end(-signal.SIGKILL)  # nobody is left who could say how it ended


def _end(code: int) -> NoReturn:
    if code < 0:  # killed: so be this process
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
