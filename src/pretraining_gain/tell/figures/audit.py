"""The audit of ImageNet's animals: class tables and the corrected bird annotations, counted (paper, 2 and D.1).

Needs neither a GPU nor images. `plan.representation` has the counting rules. Without the annotation file, everything that
rests on it says so instead of showing a number.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from pydantic import Field

from pretraining_gain.datasets.inat2021.official import N_ANIMAL_CLASSES, OFFICIAL_COUNTS
from pretraining_gain.paths import public
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.representation import (
    annotations_path,
    correct_images,
    imagenet_birds,
    load_annotations,
    missing_annotations,
)
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.style import BLUE, DOTTED_RULE, GREEN, GREY, LAYOUT, ORANGE, YELLOW

#: Vote cuts as the reader meets them: label -> what `correct_images` takes.
VOTE_CUTS = {
    "any vote (−1 or more)": -2.0,
    "more than −0.5": -0.5,
    "majority (above 0)": 0.0,
    "three quarters (0.5 or more)": 0.49,
    "unanimous (1)": 1.0,
}
#: Numbers of the chapter: how many bird classes have 40 correct images or more at a vote cut.
_FORTY_AT = {"n_well_unanimous": 1.0, "n_well_half": 0.49, "n_well_majority": 0.0}
#: Numbers of the chapter: shares of annotated images with a column at or above 0.
_SHARES = {"humans": "Humans present", "other_animals": "Other animals present", "blurry": "Blurry image"}
WORST = 10
_ANNOTATIONS = Files("audit", "Bird annotations of Luccioni and Rolnick (2023)", lambda _: [annotations_path()])


class Audit(Parameters):
    """The annotations under one choice: votes above `vote_cut` count as correct; `well` images are well represented."""

    vote_cut: float = Field(ge=-1, le=1)
    well: int = Field(ge=0, le=50)

    @cached_property
    def annotations(self) -> pd.DataFrame | None:
        """The annotations, or None if their file is not there. Raises `InputError` for one that cannot be used."""
        return load_annotations() if annotations_path().exists() else None

    @property
    def missing(self) -> str:
        """Return what is said where the annotations are not there."""
        return public(missing_annotations())

    def birds(self, vote_cut: float | None = None) -> pd.Series:
        """Count the correct images of each bird class at a vote cut: name -> count, fewest first."""
        birds = self.annotations[self.annotations["category"] == "Bird"]  # type: ignore[index]
        counts = correct_images(birds, self.vote_cut if vote_cut is None else vote_cut)
        names = load_class_table("imagenet1k").set_index("key")["name"]
        return counts.rename(index=names).sort_values(kind="stable")

    def classes(self) -> pd.DataFrame:
        """Count ImageNet's classes by group, one row per group. Needs the class table only."""
        table = load_class_table("imagenet1k")
        groups = {"all": len(table), "animal": table["animal"].sum(), "not animal": (~table["animal"]).sum()}
        labels = {"wild": "wild (annotated)", "domestic": "domestic", "extinct": "extinct"}
        groups |= table["status"].value_counts().reindex(list(labels)).rename(labels).to_dict()
        return pd.DataFrame({"classes": groups}, dtype=int).rename_axis("ImageNet-1K")

    def targets(self) -> pd.DataFrame:
        """List the supercategories of iNat-Mini-A with the published number of animal classes."""
        counts = {**OFFICIAL_COUNTS, "all": N_ANIMAL_CLASSES}
        return pd.DataFrame({"classes": counts}).rename_axis("iNat-Mini-A")

    def mapping(self) -> pd.DataFrame:
        """List ImageNet's bird classes with the species of iNaturalist 2021 that they name, one row per class."""
        grouped = imagenet_birds().groupby(["imagenet_class_id", "imagenet_name"])
        rows = grouped.agg(
            species=("species", lambda names: ", ".join(filter(None, names))),
            relation=("relation", lambda names: "; ".join(dict.fromkeys(names))),
            reason=("reason", lambda texts: "; ".join(dict.fromkeys(filter(None, texts)))),
        )
        return rows.reset_index().set_index("imagenet_class_id").rename_axis("class")

    def numbers(self) -> dict[str, str]:
        """Return what the chapter states, as texts; where the annotation file is missing, only what rests on class tables."""
        table, species = load_class_table("imagenet1k"), imagenet_birds()
        extinct = table.loc[table["status"] == "extinct", ["name", "class_id"]].to_records(index=False)
        counts = self.classes()["classes"]
        numbers: dict[str, Any] = {
            "n_animal": counts["animal"],
            "n_non_animal": counts["not animal"],
            "n_wild": counts["wild (annotated)"],
            "n_domestic": counts["domestic"],
            "n_extinct": counts["extinct"],
            "n_accounted": counts["wild (annotated)"] + counts["domestic"],
            "extinct": " and ".join(f"{name} ({number})" for name, number in extinct),
            "n_inat": f"{N_ANIMAL_CLASSES:,}",
            "n_inat_birds": f"{OFFICIAL_COUNTS['Birds']:,}",
            "n_mapped_classes": species["wnid"].nunique(),
            "n_classes_without_species": int((species["species"] == "").sum()),
            "n_species_named": species.loc[species["species"] != "", "species"].nunique(),
            "vote_cut": f"{self.vote_cut:g}",
            "well": self.well,
        }
        return {key: str(value) for key, value in (numbers | self._annotated()).items()}

    def _annotated(self) -> dict[str, Any]:
        """Return the numbers that rest on the annotation file."""
        if self.annotations is None:
            return {"annotations": self.missing}
        images, worst = self.annotations, self.birds().head(WORST)
        birds = images[images["category"] == "Bird"]
        return {
            "n_images": f"{len(images):,}",
            "n_bird_classes": birds["class_id"].nunique(),
            "n_bird_images": f"{len(birds):,}",
            "n_well": (self.birds() >= self.well).sum(),
            "wrong": f"{(images['Correct ID'] < 0).mean():.2%}",
            **{name: f"{(images[column] >= 0).mean():.2%}" for name, column in _SHARES.items()},
            **{name: (self.birds(cut) >= 40).sum() for name, cut in _FORTY_AT.items()},
            "worst": ", ".join(f"{name} ({count})" for name, count in worst.items()),
            "worst_name": worst.index[0],
            "worst_count": worst.iloc[0],
            "worst_species": self.mapping().set_index("imagenet_name").at[worst.index[0], "species"],
            "annotations": "the annotation file is there",
        }


