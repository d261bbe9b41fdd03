"""Summarize campaigns that kill and cancel runs, fuzz what is read, or make runs again: `results/reliability/<campaign>.json`."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of

#: Campaign -> the arguments of `python` that run it.
CAMPAIGNS = {"kills": "-m tests.faults", "workflow": "-m tests.faults --workflow", "slurm": "tests/slurm.py",
             "fuzz": "-m tests.fuzz", "again": "-m tests.again"}  # fmt: skip
#: What the summary of each campaign must have.
_OF_KILLS = ("kills", "lost", "differing", "kills_by_phase")
_FIELDS = {"kills": _OF_KILLS, "workflow": _OF_KILLS, "slurm": ("jobs",), "fuzz": ("doors",),
           "again": ("runs", "same")}  # fmt: skip


def load(campaign: str) -> dict[str, Any]:
    """Load the summary of a campaign. Raises `InputError` if it is missing or damaged."""
    path = results_of("reliability", "kills.json") / f"{campaign}.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        if missing := [field for field in _FIELDS[campaign] if field not in summary]:
            raise ValueError(f"field {missing[0]!r} is missing")
        return summary
    except (OSError, ValueError, TypeError) as error:
        reason, command = " ".join(str(error).split()), f"python {CAMPAIGNS[campaign]} --out {path}"
        raise InputError(f"campaign {campaign!r} cannot be read ({reason}); make it with `{command}`") from None


def kills_table(ordered_by: str) -> pd.DataFrame:
    """Count kills of runs and of the workflow, one row per phase of a run. Raises `InputError` for an unknown column."""
    columns = {"runs": load("kills")["kills_by_phase"], "workflow": load("workflow")["kills_by_phase"]}
    table = pd.DataFrame(columns).fillna(0).astype(int).rename_axis("killed in").reset_index()
    if ordered_by not in table:
        raise InputError(f"ordered_by={ordered_by!r}; accepted: {', '.join(table)}")
    return table.sort_values(ordered_by)


def fuzz_table() -> pd.DataFrame:
    """Count the inputs that fuzzing tried, one row per kind of file: opened, and refused in one line."""
    table = pd.DataFrame.from_dict(load("fuzz")["doors"], orient="index")[["results", "refusals"]]
    return table.set_axis(["opened", "refused"], axis="columns").rename_axis("fuzzed").reset_index()


def slurm_table() -> pd.DataFrame:
    """List what the cluster ran and how its jobs ended, one row per fact."""
    facts = pd.json_normalize(load("slurm"), sep=": ").iloc[0].rename(lambda name: name.replace("_", " "))
    return facts.astype(str).to_frame("value").rename_axis("on the cluster")


def numbers() -> dict[str, Any]:
    """Collect the campaigns' texts and numbers as `<campaign>_<name>`, and the totals over both kinds of kill."""
    found = {campaign: load(campaign) for campaign in CAMPAIGNS}
    facts = pd.json_normalize(found, sep="_", max_level=1).iloc[0].to_dict()
    plain = {name: value for name, value in facts.items() if isinstance(value, str | int | float)}
    kills = [found["kills"], found["workflow"]]
    totals = {"kills": sum(one["kills"] for one in kills), "lost": sum(one["lost"] for one in kills)}
    return plain | totals | {"differing": sum(len(one["differing"]) for one in kills)}
