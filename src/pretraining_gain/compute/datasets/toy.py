"""The toy world: animals and artefacts drawn in memory, each image a function of (class, index, seed) alone.

Animals of one supercategory share a body plan, orders differ in girth, families in head, species in pattern; colour
says nothing, so shape and texture have to be learnt. The *clean* rendering shows one large sharp object on a plain
ground, as the source's photographs do; the *field* rendering shows a small, blurred animal in clutter, sometimes two,
as in photographs of wildlife (compare the paper's Figure 5). What is drawn is in the class table's `draw_*` columns;
nothing here is meant to look like nature.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from pretraining_gain.errors import InputError
from pretraining_gain.plan.studies import Images

RENDERINGS = ("clean", "field")
_FIRST_EVAL_INDEX = 1_000_000
_Field = np.ndarray  # (N, S, S) float32


def load_class(
    images: Images, row: dict[str, Any], split: str, size_px: int
) -> tuple[np.ndarray, list[str], list[str]]:
    """Draw the class in `row`: pixels (N, S, S, 3) uint8, ids `key/index`, and no broken files.

    Evaluation images have indices of their own. Randomness: (class key, index, `split_seed`) only.
    """
    n = images.train_images_per_class if split == "train" else images.eval_images_per_class
    first = 0 if split == "train" else _FIRST_EVAL_INDEX
    rendering = images.options.get("rendering", "clean")
    if rendering not in RENDERINGS:
        raise InputError(f"toy option rendering={rendering!r}; accepted: {', '.join(RENDERINGS)}")
    indices = range(first, first + n)
    pixels = draw(row, indices, size_px, images.split_seed, rendering == "field")
    return pixels, [f"{row['key']}/{index}" for index in indices], []


def draw(row: dict[str, Any], indices: range, size_px: int, seed: int, field: bool) -> np.ndarray:
    """Images `indices` of one class: (N, S, S, 3) uint8, N = len(indices)."""
    class_key = zlib.crc32(row["key"].encode())
    rngs = [np.random.Generator(np.random.Philox([seed, class_key << 32 | index])) for index in indices]
    u = np.stack([rng.random(24, dtype=np.float32) for rng in rngs])[:, :, None, None]
    grain = np.stack([rng.standard_normal((size_px, size_px, 3), dtype=np.float32) for rng in rngs])
    canvas = _ground(u, grain, rngs, size_px) if field else _backdrop(u, grain)
    if field:
        with_second = np.where(u[:, 20:21] < 0.35, 1.0, 0.0)[..., 0, 0, 0]
        canvas = _place(canvas, row, u[:, 10:18], size_px, (0.28, 0.4), 0.62, with_second[:, None, None])
    canvas = _place(canvas, row, u[:, :8], size_px, (0.6, 0.9) if field else (0.7, 1.05), 0.35 if field else 0.2)
    if field:
        canvas = _blurred(canvas, 0.55 * u[:, 21, :, :, None]) * (0.7 + 0.5 * u[:, 22, :, :, None])
    return np.clip(canvas * 255, 0, 255).astype(np.uint8)


def _place(
    canvas: _Field,
    row: dict[str, Any],
    u: _Field,
    size_px: int,
    scale: tuple[float, float],
    reach: float,
    shown: _Field | float = 1.0,
) -> _Field:
    """Paint the object onto the canvas: u (N, 8, 1, 1) decides where, how large, how turned and how coloured."""
    size = scale[0] + (scale[1] - scale[0]) * u[:, 0]
    x0, y0 = reach * (2 * u[:, 1] - 1), reach * (2 * u[:, 2] - 1)
    turn = 0.6 * (2 * u[:, 3] - 1)
    axis = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px * 2 - 1
    x, y = (axis[None, None, :] - x0) / size, (axis[None, :, None] - y0) / size
    across = (np.cos(turn) * x + np.sin(turn) * y) * np.where(u[:, 4] < 0.5, -1, 1)
    down = np.cos(turn) * y - np.sin(turn) * x
    sharpness = size * size_px / 2
    cover = np.clip(0.5 + _outline(row, across, down) * sharpness, 0, 1) * shown
    mark = _pattern(row["draw_pattern"], across + 0.1 * u[:, 5], down + 0.1 * u[:, 6])
    light, dark = _colour(u[:, 7, :, :, None], 0.95), _colour(u[:, 7, :, :, None] + 0.08, 0.3)
    paint = light + (dark - light) * mark[..., None]
    return canvas + (paint - canvas) * cover[..., None]


def _outline(row: dict[str, Any], x: _Field, y: _Field) -> _Field:
    """Signed distance to the object's edge in object units, positive inside."""
    girth, head = float(row["draw_girth"]), float(row["draw_head"])
    return {
        "bird": _bird,
        "fish": _fish,
        "insect": _insect,
        "box": _box,
        "ring": _ring,
        "cross": _cross,
        "wedge": _wedge,
    }[row["draw_body"]](x, y, girth, head)


