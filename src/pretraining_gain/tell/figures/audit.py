"""The audit of ImageNet's animals: what the class tables and the corrected bird annotations say (paper, 2 and D.1).

Needs no GPU and no images. Counting rules are those of `plan.representation`. Where the annotation file is not there,
everything that rests on it says so instead of a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from pydantic import Field

from pretraining_gain.paths import public
from pretraining_gain.plan.inat2021 import N_ANIMAL_CLASSES, OFFICIAL_COUNTS
from pretraining_gain.plan.parameters import Parameters
from pretraining_gain.plan.representation import annotations_path, correct_images, imagenet_birds, load_annotations
from pretraining_gain.plan.taxonomy import load_class_table
from pretraining_gain.tell.figures.declare import Files, figure
from pretraining_gain.tell.figures.taxa import LAYOUT

UNKNOWN = "(not known here)"
#: Vote cuts as the reader meets them: label -> what `correct_images` takes.
VOTE_CUTS = {
    "any vote (−1 or more)": -2.0,
    "more than −0.5": -0.5,
    "majority (above 0)": 0.0,
    "three quarters (0.5 or more)": 0.49,
    "unanimous (1)": 1.0,
}
WORST = 10


class AuditView(Parameters):
    """The parameters of the audit notebook: votes above `vote_cut` count as correct; `well` images are well represented."""

    vote_cut: float = Field(ge=-1, le=1)
    well: int = Field(ge=0, le=50)

    def audit(self) -> Audit:
        """Raises `InputError` for an annotation file that is there and cannot be used."""
        if annotations_path().exists():
            return Audit(self, load_annotations(), "")
        fetch = "fetch it with `python -m pretraining_gain.data annotations`"
        return Audit(self, None, public(f"{annotations_path()} is missing; {fetch}"))


@dataclass(frozen=True)
class Audit:
    """Annotations (None: not there, and `missing` says why) under one choice of vote cut and threshold."""

    view: AuditView
    annotations: pd.DataFrame | None
    missing: str

    def birds(self, vote_cut: float | None = None) -> pd.Series:
        """Correct images of each bird class at a vote cut: name -> count, fewest first."""
        birds = self.annotations[self.annotations["category"] == "Bird"]
        counts = correct_images(birds, self.view.vote_cut if vote_cut is None else vote_cut)
        names = load_class_table("imagenet1k").set_index("key")["name"]
        return counts.rename(index=names).sort_values(kind="stable")

    def classes(self) -> pd.DataFrame:
        """How the 1,000 classes divide: one row a group, with its number of classes. Needs the class table only."""
        table = load_class_table("imagenet1k")
        status = table["status"]
        groups = {
            "all": len(table),
            "animal": int(table["animal"].sum()),
            "not animal": int((~table["animal"]).sum()),
            "wild (annotated)": int((status == "wild").sum()),
            "domestic": int((status == "domestic").sum()),
            "extinct": int((status == "extinct").sum()),
        }
        return pd.DataFrame({"classes": groups}).rename_axis("ImageNet-1K")

    def targets(self) -> pd.DataFrame:
        """The supercategories of iNat-Mini-A with the published number of animal classes."""
        counts = {**OFFICIAL_COUNTS, "all": N_ANIMAL_CLASSES}
        return pd.DataFrame({"classes": counts}).rename_axis("iNat-Mini-A")

    def mapping(self) -> pd.DataFrame:
        """ImageNet's bird classes and the species of iNaturalist 2021 that they name, one row a class."""
        table = imagenet_birds()
        grouped = table.groupby(["imagenet_class_id", "imagenet_name"])
        rows = grouped.agg(
            species=("species", lambda names: ", ".join(filter(None, names))),
            relation=("relation", lambda names: "; ".join(dict.fromkeys(names))),
            reason=("reason", lambda texts: "; ".join(dict.fromkeys(filter(None, texts)))),
        )
        return rows.reset_index().set_index("imagenet_class_id").rename_axis("class")

    def numbers(self) -> dict[str, str]:
        """What the chapter states, as texts; `(not known here)` where the annotation file is missing."""
        table, species = load_class_table("imagenet1k"), imagenet_birds()
        extinct = table.loc[table["status"] == "extinct", ["name", "class_id"]].to_records(index=False)
        numbers: dict[str, Any] = {
            "n_animal": int(table["animal"].sum()),
            "n_non_animal": int((~table["animal"]).sum()),
            "n_wild": int((table["status"] == "wild").sum()),
            "n_domestic": int((table["status"] == "domestic").sum()),
            "n_extinct": int((table["status"] == "extinct").sum()),
            "extinct": " and ".join(f"{name} ({number})" for name, number in extinct),
            "n_inat": f"{N_ANIMAL_CLASSES:,}",
            "n_inat_birds": f"{OFFICIAL_COUNTS['Birds']:,}",
            "n_mapped_classes": species["wnid"].nunique(),
            "n_classes_without_species": int((species["species"] == "").sum()),
            "n_species_named": species.loc[species["species"] != "", "species"].nunique(),
            "vote_cut": f"{self.view.vote_cut:g}",
            "well": self.view.well,
        }
        numbers["n_accounted"] = numbers["n_wild"] + numbers["n_domestic"]
        return {key: str(value) for key, value in (numbers | self._annotated()).items()}

    def _annotated(self) -> dict[str, str]:
        keys = [
            "n_images",
            "n_bird_classes",
            "n_bird_images",
            "n_well",
            "n_well_unanimous",
            "n_well_half",
            "n_well_majority",
        ]
        keys += ["wrong", "humans", "other_animals", "blurry", "worst", "worst_name", "worst_count", "worst_species"]
        if self.annotations is None:
            return dict.fromkeys(keys, UNKNOWN) | {"annotations": self.missing}
        birds = self.annotations[self.annotations["category"] == "Bird"]
        kept = self.annotations
        by_cut = {name: int((self.birds(VOTE_CUTS[cut]) >= 40).sum()) for name, cut in _FORTY.items()}
        worst = self.birds().head(WORST)
        values = {
            "n_images": f"{len(self.annotations):,}",
            "n_bird_classes": birds["class_id"].nunique(),
            "n_bird_images": f"{len(birds):,}",
            "n_well": int((self.birds() >= self.view.well).sum()),
            "wrong": _percent(kept["Correct ID"] < 0),
            "humans": _percent(kept["Humans present"] >= 0),
            "other_animals": _percent(kept["Other animals present"] >= 0),
            "blurry": _percent(kept["Blurry image"] >= 0),
            "worst": ", ".join(f"{name} ({count})" for name, count in worst.items()),
            "worst_name": worst.index[0],
            "worst_count": worst.iloc[0],
            "worst_species": self.mapping().set_index("imagenet_name").at[worst.index[0], "species"],
            "annotations": "the annotation file is there",
        }
        return {key: str(value) for key, value in (values | by_cut).items()}

    def figure_thresholds(self) -> go.Figure | str:
        """How many bird classes are well represented, by the threshold asked for, one line a vote cut."""
        if self.annotations is None:
            return self.missing
        figure = go.Figure()
        wanted = list(range(51))
        for (label, cut), dash in zip(VOTE_CUTS.items(), ("dot", "dashdot", "solid", "dash", "longdash"), strict=True):
            counts = self.birds(cut)
            figure.add_trace(
                go.Scatter(
                    x=wanted,
                    y=[int((counts >= least).sum()) for least in wanted],
                    name=label,
                    mode="lines",
                    line={"dash": dash, "shape": "hv"},
                    hovertemplate=f"at least %{{x}} correct images: %{{y}} classes<br>{label}<extra></extra>",
                )
            )
        figure.add_vline(x=40, line={"color": "#767676", "width": 1, "dash": "dot"})
        figure.update_layout(
            **LAYOUT,
            colorway=["#767676", "#E69F00", "#0072B2", "#009E73", "#D55E00"],
            xaxis={"title": "correct images asked for (of 50)"},
            yaxis={"title": "bird classes that have them", "rangemode": "tozero"},
        )
        return figure

    def figure_classes(self) -> go.Figure | str:
        """Correct images of each bird class, fewest first, with a menu for the vote cut."""
        if self.annotations is None:
            return self.missing
        order = self.birds(0.0).index
        values = {label: self.birds(cut).reindex(order).tolist() for label, cut in VOTE_CUTS.items()}
        start = list(VOTE_CUTS).index("majority (above 0)")
        bars = go.Bar(
            x=list(values.values())[start],
            y=list(order),
            orientation="h",
            marker={"color": "#0072B2"},
            hovertemplate="<b>%{y}</b>: %{x} of 50 images correct<extra></extra>",
        )
        figure = go.Figure(bars)
        figure.add_vline(x=40, line={"color": "#767676", "width": 1, "dash": "dot"})
        buttons = [{"label": label, "method": "restyle", "args": [{"x": [xs]}]} for label, xs in values.items()]
        figure.update_layout(
            **LAYOUT | {"height": 1150},
            updatemenus=[
                {"buttons": buttons, "active": start, "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"}
            ],
            xaxis={"title": "correct images (of 50)", "range": [0, 50]},
            yaxis={"autorange": "reversed", "dtick": 1, "tickfont": {"size": 11}, "automargin": True},
        )
        return figure


_FORTY = {
    "n_well_unanimous": "unanimous (1)",
    "n_well_half": "three quarters (0.5 or more)",
    "n_well_majority": "majority (above 0)",
}


def _percent(condition: pd.Series) -> str:
    return f"{condition.mean():.2%}"


_ANNOTATIONS = Files("audit", "Bird annotations of Luccioni and Rolnick (2023)", lambda _: [annotations_path()])


@figure(
    key="figure_thresholds",
    number="A1",
    title="Well represented bird classes by threshold",
    notebook="14_audit",
    needs=_ANNOTATIONS,
)
def thresholds(audit: Audit) -> go.Figure | str:
    """Draw how many bird classes are well represented."""
    return audit.figure_thresholds()


@figure(
    key="figure_classes",
    number="A2",
    title="Correct images of each bird class",
    notebook="14_audit",
    needs=_ANNOTATIONS,
)
def classes(audit: Audit) -> go.Figure | str:
    """Draw the correct images of each bird class."""
    return audit.figure_classes()
