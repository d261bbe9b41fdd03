"""What a study will run and what it will cost, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pretraining_gain.plan.recipes import RecipeChoice
from pretraining_gain.plan.runs import Run, finetuning_runs, plain_parameters, pretraining_runs
from pretraining_gain.plan.studies import Study, load_study

_FORWARD_SHARE = (
    1 / 3
)  # a forward pass is about a third of a training step; a frozen backbone and evaluation need no more


@dataclass(frozen=True)
class Plan:
    """The runs of a study and their price at its assumed throughput (one device)."""

    study: Study
    name: str

    @classmethod
    def of(cls, name_or_path: str) -> Plan:
        return cls(load_study(name_or_path), name_or_path)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Plan:
        """From a notebook's `globals()`: the one parameter is `study`."""
        return cls.of(plain_parameters(parameters, ["study"])["study"])

    def runs(self) -> list[Run]:
        return [*pretraining_runs(self.study, self.name), *finetuning_runs(self.study, self.name)]

    def run_table(self) -> pd.DataFrame:
        """One row a run: run_id, stage, downstream, images_seen, device_hours."""
        rows = [
            {
                "run_id": run.run_id,
                "stage": run.stage,
                "downstream": run.downstream,
                "images_seen": images_seen(run),
                "device_hours": self._hours(run),
            }
            for run in self.runs()
        ]
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """One row a stage and downstream: runs, images seen, hours of one device."""
        grouped = self.run_table().groupby(["stage", "downstream"], sort=False)
        table = grouped.agg(
            runs=("run_id", "size"), images_seen=("images_seen", "sum"), device_hours=("device_hours", "sum")
        )
        return table.reset_index("downstream")

    def recipes(self) -> pd.DataFrame:
        """One row a recipe field: its value in each recipe of the study, and where the value comes from."""
        choices: dict[str, RecipeChoice] = {"pretrain": self.study.pretrain}
        choices |= {downstream.name: downstream.recipe for downstream in self.study.downstreams}
        columns: dict[str, dict[str, str]] = {}
        for name, choice in choices.items():
            values, sources = choice.resolve().model_dump(), choice.sources()
            columns[name] = {field: f"{value} [{sources[field]}]" for field, value in values.items()}
        return pd.DataFrame(columns).rename_axis("recipe")

    def numbers(self) -> dict[str, Any]:
        """Totals for the chapters."""
        table = self.run_table()
        return {
            "study": self.study.name,
            "n_pretrainings": int((table["stage"] == "pretrain").sum()),
            "n_finetunings": int((table["stage"] == "finetune").sum()),
            "n_runs": len(table),
            "n_seeds": len(self.study.seeds),
            "images_seen": int(table["images_seen"].sum()),
            "device": self.study.throughput.device,
            "device_hours": float(table["device_hours"].sum()),
            "images_per_s": self.study.throughput.train_images_per_s,
            "throughput_source": self.study.throughput.source,
        }

    def _hours(self, run: Run) -> float:
        recipe = run.recipe
        share = _FORWARD_SHARE if recipe.freeze_backbone else 1
        evaluated = run.images.n_classes * run.images.eval_images_per_class * _FORWARD_SHARE if run.downstream else 0
        return (images_seen(run) * share + evaluated) / self.study.throughput.train_images_per_s / 3600


def images_seen(run: Run) -> int:
    """Training images × epochs, as planned."""
    classes = run.images.n_classes if run.downstream else run.k
    return classes * run.images.train_images_per_class * run.recipe.epochs
