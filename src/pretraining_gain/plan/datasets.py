"""What each dataset takes: the options that a study file may give it, and the columns that its class table must have.

A dataset is a module of `compute/datasets`. One that takes no options and reads no columns of its own needs no line here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pretraining_gain.errors import InputError

_MODULES = Path(__file__).resolve().parents[1] / "compute" / "datasets"
_SHARED = {"__init__", "image_folder", "prepared"}


class Options(BaseModel):
    """The options of a dataset; each field's description says what it accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Dials(Options):
    """Of the toy world; see `compute/datasets/toy.py` for what they do."""

    gap: float = Field(default=0, ge=0, le=1, description="a number from 0 (close-up) to 1 (field)")
    shares: Literal["generic", "family", "species"] = Field(default="species", description="generic, family, species")
    strength: float = Field(default=1, ge=0, le=1, description="a number from 0 to 1")


class EvaluateOn(Options):
    """Of iNaturalist 2021: whether its evaluation images are drawn from the full training set, or the official val's."""

    evaluate_on: Literal["train", "val"] = Field(default="train", description="train, val")


@dataclass(frozen=True)
class Kind:
    """What one dataset takes beside the required columns of a class table."""

    options: type[Options] = Options
    columns: tuple[str, ...] = ()


KINDS = {
    "caltech101": Kind(columns=("folders",)),
    "inat2021": Kind(EvaluateOn, ("category_id",)),
    "toy": Kind(Dials, ("draw_body", "draw_girth", "draw_head", "draw_pattern")),
}


def dataset_names() -> list[str]:
    return sorted(path.stem for path in _MODULES.glob("*.py") if path.stem not in _SHARED)


def check_dataset(name: str) -> None:
    """Raise `InputError` for a dataset that is no module of `compute/datasets`."""
    if name not in dataset_names():
        raise InputError(f"dataset {name!r} is unknown; accepted: {', '.join(dataset_names())}")


def options_of(dataset: str, given: dict[str, Any]) -> Options:
    """The dataset's options, checked, with its defaults. Raises `InputError` naming the option and what is accepted."""
    model = KINDS.get(dataset, Kind()).options
    try:
        return model(**given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
    if name not in model.model_fields:
        accepted = ", ".join(model.model_fields) or "none"
        raise InputError(f"{dataset} option {name!r} is unknown; accepted: {accepted}")
    raise InputError(f"{dataset} option {name}={given[name]!r}; accepted: {model.model_fields[name].description}")


def check_columns(dataset: str, table_name: str | None, columns: Iterable[str]) -> None:
    """Raise `InputError` for a class table that lacks a column which the dataset reads."""
    wanted = KINDS.get(dataset, Kind()).columns
    missing = [column for column in wanted if column not in columns]
    if missing:
        raise InputError(
            f"class table {table_name!r} lacks column {missing[0]!r}; dataset {dataset} takes one with {', '.join(wanted)}"
        )