@figure("A1", "Well represented bird classes by threshold", "14_audit", _ANNOTATIONS)
def figure_thresholds(audit: Audit) -> go.Figure | str:
    """Draw the number of well represented bird classes against the threshold, one line per vote cut."""
    if audit.annotations is None:
        return audit.missing
    wanted = list(range(51))
    lines = []
    styles = ((GREY, "dot"), (YELLOW, "dashdot"), (BLUE, "solid"), (GREEN, "dash"), (ORANGE, "longdash"))
    for (label, cut), (colour, dash) in zip(VOTE_CUTS.items(), styles, strict=True):
        counts = audit.birds(cut)
        hover = f"at least %{{x}} correct images: %{{y}} classes<br>{label}<extra></extra>"
        at_least = [int((counts >= least).sum()) for least in wanted]
        line = {"color": colour, "dash": dash, "shape": "hv"}
        lines.append(go.Scatter(x=wanted, y=at_least, name=label, mode="lines", line=line, hovertemplate=hover))
    drawn = go.Figure(lines)
    drawn.add_vline(x=40, line=DOTTED_RULE)
    drawn.update_layout(**LAYOUT)
    drawn.update_xaxes(title="threshold: correct images (of 50)")
    return drawn.update_yaxes(title="bird classes at or above it", rangemode="tozero")


@figure("A2", "Correct images of each bird class", "14_audit", _ANNOTATIONS)
def figure_classes(audit: Audit) -> go.Figure | str:
    """Draw the correct images of each bird class, fewest first; a menu sets the vote cut."""
    if audit.annotations is None:
        return audit.missing
    order = audit.birds(0.0).index
    values = {label: audit.birds(cut).reindex(order).tolist() for label, cut in VOTE_CUTS.items()}
    start = list(VOTE_CUTS).index("majority (above 0)")
    bars = go.Bar(
        x=list(values.values())[start], y=list(order), orientation="h", marker={"color": BLUE},
        hovertemplate="<b>%{y}</b>: %{x} of 50 images correct<extra></extra>",
    )
    drawn = go.Figure(bars)
    drawn.add_vline(x=40, line=DOTTED_RULE)
    buttons = [{"label": label, "method": "update", "args": [{"x": [xs]}, {}]} for label, xs in values.items()]
    menu = {"name": "Correct by", "buttons": buttons, "active": start, "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
    drawn.update_layout(**LAYOUT | {"height": 1150}, updatemenus=[menu])
    drawn.update_xaxes(title="correct images (of 50)", range=[0, 50])
    return drawn.update_yaxes(autorange="reversed", dtick=1, tickfont={"size": 11}, automargin=True)
