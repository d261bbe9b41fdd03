"""Run a notebook strictly, with papermill.

python -m pretraining_gain.execute NOTEBOOK OUTPUT [-p NAME VALUE]... [--and OUTPUT [-p NAME VALUE]...]...

`--and` runs the same notebook again, in the same kernel, which saves the three seconds that a short run takes to import torch.

Papermill itself ignores unknown parameters, does not check types, and leaves a failed notebook under the name of a result.
Here each of these stops with one line. The result appears under its name only when it is complete, and the notebook of a
failed run stays beside it as `….FAILED.ipynb`.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import papermill
import psutil
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbformat import ValidationError
from papermill.exceptions import PapermillException, PapermillExecutionError
from traitlets import CaselessStrEnum, default

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.paths import make_writable, temporary_beside
from pretraining_gain.plan.yamlfile import parse_yaml

#: Seconds to wait for a cell's output after it ended: on a busy machine, the default of 4 s is too short.
_LONGEST_OUTPUT_S = 600
_LONGEST_RESET_S = 600  # for clearing variables takes milliseconds, unless the kernel is dead
_TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}


class _LocalKernel(AsyncKernelManager):
    """Talk to the kernel through files of this user instead of open network ports, for shared machines."""

    transport = CaselessStrEnum(["tcp", "ipc"], default_value="tcp" if os.name == "nt" else "ipc")

    @default("ip")
    def _socket_name(self) -> str:
        """Name the sockets as no other kernel does, since several runs share a machine."""
        return "127.0.0.1" if self.transport == "tcp" else str(Path(tempfile.gettempdir(), f"kernel-{uuid.uuid4().hex}"))


def read_parameters(given: list[tuple[str, str]]) -> dict[str, Any]:
    """Read the values of parameters on the command line as YAML. Raises `InputError` for one that cannot be read."""
    parameters: dict[str, Any] = {}
    for name, text in given:
        if name in parameters:
            raise InputError(f"parameter {name!r} is given twice; accepted: each once")
        try:
            parameters[name] = parse_yaml(text)
        except InputError as error:
            raise InputError(f"parameter {name}={text!r} cannot be read ({error}); accepted: a number, a text, a list") from None
    return parameters


def check_parameters(notebook: Path, parameters: dict[str, Any]) -> None:
    """Raise `InputError` for a parameter that the notebook does not declare, or of another type than it declares."""
    if not notebook.is_file():
        raise InputError(f"notebook {notebook} is not there; accepted: a .ipynb file, e.g. notebooks/02_finetune.ipynb")
    try:
        if notebook.suffix != ".ipynb":
            raise ValueError("its name does not end in .ipynb")
        declared = papermill.inspect_notebook(str(notebook))
    except (PapermillException, ValidationError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise InputError(f"{notebook} is no notebook ({error}); accepted: a .ipynb file") from None
    for name, value in parameters.items():
        if name not in declared:
            raise InputError(f"{notebook.name}: unknown parameter {name!r}; accepted: {', '.join(declared)}")
        wanted = declared[name]["inferred_type_name"]
        fits = isinstance(value, _TYPES.get(wanted, object))  # type: ignore[arg-type]
        if not fits or (isinstance(value, bool) and wanted != "bool"):
            raise InputError(f"{notebook.name}: parameter {name}={value!r} is not of type {wanted}; accepted: {wanted}")


def execute(notebook: Path, output: Path, parameters: dict[str, Any], kernel: _LocalKernel | None = None) -> None:
    """Run `notebook` with `parameters` into `output`, in a `kernel` that outlives it or in one of its own.

    Raises `InputError` with the last line of an error, and `Interrupted` when a SIGTERM stopped the run; `output` is then as
    it was before.
    """
    check_parameters(notebook, parameters)
    if output.suffix != ".ipynb" or output.is_dir() or output.resolve() == notebook.resolve():
        raise InputError(f"{output} cannot be the result of {notebook}; accepted: the path of another .ipynb file")
    make_writable(output.parent)
    partial, failed = temporary_beside(output, "partial.ipynb"), output.with_name(f"{output.stem}.FAILED.ipynb")
    options: dict[str, Any] = {"progress_bar": False, "kernel_name": "python3", "kernel_manager_class": _LocalKernel}
    options |= {"iopub_timeout": _LONGEST_OUTPUT_S}
    try:
        with _sigterm_for_kernel() as sigterms:
            papermill.execute_notebook(str(notebook), str(partial), parameters, **options, km=kernel)
        os.replace(partial, output)
        failed.unlink(missing_ok=True)
    except PapermillExecutionError as error:
        last = (error.evalue.strip().splitlines() or [""])[-1]
        if error.ename == Interrupted.__name__:
            raise Interrupted(last) from None
        os.replace(partial, failed)
        reason = last if error.ename == InputError.__name__ else f"{error.ename}: {last}"
        raise InputError(f"{reason} [notebook kept as {failed}]") from None
    except (PapermillException, OSError) as error:
        raise InputError(f"{notebook.name}: {' '.join(str(error).split())}") from None
    except RuntimeError as error:  # a kernel that dies, also while it starts
        if "died" not in str(error):
            raise
        if sigterms:
            raise Interrupted("stopped outside of training") from None
        raise InputError(f"{notebook.name}: the kernel died, most often out of memory (see the system's log)") from None
    finally:
        partial.unlink(missing_ok=True)


def execute_each(notebook: Path, runs: list[tuple[Path, dict[str, Any]]]) -> None:
    """Run `notebook` once per (output, parameters), one after the other in one kernel, whose variables are cleared between.

    Raises as `execute` does, at the first run that fails; the outputs before it are complete.
    """
    for _, parameters in runs:
        check_parameters(notebook, parameters)
    if len(runs) == 1:
        return execute(notebook, *runs[0])
    kernel = _LocalKernel(kernel_name="python3")
    try:
        for output, parameters in runs:
            execute(notebook, output, parameters, kernel)
            client = kernel.blocking_client()
            client.start_channels()
            client.execute("get_ipython().reset()", store_history=False, reply=True, timeout=_LONGEST_RESET_S)
            client.stop_channels()
    finally:
        if kernel.has_kernel:
            run_sync(kernel.shutdown_kernel)(now=True)
        run_sync(kernel.cleanup_resources)()


@contextmanager
def _sigterm_for_kernel() -> Iterator[list[int]]:
    """Forward SIGTERM to the kernel, which keeps its state and stops; yield the list of signals that arrived."""
    arrived: list[int] = []

    def forward(number: int, _: object) -> None:
        arrived.append(number)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.terminate()

    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("execute", __doc__ or "")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    words = sys.argv[1:] if arguments is None else arguments
    breaks = [number for number, word in enumerate(words) if word == "--and"]
    parts = [words[start + 1 : end] for start, end in pairwise([-1, *breaks, len(words)])]
    given = [parser.parse_args(part if part is parts[0] else [parts[0][0], *part]) for part in parts]

    def work() -> None:
        execute_each(given[0].notebook, [(one.output, read_parameters(one.parameter)) for one in given])

    return answer(given[0].notebook.stem, work)


if __name__ == "__main__":
    sys.exit(main())
