"""Start a SLURM cluster of one machine for a test, and stop it.

Needs Debian's slurm-wlm and munge, which it installs as root. Everything is in one temporary folder, on free ports.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pretraining_gain.plan.runs import Run

_DAEMONS = ("munged", "slurmctld", "slurmd")
_PATH = f"{os.environ['PATH']}:/usr/sbin"  # where daemons are, not on everybody's path
_KILL_WAIT_S = 5
_CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs
MpiDefault=none
ReturnToService=2
KillWait={kill_wait}
SchedulerParameters=batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory_mb}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Return why no cluster can be started here, or nothing. Installs missing packages as root."""
    missing = [name for name in _DAEMONS if not shutil.which(name, path=_PATH)]
    if not missing:
        return ""
    if os.geteuid() or not shutil.which("apt-get"):
        return f"{', '.join(missing)} not found, and no root with apt-get to install slurm-wlm and munge"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", "slurm-wlm", "munge"]):
        done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            return f"apt-get {command[0]} failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return ""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the `environment` of its clients, and a `folder` with its logs and the list of its jobs."""

    folder: Path
    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def ended_jobs(self) -> Counter[str]:
        """Count the jobs that ended, by state."""
        path = self.folder / "jobs"
        return Counter(re.findall(r"JobState=(\w+)", path.read_text() if path.exists() else ""))

    def job_of(self, run: Run) -> str:
        """Return the job that does a run."""
        for line in self.ask("squeue", "--noheader", "--states=RUNNING", "--format=%i %k").splitlines():
            job, comment = line.split(maxsplit=1)
            if comment.endswith(run.record_path.stem):
                return job
        raise LookupError(f"no job of {run.run_id} is running")

    def signal_step(self, job: str, number: signal.Signals) -> None:
        """Send a signal to every process of the job but its batch script."""
        for line in self.ask("scontrol", "listpids", job).splitlines()[1:]:
            pid, _, step, *_ = line.split()
            if step != "batch":
                os.kill(int(pid), number)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster; at the end cancel its jobs, stop its daemons and remove its folder."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets want short names
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        (folder / "slurm.conf").write_text(_configuration(folder))
        started = Cluster(folder, _environment(folder))
        files = {"socket": "munge", "key-file": "key", "pid-file": "pid", "log-file": "munged.log", "seed-file": "seed"}
        munged = [f"--{option}={folder / name}" for option, name in files.items()]
        daemons = [_daemon(stack, started, ["munged", "--foreground", "--force", *munged])]
        _wait_for((folder / "munge").exists, started, daemons)
        daemons.append(_daemon(stack, started, ["slurmctld", "-D"]))
        daemons.append(_daemon(stack, started, ["slurmd", "-D", "-N", _host()]))
        stack.callback(_empty, started, daemons)
        _wait_for(lambda: started.ask("sinfo", "--noheader", "--format=%T").strip() == "idle", started, daemons)
        yield started


def _environment(folder: Path) -> dict[str, str]:
    """Tell SLURM's programs which cluster to use. The executor drops this for the `srun` of a job, so a script sets it again."""
    srun, configuration = folder / "bin" / "srun", folder / "slurm.conf"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    return os.environ | {"PATH": f"{srun.parent}:{_PATH}", "SLURM_CONF": str(configuration)}


def _host() -> str:
    return socket.gethostname().split(".")[0]


def _configuration(folder: Path) -> str:
    with socket.socket() as one, socket.socket() as other:
        ports = []
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    return _CONFIGURATION.format(
        folder=folder,
        host=_host(),
        user=os.environ.get("USER") or subprocess.check_output(["id", "-un"], text=True).strip(),
        controller_port=ports[0],
        node_port=ports[1],
        cores=len(os.sched_getaffinity(0)),
        memory_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        kill_wait=_KILL_WAIT_S,
    )


def _daemon(stack: ExitStack, of: Cluster, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a daemon, and stop it at the end; one that hangs is killed."""
    with open(of.folder / f"{command[0]}.out", "w") as output:
        process = subprocess.Popen(
            command, env=of.environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def stop() -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)
    return process


def _empty(of: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    """Cancel remaining jobs while the daemons still run."""
    left = of.ask("squeue", "--noheader", "--format=%i").split()
    if left:
        of.ask("scancel", *left)
        _wait_for(lambda: not of.ask("squeue", "--noheader", "--format=%i").split(), of, daemons)


def _wait_for(there: Callable[[], bool], of: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    """Wait, however slow the machine, while all daemons run. Raises `RuntimeError` with the output of one that has ended."""
    while True:
        try:
            if there():
                return
        except subprocess.CalledProcessError:
            pass  # not ready to be asked
        for name in (one.args[0] for one in daemons if one.poll() is not None):
            raise RuntimeError(f"{name} has ended: {(of.folder / f'{name}.out').read_text()[-2000:]}")
        time.sleep(0.1)
