"""Bad input, said in one line: what is wrong, where, and what would be accepted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one complete line."""

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this: in a notebook the one line replaces the stack."""
        return [f"{type(self).__name__}: {self}"]


class Interrupted(Exception):
    """The process was told to end (SIGTERM: a time limit, a preemption) and did, with its state kept. Not a failure."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


#: Exit code of an interrupted run: "try again" in the sense of sysexits.h; schedulers can be told to requeue on it.
TRY_AGAIN = 75


@contextmanager
def one_line(where: str) -> Iterator[None]:
    """Turn pydantic's report on `where` (a file, a notebook's parameters) into one `InputError`."""
    try:
        yield
    except ValidationError as error:
        raise InputError(f"{where}: {_summary(error)}") from None


def _summary(error: ValidationError) -> str:
    parts = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(step) for step in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            parts.append(f"unknown field {field!r}")
        elif problem["type"] == "missing":
            parts.append(f"field {field!r} is missing")
        else:
            got = "" if problem["type"] == "value_error" else f" (got {problem['input']!r})"
            parts.append(f"{field}: {message}{got}" if field else f"{message}{got}")
    return "; ".join(parts)
