"""Errors about bad input, in one line: what is wrong, where, and what is accepted."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

#: Limits: length of a wrong value, and problems of one file.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist = 2, 4, 6
_MOST = 5


class _OneLine(Exception):
    def _render_traceback_(self) -> list[str]:
        """Replace the stack by one line in a notebook (called by IPython)."""
        return [f"{type(self).__name__}: {self}"]


class InputError(_OneLine, ValueError):
    """Unusable input. The message is one complete line, whatever it quotes."""

    def __init__(self, message: object) -> None:
        super().__init__(" ".join(str(message).splitlines()))


class Interrupted(_OneLine):
    """The process stopped on SIGTERM (a time limit, a preemption) with its state saved. Not a failure."""


class Given(BaseModel):
    """Input from a file or a notebook: fields of exactly their type, finite numbers, no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _nothing_unknown(cls, given: Any) -> Any:
        unknown = [name for name in given if name not in cls.model_fields] if isinstance(given, Mapping) else []
        if unknown:
            raise ValueError(f"unknown field {unknown[0]!r}; accepted: {', '.join(cls.model_fields)}")
        return given


#: Exit code of an interrupted run (EX_TEMPFAIL of sysexits.h); schedulers can requeue on it.
TRY_AGAIN = 75


@contextmanager
def one_line(where: str) -> Iterator[None]:
    """Turn pydantic's report on `where` (a file, a notebook's parameters) into one `InputError`."""
    try:
        yield
    except ValidationError as error:
        problems = [_problem(one) for one in error.errors(include_url=False)]
        more = [f"and {len(problems) - _MOST} more"] if len(problems) > _MOST else []
        raise InputError(f"{where}: {'; '.join([*problems[:_MOST], *more])}") from None


def _problem(found: Mapping[str, Any]) -> str:
    field = ".".join(str(step) for step in found["loc"])
    if found["type"] == "missing":
        return f"field {field!r} is missing"
    message = found["msg"].removeprefix("Value error, ")
    got = "" if found["type"] == "value_error" else f" (got {_SHORT.repr(found['input'])})"
    return f"{field}: {message}{got}" if field else f"{message}{got}"
