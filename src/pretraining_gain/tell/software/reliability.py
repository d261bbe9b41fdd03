"""What became of runs that were killed, cancelled and shared: tables and numbers from the campaigns' summaries.

`results/reliability/` holds one JSON file a campaign: `kills` and `workflow` (tests/faults), `slurm` (tests/slurm.py).
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of

CAMPAIGNS = ("kills", "workflow", "slurm")
_MAKERS = {"kills": "-m tests.faults", "workflow": "-m tests.faults --workflow", "slurm": "tests/slurm.py"}


def load(campaign: str) -> dict[str, Any]:
    """The summary of a campaign. Raises `InputError` when it is missing or damaged."""
    path = results_of("reliability", "kills.json") / f"{campaign}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        how = f"python {_MAKERS[campaign]} --out {path}"
        raise InputError(f"campaign {campaign!r} cannot be read ({reason}); make it with `{how}`") from None


def kills_table(ordered_by: str) -> pd.DataFrame:
    """One row a moment of death: how many kills there, of runs and of the workflow. Raises `InputError` for an order that
    is none of the columns."""
    columns = {"runs": load("kills")["kills_by_phase"], "workflow": load("workflow")["kills_by_phase"]}
    table = pd.DataFrame(columns).fillna(0).astype(int).rename_axis("killed in").reset_index()
    if ordered_by not in table:
        raise InputError(f"ordered_by={ordered_by!r}; accepted: {', '.join(table)}")
    return table.sort_values(ordered_by)


def slurm_table() -> pd.DataFrame:
    """What the cluster was asked to do and what became of it: one row a fact."""
    facts = pd.json_normalize(load("slurm"), sep=": ").iloc[0].rename(lambda name: name.replace("_", " "))
    return facts.astype(str).to_frame("value").rename_axis("on the cluster")


def numbers() -> dict[str, Any]:
    """The campaigns' outcomes under the names `<campaign>_<what>`, and their sums over kills of runs and workflow."""
    found = {name: load(name) for name in CAMPAIGNS}
    plain = {
        f"{campaign}_{what}": value
        for campaign, summary in found.items()
        for what, value in summary.items()
        if isinstance(value, str | int | float)
    }
    killed = [found["kills"], found["workflow"]]
    return plain | {
        "kills": sum(summary["kills"] for summary in killed),
        "lost": sum(summary["lost"] for summary in killed),
        "differing": sum(len(summary["differing"]) for summary in killed),
    }
