"""Run a study through a SLURM cluster of one machine (see `cluster.py`) and cut off some of its jobs.

python tests/slurm.py --study toy --out results/reliability/slurm.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from cluster import Cluster, cluster, why_not

from pretraining_gain.paths import results_root
from pretraining_gain.plan.costs import Plan, images_seen
from pretraining_gain.plan.runs import Run, finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import load_study

ROOT = Path(__file__).resolve().parents[1]


def cut_off(of: Cluster, run: Run, how: str) -> None:
    """Cut off a run in mid-training: `cancelled`, `warned` (SIGTERM, as before a time limit or a preemption), or `timed_out`
    (stopped, with SLURM's smallest limit, as a stand-in for a run that is too slow)."""
    job = of.job_of(run)
    of.signal_step(job, signal.SIGSTOP)  # or it might be through before the next line
    if how == "cancelled":
        of.ask("scancel", job)
    elif how == "timed_out":
        of.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    else:
        of.ask("scancel", "--signal=TERM", job)
        of.signal_step(job, signal.SIGCONT)


def choose(study_name: str) -> dict[str, Run]:
    """Choose which run is cut off in which way: the longest pretraining and the two longest finetunings."""
    starts, targets = (sorted(of(study_name), key=images_seen, reverse=True) for of in (pretraining_runs, finetuning_runs))
    return {"timed_out": starts[0], "cancelled": targets[1], "warned": targets[0]}


def workflow(study: str, profile: str, *more: str) -> list[str]:
    command = [sys.executable, "-m", "snakemake", "--profile", f"profiles/{profile}", "--config", f"study={study}"]
    return [*command, *more, "--", "results"]


def run_on(of: Cluster, study: str, victims: dict[str, Run], log: Path) -> None:
    """Run the study through the cluster to its end, and cut off each of the `victims` once."""
    options = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"]
    options += ["--slurm-logdir", str(of.folder / "logs")]
    # Without the profile's warning, so that the job whose limit is cut ends by it.
    options += ["--set-resources", "pretrain:slurm_extra='--open-mode=append'"]
    environment = of.environment | {"PRETRAINING_GAIN_CHECKPOINT_S": "0"}  # a state is kept after every batch
    checkpoints = {how: (run, run.checkpoint_path) for how, run in victims.items()}
    with open(log, "w") as output:
        process = subprocess.Popen(
            workflow(study, "slurm", *options), cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                for how, (run, checkpoint) in list(checkpoints.items()):
                    if checkpoint.exists():
                        cut_off(of, run, how)
                        del checkpoints[how]
                time.sleep(0.02)
        finally:
            process.kill()  # where something above failed; else it has ended
    if process.returncode or checkpoints:
        raise RuntimeError(f"exit {process.returncode}, not cut off: {list(checkpoints)}\n{log.read_text()[-5000:]}")


def outcomes(study: str, results: Path) -> dict[str, bytes]:
    """Read weights or predictions of every run of the study, by name; `results` may hold other runs."""
    starts, targets = (of(study) for of in (pretraining_runs, finetuning_runs))
    found = {run.weights_path.name: (results / run.stage / run.weights_path.name).read_bytes() for run in starts}
    names = [run.predictions_path.name for run in targets]
    return found | {name: gzip.decompress((results / "finetune" / name).read_bytes()) for name in names}


def _through_slurm(study: str, local: Path) -> dict[str, Any]:
    """Run the study through a cluster into its own folder, and compare with the results of the local run."""
    victims = choose(study)
    started = time.monotonic()
    with cluster() as here:
        run_on(here, study, victims, here.folder / "snakemake.log")
        ended, version = here.ended_jobs(), here.ask("sinfo", "--version").split()[-1]
    n_runs = len(Plan.of(study).runs())
    return {
        "study": load_study(study).name,
        "runs": n_runs,
        "slurm_version": version,
        "jobs": {"submitted": ended.total(), "restarted": ended.total() - n_runs, **{k.lower(): ended[k] for k in ended}},
        "cut_off": {how: run.run_id for how, run in victims.items()},
        "wall_time_s": round(time.monotonic() - started),
        "equal_to_local": outcomes(study, results_root() / load_study(study).name) == outcomes(study, local),
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--study", default="toy")
    parser.add_argument("--out", type=Path, required=True, help="the summary, JSON")
    given = parser.parse_args()
    if reason := why_not():
        sys.exit(f"slurm: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("slurm: terminated"))  # so that the cluster is stopped then, too
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "local", load_study(given.study).name)
        environment = os.environ | {"PRETRAINING_GAIN_RESULTS": str(local.parent)}
        subprocess.run(workflow(given.study, "local", "--quiet"), cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
        os.environ["PRETRAINING_GAIN_RESULTS"] = str(Path(folder, "slurm"))
        summary = _through_slurm(given.study, local)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
