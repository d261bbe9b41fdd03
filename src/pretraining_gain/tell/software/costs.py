"""What the runs of a study cost, by stage, figure and claim, beside what was planned; and what it saved to share them.

Reads `costs.csv` and the plan only. Wall time is that of a run; device time is what its processors were busy (on CUDA:
wall time × devices), which does not grow when runs share a machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.pools import starts
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import DOMAINS
from pretraining_gain.tell.claims.declarations import CLAIMS
from pretraining_gain.tell.figures.style import LAYOUT
from pretraining_gain.tell.results.evaluation import load_costs
from pretraining_gain.tell.software.price import ALONE, AS_RUN, figure_runs, figures_as_run, further_scratch

ALL = "all runs"
_SHARED_OF = ("runs", "images", "device time, min")
#: What the figure of runs can show: label -> column.
MEASURES = {"wall time, s": "wall_s", "device time, s": "device_time_s", "peak memory, MB": "peak_memory_mb"}
#: Ways in which runs are shared, by the names that chapters use.
SHARED = {
    "pretrainings": "a pretraining serves several finetunings",
    "figures": "a run serves several figures or comparisons",
    "random": "all classes are the last random subset",
    "scratch": "a run from scratch serves all pools",
}


def runs_read(costs: pd.DataFrame, downstreams: Iterable[str], arms: Iterable[str]) -> pd.DataFrame:
    """The finetunings of these arms on these downstreams, and the pretrainings that they start from."""
    return _with_pretrainings(costs, costs["downstream"].isin(list(downstreams)) & costs["arm"].isin(list(arms)))


def _with_pretrainings(costs: pd.DataFrame, finetunings: pd.Series) -> pd.DataFrame:
    return costs[finetunings | costs["run_id"].isin(costs.loc[finetunings, "pretraining"])]


@dataclass(frozen=True)
class Costs:
    """The runs of a study as `costs.csv` has them, one row a run, and its plan."""

    plan: Plan
    runs: pd.DataFrame

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Costs:
        """From a notebook's `globals()`: the one parameter is `study`. Raises `InputError` where it was not run."""
        plan = Plan.from_parameters(parameters)
        return cls.of(plan, load_costs(plan.study))

    @classmethod
    def of(cls, plan: Plan, costs: pd.DataFrame) -> Costs:
        planned = plan.run_table().set_index("run_id")["device_hours"] * 60
        return cls(plan, costs.assign(planned_min=costs["run_id"].map(planned)))

    def by_stage(self) -> pd.DataFrame:
        """One row a stage and target, and one for all: runs, images, minutes planned and taken, memory. Rows add up."""
        rows = {self._title(name): _sums(part) for name, part in self.runs.groupby("downstream", sort=False)}
        return _frame(rows | {ALL: _sums(self.runs)})

    def by_figure(self) -> pd.DataFrame:
        """One row a figure or comparison. They share runs; a row takes off what is counted more than once, so that rows
        add up to all runs."""
        rows = {name: _sums(self._of(runs)) for name, runs in figure_runs(self.plan).items()}
        everything = pd.Series(_sums(self.runs))
        twice = (everything - pd.DataFrame(rows.values()).sum()).to_dict()
        shared = {"counted more than once": twice} if twice["runs"] else {}
        return _frame(rows | shared | {ALL: everything.to_dict()}).drop(columns="peak memory, MB")

    def by_claim(self) -> pd.DataFrame:
        """Return one row per claim: the runs that it compares, pretrainings included."""
        rows = {}
        for claim in CLAIMS:
            arms = claim.arms(self.plan.study)
            compared = [pair in arms for pair in zip(self.runs["downstream"], self.runs["arm"], strict=True)]
            rows[claim.id] = _sums(_with_pretrainings(self.runs, pd.Series(compared, self.runs.index)))
        table = _frame(rows | {ALL: _sums(self.runs)}).drop(columns="peak memory, MB")
        return table.assign(share=table["device time, min"] / table.at[ALL, "device time, min"])

    def saved(self) -> pd.DataFrame:
        """What would have been run besides, if nothing were shared: one row a way of sharing. Rows overlap, so they do not
        add up."""
        starts = self.runs.loc[self.runs["pretraining"] != "", "pretraining"]
        needed = _ids(run for runs in figure_runs(self.plan).values() for run in runs)
        again = [starts[starts.duplicated()], needed[needed.duplicated()], self._random_end()["run_id"]]
        again.append(_ids(further_scratch(self.plan)))
        by_id = self.runs.set_index("run_id", drop=False)
        table = _frame({way: _sums(by_id.loc[run_ids]) for way, run_ids in zip(SHARED.values(), again, strict=True)})
        return table.drop(columns=["planned, min", "peak memory, MB"])

    def sharing(self) -> pd.DataFrame:
        """One row a figure or comparison, and one for all: runs, images and device time, had it been run `alone`, each
        pretraining once, and as it was `run`, only what none above it had. Rows add up."""
        ways = {ALONE: figure_runs(self.plan), AS_RUN: figures_as_run(self.plan)}
        parts = {way: _frame({name: _sums(self._of(runs)) for name, runs in found.items()}) for way, found in ways.items()}
        shown = {f"{what}, {way}": part[what] for what in _SHARED_OF for way, part in parts.items()}
        table = pd.DataFrame(shown)
        table.loc[ALL] = table.sum()
        whole = [name for name in table if not name.startswith("device")]
        return table.astype(dict.fromkeys(whole, int))

    def decoded_before(self) -> int:
        """Images that runs found decoded in the cache, each counted once a run; epochs do not decode again."""
        epochs = {run.run_id: run.recipe.epochs for run in self.plan.runs()}
        cached = self.runs[self.runs["from_cache"] == "yes"]
        return int((cached["train_images_seen"] / cached["run_id"].map(epochs)).sum())

    def _of(self, runs: Iterable[Run]) -> pd.DataFrame:
        return self.runs[self.runs["run_id"].isin(_ids(runs))]

    def _random_end(self) -> pd.DataFrame:
        """Runs of all classes, where they stand at the end of a random curve; none where the study has no such curve."""
        study = self.plan.study
        targets = [study.downstream_in(domain).name for domain in DOMAINS] if "random" in study.arms else []
        return runs_read(self.runs, targets, [study.everything])

    def figure(self) -> go.Figure:
        """What each run cost: one point a run, over what was pretrained on; a menu sets the measure."""
        parts = [part.assign(wall_s=_wall_s(part)) for _, part in self.runs.groupby("downstream", sort=False)]
        figure = go.Figure()
        for part, style in zip(parts, cycle(starts().values())):
            figure.add_trace(_points(part, self._title(part["downstream"].iloc[0]), style.colour, style.marker))
        buttons = [
            {
                "label": label,
                "method": "update",
                "args": [{"y": [part[name] for part in parts]}, {"yaxis.title.text": label}],
            }
            for label, name in MEASURES.items()
        ]
        figure.update_layout(
            **LAYOUT | {"height": 620},
            updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.5, "yanchor": "top"}],
            xaxis={
                "categoryorder": "array",
                "categoryarray": self.runs["arm"]
                .unique()
                .tolist(),  # as planned: pretrainings stand first, scratch is last
                "tickangle": -50,
                "dtick": 1,
                "tickfont": {"size": 11},
                "automargin": True,
            },
            yaxis={"title": next(iter(MEASURES)), "rangemode": "tozero"},
        )
        return figure

    def _title(self, downstream: str) -> str:
        return self.plan.study.downstream(downstream).title if downstream else "pretraining"

    def numbers(self) -> dict[str, Any]:
        """What the chapter states. Minutes; megabytes; images."""
        everything, saved = _sums(self.runs), self.saved()
        pretrainings = _sums(self.runs[self.runs["stage"] == "pretrain"])
        found: dict[str, Any] = {name.split(",")[0].replace(" ", "_"): value for name, value in everything.items()}
        found |= {"machine": ", ".join(dict.fromkeys(self.runs["machine"]))}
        found |= {"n_interrupted": int((self.runs["starts"] > 1).sum())}
        found |= {"n_from_cache": int((self.runs["from_cache"] == "yes").sum())}
        found |= {"n_decoded": int((self.runs["from_cache"] == "no").sum())}
        sharing = self.sharing().loc[ALL]
        found |= {"n_decoded_before": self.decoded_before()}
        alone_min = float(sharing[f"device time, min, {ALONE}"])
        found |= {f"alone_{what}": int(sharing[f"{what}, {ALONE}"]) for what in _SHARED_OF[:2]}
        found |= {"alone_min": alone_min, "times_less": alone_min / everything["device time, min"]}
        found |= {"share_pretraining": pretrainings["device time, min"] / everything["device time, min"]}
        found |= {"of_planned": everything["device time, min"] / everything["planned, min"]}
        found |= {"longest_s": float(_wall_s(self.runs).max()), "shortest_s": float(_wall_s(self.runs).min())}
        found |= {f"saved_{name}_min": saved.at[way, "device time, min"] for name, way in SHARED.items()}
        return found | {f"saved_{name}_runs": saved.at[way, "runs"] for name, way in SHARED.items()}


