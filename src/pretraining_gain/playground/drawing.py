"""Curves and gains as SVG: text that any notebook shows without an extension and redraws without a flicker.

Pure functions. Colours are those of the book's figures; text takes the colour of the theme.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_GREY = "#767676"
_WIDTH = 760
_CHART = (300, 170)  # width and height of one chart of curves
_ROW = 24
_LABELS = 235  # width of the names of rows of gains, and of their numbers
_NUMBERS = 190


@dataclass(frozen=True)
class Curve:
    """A training by epoch. `dash` as SVG takes it; `epochs`: how many there will be."""

    name: str
    colour: str
    dash: str
    epochs: int
    history: Sequence[dict[str, float]]


@dataclass(frozen=True)
class Row:
    """A gain with its interval. `seeds`: those of single seeds; `mine`: trained here."""

    name: str
    colour: str
    mean: float
    low: float
    high: float
    seeds: Sequence[float]
    mine: bool = False


def curves_svg(curves: Sequence[Curve]) -> str:
    """Training top-1 and training loss of each curve, side by side, against the epoch."""
    most = max((curve.epochs for curve in curves), default=1)
    top_loss = max((entry["loss"] for curve in curves for entry in curve.history), default=1.0)
    charts = [
        _chart(curves, "top1", "training top-1", 1.0, most, 45, percent=True),
        _chart(curves, "loss", "training loss", top_loss, most, 45 + _CHART[0] + 60),
    ]
    said = "; ".join(_in_words(curve) for curve in curves)
    return _svg(f"Learning curves. {said}", _CHART[1] + 75, [*charts, *_legend(curves)])


def gains_svg(rows: Sequence[Row], title: str) -> str:
    """One row a gain: its name, its interval and mean, single seeds as small points, and its numbers."""
    least = min([0.0, *(min([row.low, *row.seeds]) for row in rows)])
    most = max([0.0, *(max([row.high, *row.seeds]) for row in rows)])
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (most - least) / step <= 6 or step == 1.0)
    left, right = _LABELS, _WIDTH - _NUMBERS
    scale = (right - left) / (most - least or 1)
    bottom = _ROW * len(rows) + 12

    def x(value: float) -> float:
        return left + (value - least) * scale

    parts = []
    for tick in range(int(-(-least // step)) if least else 0, int(most / step) + 1):
        at, zero = x(tick * step), tick == 0
        parts.append(_line(at, 6, at, bottom, "currentColor", 1.2 if zero else 0.5, opacity=0.8 if zero else 0.25))
        parts.append(_text(at, bottom + 16, f"{tick * step:+.0%}" if tick else "0", "middle"))
    parts.append(_text((left + right) / 2, bottom + 34, "pretraining gain (top-1)", "middle"))
    for place, row in enumerate(rows):
        parts += _row(row, _ROW * place + 20, x)
    said = "; ".join(f"{row.name}: {_gain(row)}" for row in rows)
    return _svg(f"{title}. {said}", bottom + 42, parts)


def _chart(
    curves: Sequence[Curve], value: str, title: str, top: float, most: int, left: float, percent: bool = False
) -> str:
    width, height = _CHART
    parts = [_text(left, 14, title, weight="bold")]
    for share in (0, 0.5, 1):
        y = 24 + height * (1 - share)
        parts.append(_line(left, y, left + width, y, "currentColor", 0.5, opacity=0.3))
        parts.append(_text(left - 6, y + 4, f"{top * share:.0%}" if percent else f"{top * share:.1f}", "end"))
    for epoch in dict.fromkeys((1, most)):
        at = left + width * (epoch - 1) / max(most - 1, 1)
        parts.append(_text(at, 24 + height + 16, f"epoch {epoch}" if epoch == 1 else str(epoch), "middle"))
    for curve in curves:
        points = [
            (left + width * entry["epoch"] / max(most - 1, 1), 24 + height * (1 - min(entry[value] / top, 1)))
            for entry in curve.history
        ]
        parts += _path(points, curve)
    return "".join(parts)


def _path(points: Sequence[tuple[float, float]], curve: Curve) -> list[str]:
    if not points:
        return []
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    line = f'<polyline class="curve" points="{text}" fill="none" stroke="{curve.colour}" stroke-width="2.5"'
    return [f'{line} stroke-dasharray="{curve.dash}"/>', _dot(*points[-1], 3.5, curve.colour)]


def _legend(curves: Sequence[Curve]) -> list[str]:
    y, parts = _CHART[1] + 62, []
    for place, curve in enumerate(curves):
        at = 45 + place * (_WIDTH - 60) / 3
        parts.append(_line(at, y - 4, at + 28, y - 4, curve.colour, 2.5, curve.dash))
        parts.append(_text(at + 34, y, curve.name))
    return parts


def _in_words(curve: Curve) -> str:
    if not curve.history:
        return f"{curve.name}: not begun"
    last = curve.history[-1]
    done = f"{len(curve.history)} of {curve.epochs} epochs"
    return f"{curve.name}: {done}, training top-1 {last['top1']:.0%}, loss {last['loss']:.2f}"


def _row(row: Row, y: float, x: Callable[[float], float]) -> list[str]:
    weight = "bold" if row.mine else "normal"
    parts = [_text(_LABELS - 12, y + 4, row.name, "end", weight)]
    parts.append(_line(x(row.low), y, x(row.high), y, row.colour, 4 if row.mine else 2))
    parts += [_dot(x(seed), y, 2.5, row.colour, opacity=0.55) for seed in row.seeds]
    parts.append(_diamond(x(row.mean), y) if row.mine else _dot(x(row.mean), y, 5, row.colour))
    parts.append(_text(_WIDTH - _NUMBERS + 14, y + 4, _gain(row), weight=weight))
    return parts


def _gain(row: Row) -> str:
    return f"{row.mean:+.1%} ({row.low:+.1%} to {row.high:+.1%})"


def _svg(alternative: str, height: float, parts: Sequence[str]) -> str:
    said = html.escape(alternative, quote=True)
    style = f"max-width:{_WIDTH}px;width:100%;height:auto;font:13px sans-serif"
    start = f'<svg role="img" aria-label="{said}" viewBox="0 0 {_WIDTH} {height:.0f}" style="{style}"'
    return f'{start} xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    look = f'text-anchor="{anchor}" font-weight="{weight}" fill="currentColor"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{html.escape(text)}</text>'


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: str = "", opacity: float = 1.0
) -> str:
    look = f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}" opacity="{opacity}"'
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>'


def _dot(x: float, y: float, radius: float, colour: str, opacity: float = 1.0) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}" opacity="{opacity}"/>'


def _diamond(x: float, y: float) -> str:
    corners = f"{x:.1f},{y - 8:.1f} {x + 8:.1f},{y:.1f} {x:.1f},{y + 8:.1f} {x - 8:.1f},{y:.1f}"
    return f'<polygon class="mine" points="{corners}" fill="currentColor" stroke="{_GREY}"/>'
