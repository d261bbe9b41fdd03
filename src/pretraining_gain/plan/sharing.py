"""What is never run twice: what each figure would train alone, and what it adds to the figures before it."""

from __future__ import annotations

import pandas as pd

from pretraining_gain.plan.costs import Plan, device_hours, images_seen
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.runs import Run

ALONE, AS_RUN = "alone", "as run"


def figures_as_run(plan: Plan) -> dict[str, list[Run]]:
    """What each figure and comparison adds to those above it: all runs of the study, each once."""
    seen: set[Run] = set()
    added = {}
    for name, runs in plan.figure_runs().items():
        added[name] = [run for run in runs if run not in seen]
        seen.update(runs)
    return added


def sharing_table(plan: Plan) -> pd.DataFrame:
    """One row a figure or comparison, and one for all: runs, images trained on and hours of one device, had it trained what
    it needs `alone`, each pretraining once, and as it is `run`, only what none above it has trained."""
    ways = {ALONE: plan.figure_runs(), AS_RUN: figures_as_run(plan)}
    columns = {}
    for way, by_figure in ways.items():
        columns[f"runs {way}"] = {name: len(runs) for name, runs in by_figure.items()}
        columns[f"images {way}"] = {name: sum(map(images_seen, runs)) for name, runs in by_figure.items()}
        columns[f"hours {way}"] = {name: sum(map(device_hours, runs)) for name, runs in by_figure.items()}
    table = pd.DataFrame(columns)[[f"{what} {way}" for what in ("runs", "images", "hours") for way in ways]]
    table.loc["all"] = table.sum()
    whole = [name for name in table if not name.startswith("hours")]
    return table.astype(dict.fromkeys(whole, int)).rename_axis("for")


def further_scratch(plan: Plan) -> list[Run]:
    """Finetunings from scratch once more for each further pool on their target: had each pool its own to be compared with."""
    finetunings = [run for run in plan.runs() if run.downstream]
    again = []
    for target in plan.study.downstreams:
        own = [run for run in finetunings if run.downstream == target.name]
        pools = {run.pool for run in own if run.pool != SCRATCH}
        again += (len(pools) - 1) * [run for run in own if run.pool == SCRATCH]
    return again
