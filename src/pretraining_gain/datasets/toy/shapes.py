"""Shapes of the toy world: outlines of animals and artefacts, and the patterns on them.

Coordinates (N, S, S) float32 are in object units, from about -1 to 1, the head to the right and down positive.
"""

from __future__ import annotations

import zlib

import numpy as np

_Field = np.ndarray  # (N, S, S) float32


def outline(body: str, x: _Field, y: _Field, girth: float, head: float) -> _Field:
    """Return the signed distance to the object's edge in object units, positive inside."""
    return _OUTLINES[body](x, y, girth, head)


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


_OUTLINES = {shape.__name__[1:]: shape for shape in (_bird, _fish, _insect, _box, _ring, _cross, _wedge)}
ARTEFACTS = ("box", "ring", "cross", "wedge")
_WAVES = {
    "plain": lambda x, y: np.full_like(x, -1),
    "bands": lambda x, y: np.sin(11 * x),
    "stripes": lambda x, y: np.sin(14 * y),
    "spots": lambda x, y: 2 * np.sin(12 * x) * np.sin(12 * y) - 0.3,
    "belly": lambda x, y: 6 * y,
    "half": lambda x, y: 6 * x,
}
PATTERNS = tuple(_WAVES)
MARBLES = tuple(f"marble_{i:02d}" for i in range(24))


def pattern(name: str, x: _Field, y: _Field) -> _Field:
    """Return how dark the mark is at (x, y): 0 to 1."""
    wave = _WAVES[name](x, y) if name in _WAVES else _marble(name, x, y)
    return np.clip(0.5 + 2 * wave, 0, 1)


def _marble(name: str, x: _Field, y: _Field) -> _Field:
    """Add five waves whose directions, lengths and phases are drawn from the name."""
    turns, lengths, phases = np.random.default_rng(zlib.crc32(name.encode())).random((3, 5), dtype=np.float32)
    angles, k = 2 * np.pi * turns, 3 + 6 * lengths
    waves = zip(k * np.cos(angles), k * np.sin(angles), 2 * np.pi * phases, strict=True)
    return sum(np.sin(kx * x + ky * y + phase) for kx, ky, phase in waves)
