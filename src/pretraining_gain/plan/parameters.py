"""Check the parameters of a notebook, taken from its `globals()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pretraining_gain.errors import Given, InputError, one_line
from pretraining_gain.plan.studies import check_name

_PLAIN = (bool, int, float, str, list, dict, tuple, type(None))
_NOTEBOOK_OWN = {"In", "Out"}


class Parameters(Given):
    """The parameters of a notebook. Raises `InputError` for a value that is not accepted."""

    def __init__(self, **values: Any) -> None:
        with one_line("parameters"):
            super().__init__(**values)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """Build from a notebook's parameters, or from its `globals()`.

        Every plain value (number, text, list …) without a leading underscore must be a field; so a misspelt papermill
        parameter is an error here even where papermill itself only warns. So is the path of a study file whose name
        belongs to another study: notebooks write results under it.
        """
        given = cls(**plain_parameters(parameters, list(cls.model_fields)))
        if "study" in cls.model_fields:
            check_name(given.study)  # type: ignore[attr-defined]
        return given


class StudyName(Parameters):
    """The parameters of a notebook about a whole study."""

    study: str


def plain_parameters(parameters: Mapping[str, Any], accepted: list[str]) -> dict[str, Any]:
    """Return the plain values among `parameters` (or a notebook's `globals()`). Raises `InputError` for a name not `accepted`."""
    plain = {
        name: value
        for name, value in parameters.items()
        if isinstance(value, _PLAIN) and not name.startswith("_") and name not in _NOTEBOOK_OWN
    }
    unknown = [name for name in plain if name not in accepted]
    if unknown:
        raise InputError(f"unknown parameter(s): {', '.join(unknown)}; accepted: {', '.join(accepted)}")
    return plain
