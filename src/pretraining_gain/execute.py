"""Strict runner around papermill: `python -m pretraining_gain.execute NOTEBOOK OUTPUT [-p NAME VALUE]...`

Papermill itself goes on with an unknown parameter, does not check types, and leaves a failed notebook under the name
of a result. Here each of these stops with one line; the result appears under its name only when it is complete, and
the notebook of a failed run is kept beside it as `….FAILED.ipynb`.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import papermill
import psutil
from jupyter_client.manager import AsyncKernelManager
from nbformat import ValidationError
from papermill.exceptions import PapermillException, PapermillExecutionError
from traitlets import CaselessStrEnum, default

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.paths import make_writable, temporary_beside
from pretraining_gain.plan.yamlfile import parse_yaml


class _LocalKernel(AsyncKernelManager):
    """Talks to the kernel through files of this user instead of open network ports, as on a shared machine one should."""

    transport = CaselessStrEnum(["tcp", "ipc"], default_value="tcp" if os.name == "nt" else "ipc")

    @default("ip")
    def _own_name(self) -> str:
        """A name for the sockets that no other kernel has: several runs go on side by side."""
        return (
            "127.0.0.1" if self.transport == "tcp" else str(Path(tempfile.gettempdir(), f"kernel-{uuid.uuid4().hex}"))
        )


_TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}


def read_parameters(given: list[tuple[str, str]]) -> dict[str, Any]:
    """Name -> value, of texts as on the command line, each value read as YAML. Raises `InputError` for one that is none."""
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
    declared = _declared(notebook)
    for name, value in parameters.items():
        if name not in declared:
            raise InputError(f"{notebook.name}: unknown parameter {name!r}; accepted: {', '.join(declared)}")
        wanted = declared[name]["inferred_type_name"]
        fits = isinstance(value, _TYPES.get(wanted, object))  # type: ignore[arg-type]
        if not fits or (isinstance(value, bool) and wanted != "bool"):
            raise InputError(f"{notebook.name}: parameter {name}={value!r} is not of type {wanted}; accepted: {wanted}")


def _declared(notebook: Path) -> dict[str, Any]:
    """Name -> what the notebook's cell of parameters says of it."""
    try:
        if not notebook.suffix == ".ipynb":
            raise ValueError("its name does not end in .ipynb")
        return papermill.inspect_notebook(str(notebook))
    except (PapermillException, ValidationError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise InputError(f"{notebook} is no notebook ({error}); accepted: a .ipynb file") from None


def execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Run `notebook` with `parameters` into `output`.

    Raises `InputError` with the last line of what went wrong, and `Interrupted` when it was told to end and did;
    `output` is then as it was before.
    """
    check_parameters(notebook, parameters)
    if output.suffix != ".ipynb" or output.is_dir() or output.resolve() == notebook.resolve():
        raise InputError(f"{output} cannot be the result of {notebook}; accepted: the path of another .ipynb file")
    make_writable(output.parent)
    partial = temporary_beside(output, "partial.ipynb")
    failed = output.with_name(f"{output.stem}.FAILED.ipynb")
    try:
        with _passing_on_sigterm() as told:
            papermill.execute_notebook(
                str(notebook),
                str(partial),
                parameters,
                progress_bar=False,
                kernel_name="python3",
                kernel_manager_class=_LocalKernel,
            )
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
    except RuntimeError as error:  # DeadKernelError is one, and there is no kind of its own for dying while it starts
        if "died" not in str(error):
            raise
        if told:
            raise Interrupted("told to end outside of training") from None
        raise InputError(f"{notebook.name}: the kernel died; most often it was out of memory (see the system's log)") from None
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _passing_on_sigterm() -> Iterator[list[int]]:
    """Within it, a SIGTERM goes on to the kernel, which keeps its state and ends; yields the signals that came."""
    told: list[int] = []

    def pass_on(number: int, _: object) -> None:
        told.append(number)
        for child in psutil.Process().children(recursive=True):
            child.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    parser = CommandLine("execute", __doc__ or "")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    given = parser.parse_args(arguments)

    def work() -> None:
        execute(given.notebook, given.output, read_parameters(given.parameter))

    return answer(given.notebook.stem, work)


if __name__ == "__main__":
    sys.exit(main())
