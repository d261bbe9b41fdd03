"""Run a notebook strictly, with papermill.

python -m pretraining_gain.execute NOTEBOOK OUTPUT [-p NAME VALUE]...

Papermill itself ignores unknown parameters, does not check types, takes the first kernel named python3 that it finds, and
leaves a failed notebook under the name of a result. Here a mistake stops with one line. The kernel is this interpreter with
this package. The result appears under its name only when it is complete, and the notebook of a failed run stays beside it as
`….FAILED.ipynb`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbformat import ValidationError
from papermill.exceptions import PapermillException, PapermillExecutionError

from pretraining_gain.commands import CommandLine, answer
from pretraining_gain.errors import InputError, Interrupted
from pretraining_gain.paths import for_papermill, make_writable, temporary_beside
from pretraining_gain.plan.code import PACKAGE
from pretraining_gain.plan.yamlfile import parse_yaml

#: Seconds to wait for a kernel's start, and for a cell's output after it ended: papermill's 60 and 4 are short for a busy machine.
_LONGEST_WAIT_S = 600
_LONGEST_SOCKET_FOLDER = 80  # the system's limit for a socket is 107 bytes, on some 103
_LONGEST_NAME = 255 - len(".FAILED")  # in bytes
_TYPES = {"str": str, "int": int, "float": (int, float), "bool": bool, "list": list, "dict": dict}
#: Start a kernel that reads no configuration and runs no start-up file, whoever installed it: they can change numbers.
_KERNEL = """
import sys
sys.path.insert(0, {package!r})
from ipykernel.kernelapp import IPKernelApp
class Isolated(IPKernelApp):
    def load_config_file(self, *_, **__): pass
    def _run_startup_files(self): pass
Isolated.launch_instance(ignore_cwd=True)
"""


class _Kernel(AsyncKernelManager):
    """Start this interpreter with this package, isolated from the user's settings; talk to it through files in `folder`."""

    def __init__(self, folder: Path) -> None:
        transport, ip = ("tcp", "127.0.0.1") if os.name == "nt" else ("ipc", str(folder / "s"))
        super().__init__(kernel_name="python3", transport=transport, ip=ip, connection_file=str(folder / "connection.json"))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def kernel_spec(self) -> KernelSpec:
        start = _KERNEL.format(package=str(PACKAGE.parent))
        command = [sys.executable, "-I", "-c", start, "-f", "{connection_file}"]  # -I: no PYTHONPATH, no user's packages
        return KernelSpec(argv=command, language="python", env={"IPYTHONDIR": str(self._folder), "PYTHONSTARTUP": ""})

    async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]
        with open(self._folder / "said", "wb") as said:
            await super().start_kernel(stdout=said, stderr=said, **options)
        self._process = getattr(self.provisioner, "process", None)

    def cause_of_death(self) -> str:
        """Return the signal that ended the kernel, or its exit code and the last line that it wrote."""
        code = self._process.wait() if self._process else None
        if code is not None and code < 0:
            memory = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
            return f"ended by {signal.Signals(-code).name}{memory}"
        lines = (self._folder / "said").read_text(errors="replace").split("\n")
        last = next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
        return f"exit code {code}{last}"


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
        declared = papermill.inspect_notebook(for_papermill(notebook))
    except (PapermillException, ValidationError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise InputError(f"{notebook} is no notebook ({error}); accepted: a .ipynb file") from None
    for name, value in parameters.items():
        if name not in declared:
            raise InputError(f"{notebook.name}: unknown parameter {name!r}; accepted: {', '.join(declared)}")
        wanted, meaning = declared[name]["inferred_type_name"], declared[name]["help"]
        fits = isinstance(value, _TYPES.get(wanted, object))  # type: ignore[arg-type]
        if not fits or (isinstance(value, bool) and wanted != "bool"):
            accepted = f"{'true or false' if wanted == 'bool' else wanted}{f' ({meaning})' if meaning else ''}"
            raise InputError(f"{notebook.name}: parameter {name}={value!r} is not of type {wanted}; accepted: {accepted}")


def execute(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Run `notebook` with `parameters` into `output`.

    Raises `InputError` with the last line of an error, and `Interrupted` when a SIGTERM stopped the run; `output` is then as
    it was before.
    """
    check_parameters(notebook, parameters)
    if len(os.fsencode(output.name)) > _LONGEST_NAME:
        raise InputError(f"{output.name[:40]}… is too long a name; accepted: up to {_LONGEST_NAME} bytes")
    if output.suffix != ".ipynb" or output.is_dir() or output.resolve() == notebook.resolve():
        raise InputError(f"{output} cannot be the result of {notebook}; accepted: the path of another .ipynb file")
    make_writable(output.parent)
    partial, failed = temporary_beside(output, "partial.ipynb"), output.with_name(f"{output.stem}.FAILED.ipynb")
    options = {"start_timeout": _LONGEST_WAIT_S, "iopub_timeout": _LONGEST_WAIT_S, "progress_bar": False, "kernel_name": "python3"}
    with _folder_for_sockets() as folder, _sigterm_for_kernel() as sigterms:
        kernel = _Kernel(folder)
        try:
            papermill.execute_notebook(for_papermill(notebook), for_papermill(partial), parameters, **options, km=kernel)
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
            raise InputError(f"{notebook.name}: the kernel died, {kernel.cause_of_death()}") from None
        finally:
            partial.unlink(missing_ok=True)
            if kernel.has_kernel:
                run_sync(kernel.shutdown_kernel)(now=True)
            run_sync(kernel.cleanup_resources)()


@contextmanager
def _folder_for_sockets() -> Iterator[Path]:
    """Make a folder of this user alone, with a path short enough for sockets, and remove it at the end."""
    places = [tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp", "/dev/shm"]
    short = [place for place in places if place and (os.name == "nt" or len(os.fsencode(place)) <= _LONGEST_SOCKET_FOLDER)]
    usable = next((place for place in short if os.access(place, os.W_OK)), None)
    if usable is None:
        raise InputError(f"no folder for sockets; accepted: TMPDIR of at most {_LONGEST_SOCKET_FOLDER} bytes that can be written")
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=usable, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


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
    given = parser.parse_args(arguments)
    return answer(given.notebook.stem, lambda: execute(given.notebook, given.output, read_parameters(given.parameter)))


if __name__ == "__main__":
    sys.exit(main())