def _ellipse(x: _Field, y: _Field, x0: float, y0: float, rx: float, ry: float) -> _Field:
    return (1 - np.sqrt(((x - x0) / rx) ** 2 + ((y - y0) / ry) ** 2)) * min(rx, ry)


def _union(*shapes: _Field) -> _Field:
    return np.maximum.reduce(shapes)


def _bird(x: _Field, y: _Field, girth: float, head: float) -> _Field:
    return _union(
        _ellipse(x, y, 0, 0.1, 0.6, 0.5 * girth),
        _ellipse(x, y, 0.55, -0.35, 0.26 * head, 0.26 * head),
        _ellipse(x, y, 0.6 + 0.3 * head, -0.32, 0.2, 0.06),
        _ellipse(x, y, -0.7, 0.0, 0.35, 0.1),
        np.minimum(0.04 - np.abs(x - 0.05), 0.3 - np.abs(y - 0.65)),
    )


def _fish(x: _Field, y: _Field, girth: float, head: float) -> _Field:
    tail = np.minimum(-0.45 - x, np.minimum(x + 0.95, 0.55 * (-x - 0.35) - np.abs(y)))
    return _union(_ellipse(x, y, 0.1, 0, 0.7, 0.42 * girth), tail, _ellipse(x, y, 0, -0.4 * girth, 0.3 * head, 0.18))


def _insect(x: _Field, y: _Field, girth: float, head: float) -> _Field:
    legs = [np.minimum(0.03 - np.abs(x - 0.2 * i - 0.1 * y), 0.55 - np.abs(y)) for i in (-1, 0, 1)]
    return _union(
        _ellipse(x, y, -0.5, 0, 0.4, 0.3 * girth),
        _ellipse(x, y, 0.1, 0, 0.22, 0.2 * girth),
        _ellipse(x, y, 0.45, 0, 0.2 * head, 0.2 * head),
        *legs,
    )


def _box(x: _Field, y: _Field, girth: float, head: float) -> _Field:
    return np.minimum(0.7 * head - np.abs(x), 0.5 * girth - np.abs(y))


def _ring(x: _Field, y: _Field, girth: float, head: float) -> _Field:
    return 0.17 * girth - np.abs(np.sqrt(x**2 + y**2) - 0.6 * head)


def _cross(x: _Field, y: _Field, girth: float, head: float) -> _Field:
    return _union(_box(x, y, 0.4 * girth, head), _box(y, x, 0.4 * girth, head))


def _wedge(x: _Field, y: _Field, girth: float, head: float) -> _Field:
    return np.minimum(0.6 * head - y, 0.5 * girth * (y + 0.8) - np.abs(x))


def _pattern(name: str, x: _Field, y: _Field) -> _Field:
    """How dark the mark is at (x, y): 0 to 1."""
    waves = {
        "plain": lambda: np.full_like(x, -1),
        "bands": lambda: np.sin(11 * x),
        "stripes": lambda: np.sin(14 * y),
        "spots": lambda: 2 * np.sin(12 * x) * np.sin(12 * y) - 0.3,
        "belly": lambda: 6 * y,
        "half": lambda: 6 * x,
    }
    return np.clip(0.5 + 2 * waves[name](), 0, 1)


def _colour(hue: _Field, value: float) -> _Field:
    """Hue on a circle of length 1 to RGB, shape (..., 3)."""
    phase = np.concatenate([hue + shift for shift in (0, 1 / 3, 2 / 3)], axis=-1)
    return value * (0.6 + 0.4 * np.cos(2 * np.pi * phase))


def _backdrop(u: _Field, grain: np.ndarray) -> np.ndarray:
    tone = 0.75 + 0.2 * u[:, 8:11, 0, 0]
    return tone[:, None, None, :] + 0.08 * grain


def _ground(u: _Field, grain: np.ndarray, rngs: list[np.random.Generator], size_px: int) -> np.ndarray:
    """Clutter: blobs of leaf and soil colours at two sizes, and grain."""
    leaf = 0.1 + 0.3 * u[:, 8, :, :, None] + _colour((0.25 + 0.2 * u[:, 9])[..., None], 0.4)
    for cells in (4, 8):
        coarse = np.stack([rng.standard_normal((cells, cells, 1), dtype=np.float32) for rng in rngs])
        times = -(-size_px // cells)
        leaf = leaf + 0.1 * coarse.repeat(times, 1).repeat(times, 2)[:, :size_px, :size_px]
    return leaf + 0.03 * grain


def _blurred(canvas: np.ndarray, weight: _Field) -> np.ndarray:
    """Mix each image with its 3×3 mean; `weight` (N, 1, 1, 1) from 0 (sharp) to 1."""
    padded = np.pad(canvas, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = canvas.shape[1:3]
    near = sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    return canvas + (near - canvas) * weight
