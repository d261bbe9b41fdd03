"""The kernel of a warm run: forked before there is an event loop or a thread, it waits until jupyter_client wants one."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
import traceback
from importlib.metadata import EntryPoint
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

_KERNEL = "ipykernel_launcher"


class WaitingKernel:
    """A forked process, to jupyter_client the `subprocess.Popen` of a kernel once it is told to be one."""

    stdin = stdout = stderr = None

    def __init__(self) -> None:
        self._told, waiting = Pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._told.close()
            _be_kernel(waiting)
        waiting.close()

    def start(self, command: list[str], environment: dict[str, str]) -> None:
        self._told.recv()  # it has a session of its own, and so a process group to send signals to
        parent = f"--IPKernelApp.parent_handle={os.getpid()}"  # with which it ends; its variable was read too early
        quiet = "--IPKernelApp.log_level=50"  # else it calls the interrupt, with which jupyter_client ends a kernel, an error
        self._told.send(([*command, parent, quiet], environment | {"JPY_PARENT_PID": str(os.getpid())}))
        self._told.close()

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _be_kernel(waiting: Connection) -> NoReturn:
    """Wait to be told (command, environment), then do what the command says in this process."""
    code = 1
    try:
        os.setsid()
        waiting.send(None)
        command, environment = waiting.recv()
        waiting.close()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = command[command.index(_KERNEL) :]
        runpy.run_module(_KERNEL, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except (EOFError, ConnectionError):  # the run ended without a kernel
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def use(kernel: WaitingKernel) -> None:
    """Have jupyter_client take `kernel` as the next kernel that it starts in this process."""
    WarmProvisioner.kernel = kernel
    name = "local-provisioner"
    factory = KernelProvisionerFactory.instance()
    factory.provisioners[name] = EntryPoint(name, f"{__name__}:{WarmProvisioner.__name__}", factory.GROUP_NAME)


class WarmProvisioner(LocalProvisioner):
    kernel: WaitingKernel | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Launch the waiting kernel; a second one the usual way."""
        kernel, WarmProvisioner.kernel = WarmProvisioner.kernel, None
        if kernel is None or _KERNEL not in cmd:
            return await super().launch_kernel(cmd, **kwargs)
        kernel.start(cmd, kwargs.get("env") or dict(os.environ))
        self.process, self.pid, self.pgid, self.cwd = kernel, kernel.pid, kernel.pid, os.getcwd()
        return self.connection_info
