"""Format numbers for prose: each format fixes sign, unit and decimals."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pretraining_gain.errors import InputError

LEVEL = "95\u00a0% interval"
_PLAIN = re.compile(r"\.\df")


def format_number(value: Callable[[str], Any], key: str, form: str) -> str:
    """Return `value(key)` in prose; an interval also reads `value(key + "_low")` and `..._high`.

    Raises `InputError` for an unknown format or a value that the format cannot show.
    """
    if form not in FORMATS and not _PLAIN.fullmatch(form):
        raise InputError(f"unknown format {form!r} of {key}; accepted: {', '.join(FORMATS)}, or .2f and the like")
    unit, _, extent = form.partition(" ")
    stated = {name: value(name) for name in (key, *(f"{key}_{end}" for end in ("low", "high") if extent))}
    for name, found in stated.items():
        if found != found:  # NaN
            raise InputError(f"{name} is {found}, which format {form!r} cannot show; accepted: a number")
    try:
        text = _UNITS[unit](stated[key]) if unit in _UNITS else format(stated[key], form).replace("-", "−")
        if not extent:
            return text
        low, high = (_UNITS[unit.removeprefix("unsigned-")](stated[f"{key}_{end}"]) for end in ("low", "high"))
    except (TypeError, ValueError):
        accepted = "a number, not negative if unsigned"
        raise InputError(f"{key} is {stated[key]!r}, which format {form!r} cannot show; accepted: {accepted}") from None
    return f"{text} ({LEVEL} {ends(low, high)})" if extent == "interval" else f"{text} ({ends(low, high)})"


def ends(low: str, high: str) -> str:
    """Join the formatted ends of an interval, without units, and with signs only where one is negative."""
    low, high = (end.partition("\u00a0")[0] for end in (low, high))
    return f"{low} to {high}" if low.startswith("−") else f"{low.removeprefix('+')} to {high.removeprefix('+')}"


def points(value: float) -> str:
    """Format a difference of shares in percentage points, with its sign: 0.12 -> `+12.0 points`."""
    return f"{round(100 * value, 1) + 0.0:+.1f}\u00a0points".replace("-", "−")


def percent(value: float, decimals: int = 1) -> str:
    """Format a share in percent: 0.463 -> `46.3 %`."""
    return f"{100 * value:.{decimals}f}\u00a0%".replace("-", "−")


def _unsigned(value: float) -> str:
    """Format a difference that a sentence says is positive: 0.12 -> `12.0 points`. Raises `ValueError` for a negative one."""
    if value < 0:
        raise ValueError(value)
    return points(value).removeprefix("+")


_UNITS: dict[str, Callable[[Any], str]] = {
    "points": points,
    "unsigned-points": _unsigned,
    "percent": percent,
    "whole-percent": lambda value: percent(value, 0),
    "count": lambda value: f"{value:,.0f}",
    "text": str,
}
#: What a chapter may ask for; `interval` names its level, `range` gives the ends only.
FORMATS = [
    *_UNITS,
    *(f"{unit} {extent}" for unit in ("points", "unsigned-points", "percent") for extent in ("interval", "range")),
]
