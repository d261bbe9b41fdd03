"""Send SIGKILL to this process at a point that FAULT_POINT names; loaded by every Python that the campaign starts.

`train:N`, `evaluate:N`: before the N-th batch. `half:TEXT:N`, `whole:TEXT:N`: when the N-th file with TEXT in its name is
half, or wholly, written under its temporary name. `before:TEXT:N`, `after:TEXT:N`: around its N-th renaming.
"""

import importlib.abc
import importlib.util
import os
import signal
import subprocess
import sys
from collections import Counter

_KIND, _, _REST = os.environ.get("FAULT_POINT", "").partition(":")
_TEXT, _, _NUMBER = _REST.rpartition(":")
_seen: Counter[str] = Counter()


def _reached(kind: str, name: str = "") -> bool:
    if kind != _KIND or _TEXT not in name:
        return False
    _seen[kind] += 1
    return _seen[kind] == int(_NUMBER)


def _die() -> None:
    if log := os.environ.get("FAULT_LOG"):
        with open(log, "a") as file:
            file.write(os.environ["FAULT_POINT"] + "\n")
    os.kill(os.getpid(), signal.SIGKILL)


def _fsync(handle: int, _real=os.fsync) -> None:
    name = os.readlink(f"/proc/self/fd/{handle}") if _KIND in ("half", "whole") else ""
    if _reached("half", name):
        os.ftruncate(handle, os.fstat(handle).st_size // 2)
        _die()
    if _reached("whole", name):
        _die()
    _real(handle)


def _replace(source, target, _real=os.replace, **given) -> None:
    if _reached("before", str(target)):
        _die()
    _real(source, target, **given)
    if _reached("after", str(target)):
        _die()


def _counted(kind, batches):
    def counted(*given, **named):
        for batch in batches(*given, **named):
            if _reached(kind):
                _die()
            yield batch

    return counted


class _Pipeline(importlib.abc.MetaPathFinder):
    """Puts the counters around the batches when the package's pipeline is imported."""

    def find_spec(self, name, path, target=None):
        if name != "pretraining_gain.compute.pipeline":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        real = spec.loader.exec_module

        def exec_module(module):
            real(module)
            module.training_batches = _counted("train", module.training_batches)
            module.evaluation_batches = _counted("evaluate", module.evaluation_batches)

        spec.loader.exec_module = exec_module
        return spec


def _popen(self, command, *given, _real=subprocess.Popen.__init__, **named):
    """Load this file into kernels, too, which ignore PYTHONPATH."""
    if isinstance(command, list) and "-c" in command and "ipykernel" in (code := command[command.index("-c") + 1]):
        command = [f"import runpy; runpy.run_path({__file__!r})\n{code}" if part == code else part for part in command]
    _real(self, command, *given, **named)


if _KIND:
    subprocess.Popen.__init__ = _popen
    os.fsync, os.replace = _fsync, _replace
    sys.meta_path.insert(0, _Pipeline())
