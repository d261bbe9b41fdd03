"""The picture that stands for the book where it is shared: its question, and Figure 3 of `mini` as the book shows it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pretraining_gain.plan.pools import POOLS, starts

SIZE = (1200, 630)  # what sites that show previews ask for
TITLE = "Why does pretraining help\nrecognise wildlife?"
FOOT = "A reproducible paper: every number out of an executed notebook"
_INK, _SOFT, _PAPER = "#1b2733", "#5a6774", "#ffffff"
_PLOT = (110, 250, 840, 545)  # left, top, right, bottom of the curves


def curves_of(notebook: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pool -> x and y of its line in the `figure_3` of an executed notebook; empty where there is none."""
    if not notebook.exists():
        return {}
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    for output in outputs:
        provenance = output.get("metadata", {}).get("provenance", {})
        figure = output.get("data", {}).get("application/vnd.plotly.v1+json")
        if figure and str(provenance.get("figure", "")).endswith("figure_3"):
            lines = [trace for trace in figure["data"] if trace.get("name")]
            return {trace["legendgroup"]: (_values(trace["x"]), _values(trace["y"])) for trace in lines}
    return {}


def _values(stored: Any) -> np.ndarray:
    """A column as plotly stores it: a list, or bytes in base64."""
    if isinstance(stored, dict):
        return np.frombuffer(base64.b64decode(stored["bdata"]), stored["dtype"]).astype(float)
    return np.array(stored, dtype=float)


def draw_card(curves: dict[str, tuple[np.ndarray, np.ndarray]], said: str) -> bytes:
    """A PNG: the title, one line below it, and the curves, each with its name at its end."""
    image = Image.new("RGB", SIZE, _PAPER)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 16, SIZE[1]), fill=POOLS["animal"].colour)
    pen.multiline_text((60, 40), TITLE, fill=_INK, font=ImageFont.load_default(58), spacing=10)
    pen.text((60, 192), said, fill=_SOFT, font=ImageFont.load_default(26))
    if curves:
        _draw_curves(pen, curves)
    pen.text((60, 584), FOOT, fill=_SOFT, font=ImageFont.load_default(24))
    buffer = io.BytesIO()
    image.quantize(64).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw_curves(pen: ImageDraw.ImageDraw, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    left, top, right, bottom = _PLOT
    xs, ys = (np.concatenate([curve[i] for curve in curves.values()]) for i in (0, 1))
    low, high = float(ys.min()) - 0.01, float(ys.max()) + 0.01
    small = ImageFont.load_default(22)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x / float(xs.max()), bottom - (bottom - top) * (y - low) / (high - low)

    pen.line([(left, top), (left, bottom), (right, bottom)], fill=_SOFT, width=2)
    for tick in np.arange(np.ceil(low * 20), high * 20) / 20:  # each five points
        pen.text((left - 12, place(0, tick)[1]), f"{tick:.0%}", fill=_SOFT, font=small, anchor="rm")
    ends = _apart({pool: place(x[-1], y[-1])[1] for pool, (x, y) in curves.items()}, 30)
    for pool, (x, y) in curves.items():
        colour, label = starts()[pool].colour, starts()[pool].label
        points = [place(*point) for point in zip(x, y, strict=True)]
        pen.line(points, fill=colour, width=6, joint="curve")
        for across, down in points if pool != "scratch" else []:
            pen.ellipse((across - 9, down - 9, across + 9, down + 9), fill=colour)
        pen.text((right + 30, ends[pool]), label, fill=colour, font=ImageFont.load_default(26), anchor="lm")


def _apart(heights: dict[str, float], least: float) -> dict[str, float]:
    """Heights of labels, moved down where they would overlap."""
    placed: dict[str, float] = {}
    for name, height in sorted(heights.items(), key=lambda one: one[1]):
        placed[name] = max(height, max(placed.values(), default=-least) + least)
    return placed
