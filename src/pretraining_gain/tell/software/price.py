"""The price of each figure of a study before anything runs, and what figures share."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from pretraining_gain.plan.costs import Plan, device_hours, images_seen
from pretraining_gain.plan.pools import SCRATCH
from pretraining_gain.plan.runs import Run
from pretraining_gain.tell.figures.declare import Runs
from pretraining_gain.tell.figures.registry import FIGURES

ALONE, AS_RUN = "alone", "as run"
#: Runs that no figure of the study shows.
OTHER = "other comparisons"


def figure_runs(plan: Plan) -> dict[str, list[Run]]:
    """Return the runs that each figure needs, pretrainings included, each once; figures that need the same in one entry.

    Figures that show every run of the study have no price of their own. The last entry has the runs of no figure.
    """
    numbers: dict[tuple[Run, ...], list[str]] = {}
    for figure in FIGURES.values():
        runs = tuple(figure.runs(plan)) if figure.number and figure.needs != Runs() else ()
        if runs:
            numbers.setdefault(runs, []).append(figure.number)
    names = {runs: " and ".join(filter(None, [", ".join(found[:-1]), found[-1]])) for runs, found in numbers.items()}
    needed = {f"Figure{'s' if len(numbers[runs]) > 1 else ''} {named}": list(runs) for runs, named in names.items()}
    shown = {run for runs in needed.values() for run in runs}
    others = [run for run in plan.runs() if run not in shown]
    starts = dict.fromkeys(run.pretraining for run in others if run.pretraining)
    others = [*starts, *(run for run in others if run not in starts)]
    return needed | ({OTHER: others} if others else {})


def figures_as_run(plan: Plan) -> dict[str, list[Run]]:
    """Return the runs that each figure adds to those above it: all runs of the study, each once."""
    seen: set[Run] = set()
    added = {}
    for name, runs in figure_runs(plan).items():
        added[name] = [run for run in runs if run not in seen]
        seen.update(runs)
    return added


def _price(by_figure: dict[str, list[Run]]) -> pd.DataFrame:
    prices = {
        name: {"runs": len(runs), "images": sum(map(images_seen, runs)), "hours": sum(map(device_hours, runs))}
        for name, runs in by_figure.items()
    }
    return pd.DataFrame.from_dict(prices, orient="index").rename_axis("for")


def figure_table(plan: Plan) -> pd.DataFrame:
    """Return one row per figure, and one for all: runs, images seen, hours of one device and of eight.

    Figures share runs, so the last row is less than the sum. Eight devices take an eighth: runs are independent.
    """
    table = _price(figure_runs(plan) | {"all": plan.runs()})
    return table.rename(columns={"images": "images_seen", "hours": "hours_on_1"}).assign(hours_on_8=table["hours"] / 8)


def sharing_table(plan: Plan) -> pd.DataFrame:
    """Return one row per figure, and one for all: runs, images trained on and hours of one device.

    `alone`: had each figure trained all that it needs. `as run`: only what no figure above it has trained.
    """
    return by_way(plan, _price, "all").rename_axis("for")


def by_way(plan: Plan, added_up: Callable[[dict[str, list[Run]]], pd.DataFrame], total: str) -> pd.DataFrame:
    """Return what the figures' runs add up to, `alone` and `as run`, with a row for the `total`; whole numbers stay whole."""
    parts = {ALONE: added_up(figure_runs(plan)), AS_RUN: added_up(figures_as_run(plan))}
    table = pd.DataFrame({f"{what}, {way}": part[what] for what in parts[ALONE] for way, part in parts.items()})
    table.loc[total] = table.sum()
    return table.astype({name: int for name in table if name.startswith(("runs", "images"))})


def further_scratch(plan: Plan) -> list[Run]:
    """Return the scratch runs of each target once more for each further pool: had each pool its own to compare with."""
    finetunings = [run for run in plan.runs() if run.downstream]
    again = []
    for target in plan.study.downstreams:
        own = [run for run in finetunings if run.downstream == target.name]
        pools = {run.pool for run in own if run.pool != SCRATCH}
        again += (len(pools) - 1) * [run for run in own if run.pool == SCRATCH]
    return again
