"""Add up what the runs of a study cost, by stage, figure and claim, beside the plan, and what sharing runs saved.

Reads `costs.csv` and the plan only. Wall time is a run's own; device time is how long its processors were busy (on CUDA: wall
time × devices), which does not grow when runs share a machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pretraining_gain.errors import InputError
from pretraining_gain.paths import results_of
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.runs import Run
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.results.evaluation import how_to_make, load_table
from pretraining_gain.tell.software.price import ALONE, by_way, figure_runs, further_scratch

ALL = "all runs"
#: Ways in which runs are shared, by the names that chapters use.
SHARED = {
    "pretrainings": "a pretraining serves several finetunings",
    "figures": "a run serves several figures or comparisons",
    "random": "all classes are the last random subset",
    "scratch": "a run from scratch serves all pools",
}


@dataclass(frozen=True)
class Costs:
    """The plan of a study, and its runs as in `costs.csv`: one row per run, with `planned_min` and `wall_s`."""

    plan: Plan
    runs: pd.DataFrame

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Costs:
        """Read the costs of the study in a notebook's `globals()`. Raise `InputError` if the table has other runs."""
        plan = Plan.from_parameters(parameters)
        runs, planned = load_table(plan.name, "costs"), plan.run_table().set_index("run_id")["device_hours"] * 60
        if others := sorted({*planned.index} ^ {*runs["run_id"]}):
            table, again = results_of(plan.study.name) / "costs.csv", how_to_make(plan.name)
            raise InputError(f"{table} and study {plan.study.name!r} differ in {len(others)} run(s), first {others[0]}; {again}")
        wall_s = runs["train_wall_time_s"] + runs["eval_wall_time_s"]
        return cls(plan, runs.assign(planned_min=runs["run_id"].map(planned), wall_s=wall_s))

    def by_stage(self) -> pd.DataFrame:
        """Return one row per stage and target, and one for all: runs, images, minutes planned and taken, memory. Rows add up."""
        rows = {self.title(name): _sums(part) for name, part in self.runs.groupby("downstream", sort=False)}
        return _frame(rows | {ALL: _sums(self.runs)})

    def by_figure(self) -> pd.DataFrame:
        """Return one row per figure, one that subtracts what they share, and one for all, so that rows add up."""
        rows = {name: _sums(self._of(runs)) for name, runs in figure_runs(self.plan).items()}
        everything = pd.Series(_sums(self.runs))
        twice = (everything - pd.DataFrame(rows.values()).sum()).to_dict()
        shared = {"counted more than once": twice} if twice["runs"] else {}
        return _frame(rows | shared | {ALL: everything.to_dict()}).drop(columns="peak memory, MB")

    def by_claim(self) -> pd.DataFrame:
        """Return one row per claim: the runs that it compares, pretrainings included."""
        rows = {claim.id: _sums(self._comparing(claim.arms(self.plan.study))) for claim in CLAIMS}
        table = _frame(rows | {ALL: _sums(self.runs)}).drop(columns="peak memory, MB")
        return table.assign(share=table["device time, min"] / table.at[ALL, "device time, min"])

    def saved(self) -> pd.DataFrame:
        """Return one row per way of sharing: what would have been run besides without it. Rows overlap, so they do not add up."""
        study = self.plan.study
        pretrainings = self.runs.loc[self.runs["pretraining"] != "", "pretraining"]
        needed = _ids(run for runs in figure_runs(self.plan).values() for run in runs)
        targets = [study.downstream_in(domain).name for domain in study.domains] if "random" in study.arms else []
        random_end = self._comparing({(target, study.all_classes) for target in targets})["run_id"]
        scratch = _ids(further_scratch(self.plan))
        again = [pretrainings[pretrainings.duplicated()], needed[needed.duplicated()], random_end, scratch]
        by_id = self.runs.set_index("run_id", drop=False)
        table = _frame({way: _sums(by_id.loc[run_ids]) for way, run_ids in zip(SHARED.values(), again, strict=True)})
        return table.drop(columns=["planned, min", "peak memory, MB"])

    def sharing(self) -> pd.DataFrame:
        """Return one row per figure, and one for all: runs, images and device time, alone and as run. Rows add up.

        `alone`: had the figure trained all that it needs. `as run`: only what no figure above it has trained.
        """
        shown = ["runs", "images", "device time, min"]
        return by_way(self.plan, lambda found: _frame({name: _sums(self._of(runs)) for name, runs in found.items()})[shown], ALL)

    def decoded_before(self) -> int:
        """Count the images that runs found decoded in the cache, once per run; epochs do not decode again."""
        epochs = {run.run_id: run.recipe.epochs for run in self.plan.runs()}
        cached = self.runs[self.runs["from_cache"] == "yes"]
        return int((cached["train_images_seen"] / cached["run_id"].map(epochs)).sum())

    def numbers(self) -> dict[str, Any]:
        """Return what the chapter states, in minutes, megabytes and images."""
        everything, saved, alone = _sums(self.runs), self.saved(), self.sharing().loc[ALL]
        taken, decoded = everything["device time, min"], self.runs["from_cache"].value_counts()
        found: dict[str, Any] = {name.split(",")[0].replace(" ", "_"): value for name, value in everything.items()}
        found |= {"machine": ", ".join(dict.fromkeys(self.runs["machine"]))}
        found |= {"n_interrupted": int((self.runs["starts"] > 1).sum()), "n_decoded_before": self.decoded_before()}
        found |= {"n_from_cache": int(decoded.get("yes", 0)), "n_decoded": int(decoded.get("no", 0))}
        found |= {"alone_runs": int(alone[f"runs, {ALONE}"]), "alone_min": float(alone[f"device time, min, {ALONE}"])}
        found |= {"times_less": found["alone_min"] / taken, "of_planned": taken / everything["planned, min"]}
        pretraining = self.by_stage()["device time, min"].get("pretraining", 0.0)
        found |= {"share_pretraining": pretraining / taken}
        found |= {"longest_s": float(self.runs["wall_s"].max()), "shortest_s": float(self.runs["wall_s"].min())}
        return found | {f"saved_{name}_min": saved.at[way, "device time, min"] for name, way in SHARED.items()}

    def _of(self, runs: Iterable[Run]) -> pd.DataFrame:
        return self.runs[self.runs["run_id"].isin(_ids(runs))]

    def _comparing(self, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
        """Return the finetunings of these (downstream, arm) pairs and the pretrainings that they start from."""
        wanted = set(pairs)
        finetunings = pd.Series([pair in wanted for pair in zip(self.runs["downstream"], self.runs["arm"], strict=True)])
        return self.runs[finetunings | self.runs["run_id"].isin(self.runs.loc[finetunings, "pretraining"])]

    def title(self, downstream: str) -> str:
        return self.plan.study.downstream(downstream).title if downstream else "pretraining"


def _ids(runs: Iterable[Run]) -> pd.Series:
    return pd.Series([run.run_id for run in runs], dtype=str)


def _sums(costs: pd.DataFrame) -> dict[str, float]:
    """Add up some runs, a repeated run repeatedly; images are those trained on and evaluated, memory is the largest."""
    return {
        "runs": len(costs),
        "images": int(costs["train_images_seen"].sum() + costs["eval_images_seen"].sum()),
        "planned, min": costs["planned_min"].sum(),
        "wall time, min": costs["wall_s"].sum() / 60,
        "device time, min": costs["device_time_s"].sum() / 60,
        "peak memory, MB": costs["peak_memory_mb"].max(),
    }


def _frame(rows: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index").astype({"runs": int, "images": int})