def _points(costs: pd.DataFrame, name: str, colour: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=costs["arm"],
        y=costs["wall_s"],
        name=name,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 8, "opacity": 0.75},
        customdata=costs[["run_id", "train_images_seen", "eval_images_seen", *MEASURES.values()]],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]:,} images trained on, %{customdata[2]:,} evaluated<br>"
        "%{customdata[3]:,.1f} s, device time %{customdata[4]:,.1f} s, %{customdata[5]:,.0f} MB<extra></extra>",
    )


def _ids(runs: Iterable[Run]) -> pd.Series:
    return pd.Series([run.run_id for run in runs], dtype=str)


def _wall_s(costs: pd.DataFrame) -> pd.Series:
    return costs["train_wall_time_s"] + costs["eval_wall_time_s"]


def _sums(costs: pd.DataFrame) -> dict[str, float]:
    """Totals of some runs, a run that stands twice counted twice; images trained on and evaluated; of memory the largest."""
    return {
        "runs": len(costs),
        "images": int(costs["train_images_seen"].sum() + costs["eval_images_seen"].sum()),
        "planned, min": costs["planned_min"].sum(),
        "wall time, min": _wall_s(costs).sum() / 60,
        "device time, min": costs["device_time_s"].sum() / 60,
        "peak memory, MB": costs["peak_memory_mb"].max(),
    }


def _frame(rows: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.astype({"runs": int, "images": int})
