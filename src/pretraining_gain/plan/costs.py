"""List the runs of a study and their price before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pretraining_gain.datasets import SPLITS, Split, find_dataset
from pretraining_gain.plan.backbones import find_backbone
from pretraining_gain.plan.parameters import StudyName
from pretraining_gain.plan.recipes import RecipeChoice
from pretraining_gain.plan.runs import Run, finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import Study, load_study

# A forward pass is about a third of a training step; a frozen backbone and evaluation need no more.
_FORWARD_SHARE = 1 / 3
# A prepared image is a JPEG of quality 95 without colour subsampling: about so many bytes a pixel, measured on
# Caltech-101's photographs at 256 px.
_BYTES_PER_PIXEL = 0.49


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
        """Build from a notebook's `globals()`, whose one parameter is `study`."""
        return cls.of(StudyName.from_parameters(parameters).study)

    def runs(self) -> list[Run]:
        return [*pretraining_runs(self.name), *finetuning_runs(self.name)]

    def run_table(self) -> pd.DataFrame:
        """Return one row per run: run_id, stage, downstream, images_seen, device_hours."""
        rows = [[run.run_id, run.stage, run.downstream, images_seen(run), device_hours(run)] for run in self.runs()]
        return pd.DataFrame(rows, columns=["run_id", "stage", "downstream", "images_seen", "device_hours"])

    def table(self) -> pd.DataFrame:
        """Return one row per stage and downstream: runs, images seen, hours of one device."""
        grouped = self.run_table().groupby(["stage", "downstream"], sort=False)
        sums = {name: (name, "sum") for name in ("images_seen", "device_hours")}
        return grouped.agg(runs=("run_id", "size"), **sums).reset_index("downstream")

    def disk_table(self) -> pd.DataFrame:
        """Return disk use in GB: prepared images (large datasets only), weights, checkpoints while running."""
        rows = []
        source = [self.study.pretraining] if self.study.source else []
        for images, recipe in [*source, *((d.images, d.recipe) for d in self.study.downstreams)]:
            if preparation := find_dataset(images.dataset).preparation:
                px = recipe.resolve().resize_px
                for split in SPLITS:
                    gigabytes = images.n_classes * images.per_class(split) * px**2 * _BYTES_PER_PIXEL / 1e9
                    part = preparation.part_name(images, split)
                    rows.append((f"prepared {images.dataset}, {split}", part, px, gigabytes))
        sets = pd.DataFrame(rows, columns=["disk", "part", "px", "GB"]).groupby(["disk", "part", "px"], sort=False)["GB"]
        largest = sets.max()  # a part of a dataset is in the whole
        kept = largest[largest > 0].groupby("disk", sort=False).sum().to_dict()
        weights = find_backbone(self.study.backbone).weights_mb / 1000
        stages = [run.stage for run in self.runs()]
        if self.study.keep_networks:
            kept["networks of all finetunings"] = weights * stages.count("finetune")
        kept["weights of all pretrainings"] = weights * stages.count("pretrain")
        kept["checkpoint of one run (gone when it ends)"] = 2 * weights
        return pd.DataFrame({"GB": kept | {"all": sum(kept.values())}}).rename_axis("disk")

    def recipes(self) -> pd.DataFrame:
        """Return one row per recipe field: its value in each recipe of the study, and the source of the value."""
        choices: dict[str, RecipeChoice] = {"pretrain": self.study.pretrain} if self.study.pretrain else {}
        choices |= {downstream.name: downstream.recipe for downstream in self.study.downstreams}
        columns: dict[str, dict[str, str]] = {}
        for name, choice in choices.items():
            for scratch in (False, True) if choice.from_scratch else (False,):
                values, sources = choice.resolve(scratch=scratch).model_dump(), choice.sources(scratch=scratch)
                column = f"{name}, from scratch" if scratch else name
                columns[column] = {field: f"{value} [{sources[field]}]" for field, value in values.items()}
        return pd.DataFrame(columns).rename_axis("recipe")

    def numbers(self) -> dict[str, Any]:
        """Return totals for the chapters."""
        table, target = self.run_table(), self.study.downstreams[0].images
        return {
            "study": self.study.name,
            "n_runs": len(table),
            "images_seen": int(table["images_seen"].sum()),
            "device": self.study.throughput.device,
            "evaluated_on": find_dataset(target.dataset).describe_evaluation(target),
            "disk_gb": float(self.disk_table().at["all", "GB"]),
            "device_hours": float(table["device_hours"].sum()),
            "images_per_s": self.study.throughput.train_images_per_s,
            "throughput_source": self.study.throughput.source,
        }

    def not_run(self) -> str:
        """Write one paragraph about what the study would cost, in place of results."""
        totals = self.numbers()
        return (
            f"Not run here. All figures of study {totals['study']} together take {totals['n_runs']} runs, estimated at "
            f"{totals['device_hours']:,.0f} hours of {totals['device']} at {totals['images_per_s']:,.0f} training images per "
            f"second ({totals['throughput_source']}) and {totals['disk_gb']:,.0f} GB of disk."
        )


def images_seen(run: Run) -> int:
    """Return training images × epochs, as planned."""
    return images_planned(run, "train") * run.recipe.epochs


def images_planned(run: Run, split: Split) -> int:
    """Return how many images a run trains on or is evaluated on: a pretraining on k classes, and on none."""
    if run.downstream:
        return run.images.planned(split)
    return run.k * run.images.train_images_per_class if split == "train" else 0


def device_hours(run: Run) -> float:
    """Hours of one device that the run takes at its study's throughput, which is that of the study's backbone."""
    recipe = run.recipe
    share = _FORWARD_SHARE if recipe.freeze_backbone else 1.0
    if recipe.frozen_views:  # the backbone sees each view once; what the head takes is next to nothing
        share *= min(recipe.frozen_views, recipe.epochs) / recipe.epochs
    evaluated = images_planned(run, "eval") * _FORWARD_SHARE
    relative_cost = find_backbone(run.backbone).cost / find_backbone(run.plan.backbone).cost
    return relative_cost * (images_seen(run) * share + evaluated) / run.plan.throughput.train_images_per_s / 3600
