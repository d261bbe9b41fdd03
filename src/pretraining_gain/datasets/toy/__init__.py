"""The toy world: animals and artefacts drawn in memory. Each image is a function of (class, index, seed) alone.

Animals of one supercategory share a body plan, families differ in its girth and head, species in a marbled pattern,
each of which is drawn by lot in the same way; artefacts wear bands, spots and the like. Colour says nothing, so shape
and texture have to be learnt. What is drawn is in the class table's `draw_*` columns; nothing here is meant to look
like nature. A study turns two kinds of dials, under `options`:

`gap`, 0 to 1 (default 0): from the close-up of the source, one large sharp object on a plain ground, to the field, a
small, blurred animal in clutter and uneven light, sometimes with a second one, as in photographs of wildlife (compare
the paper's Figure 5). One picture changes smoothly with it.

`shares` and `strength`, 0 to 1 (defaults species, 1): what a *source* shows of the target's animals. `strength` is the
share of a class's images that show what the level says; what an image shows at one strength it shows at every higher.

| shares  | these images show                     | the others                  | planted where a species is represented |
|---------|---------------------------------------|-----------------------------|----------------------------------------|
| species | the species' own body and pattern     | own body, any pattern       | its pattern on its body                |
| family  | the family's own body, any pattern    | any family's body, any pattern | nothing: siblings look alike        |
| generic | an artefact that stands for the class | the bare ground             | nothing: edges and textures only       |

*Any* is drawn evenly from all species' patterns or all families' bodies, so species at 0 is family at 1. Artefact
classes are drawn as they are; with `generic` they leave their ground bare as often as the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from pydantic import Field

from pretraining_gain.datasets import Dataset, Options, options_of
from pretraining_gain.datasets.toy.shapes import ARTEFACTS, MARBLES, PATTERNS, outline, pattern
from pretraining_gain.plan.taxonomy import load_class_table

if TYPE_CHECKING:
    from pretraining_gain.plan.parts import Images

_FIRST_EVAL_INDEX = 1_000_000
_Field = np.ndarray  # (N, S, S) float32
T = TypeVar("T")


class Dials(Options):
    """The options of the toy world; the module's text says what they do."""

    gap: float = Field(default=0, ge=0, le=1, description="a number from 0 (close-up) to 1 (field)")
    shares: Literal["generic", "family", "species"] = Field(default="species", description="generic, family, species")
    strength: float = Field(default=1, ge=0, le=1, description="a number from 0 to 1")


class Look(NamedTuple):
    """The look of a class: outline, two proportions, and pattern."""

    body: str
    girth: float
    head: float
    pattern: str


def load_class(
    images: Images, row: dict[str, Any], split: str, size_px: int
) -> tuple[np.ndarray, list[str], list[str], None]:
    """Draw the class in `row`: pixels (N, S, S, 3) uint8, ids `key/index`, and no broken files.

    Evaluation images have indices of their own. Randomness: (class key, index, `split_seed`) only. Raises `InputError`
    for options that are no dials.
    """
    turned = options_of("toy", images.options)
    n = images.per_class(split)
    first = 0 if split == "train" else _FIRST_EVAL_INDEX
    indices = range(first, first + n)
    shown = looks(row, load_class_table(images.class_table or ""), indices, images.split_seed, turned)
    pixels = draw(row["key"], shown, indices, size_px, images.split_seed, turned.gap)
    return pixels, [f"{row['key']}/{index}" for index in indices], [], None


def looks(row: dict[str, Any], table: pd.DataFrame, indices: range, seed: int, turned: Dials) -> list[Look | None]:
    """Decide what each image of the class shows; None is bare ground. Random bodies are those of the animals in `table`.

    Randomness: (class key, index, seed), apart from the draws of `draw`, so that no dial changes anything else.
    """
    own = _own_look(row)
    if not row["animal"] and turned.shares != "generic":
        return [own] * len(indices)
    families = sorted({_own_look(other)[:3] for other in table[table["animal"]].to_dict("records")})
    stand_in = _stand_in(row["key"]) if row["animal"] else own
    shown: list[Look | None] = []
    for index in indices:
        level, which_marble, which_family = np.random.default_rng([seed, _key(row["key"], index), 1]).random(3)
        marble, family = _nth(MARBLES, which_marble), _nth(families, which_family)
        on, off = {
            "species": (own, own._replace(pattern=marble)),
            "family": (own._replace(pattern=marble), Look(*family, marble)),
            "generic": (stand_in, None),
        }[turned.shares]
        shown.append(on if level < turned.strength else off)
    return shown


def _own_look(row: dict[str, Any]) -> Look:
    return Look(row["draw_body"], float(row["draw_girth"]), float(row["draw_head"]), row["draw_pattern"])


def _stand_in(key: str) -> Look:
    """Return the artefact that replaces an animal class under `generic`, the same for all its images."""
    body, girth, head, wave = np.random.default_rng([_key(key, 0), 2]).random(4)
    return Look(_nth(ARTEFACTS, body), 0.7 + 0.6 * girth, 0.7 + 0.6 * head, _nth(PATTERNS, wave))


def _nth(choices: Sequence[T], where: float) -> T:
    return choices[int(where * len(choices))]


def _key(class_key: str, index: int) -> int:
    return zlib.crc32(class_key.encode()) << 32 | index


def draw(
    class_key: str, shown: Sequence[Look | None], indices: range, size_px: int, seed: int, gap: float
) -> np.ndarray:
    """Draw images `indices` of one class, the i-th showing `shown[i]`: (N, S, S, 3) uint8, N = len(indices)."""
    pixels = np.empty((len(indices), size_px, size_px, 3), dtype=np.uint8)
    for look in dict.fromkeys(shown):
        here = [i for i, other in enumerate(shown) if other == look]
        pixels[here] = _draw_alike(class_key, look, [indices[i] for i in here], size_px, seed, gap)
    return pixels


def _draw_alike(
    class_key: str, look: Look | None, indices: list[int], size_px: int, seed: int, gap: float
) -> np.ndarray:
    """Draw images that show the same. Each uses the same draws at any setting of the dials, so it changes smoothly with them."""
    rngs = [np.random.Generator(np.random.Philox([seed, _key(class_key, index)])) for index in indices]
    u = np.stack([rng.random(24, dtype=np.float32) for rng in rngs])[:, :, None, None]
    grain = np.stack([rng.standard_normal((size_px, size_px, 3), dtype=np.float32) for rng in rngs])
    canvas = _backdrop(u, grain)
    if gap:
        canvas = _mix(canvas, _ground(u, grain, rngs, size_px), gap)
        second = np.where(u[:, 20] < 0.35, min(1, 4 * gap), 0.0)  # grows with the gap, and fades in at its start
        canvas = _place(canvas, look, u[:, 10:18], size_px, (0.28 * gap, 0.4 * gap), 0.62, second)
    canvas = _place(canvas, look, u[:, :8], size_px, (_mix(0.7, 0.6, gap), _mix(1.05, 0.9, gap)), _mix(0.2, 0.35, gap))
    if gap:
        light = 0.7 + 0.5 * u[:, 22, :, :, None]
        canvas = _blurred(canvas, 0.55 * gap * u[:, 21, :, :, None]) * _mix(1, light, gap)
    return np.clip(canvas * 255, 0, 255).astype(np.uint8)


def _mix(near: Any, far: Any, gap: float) -> Any:
    return near + (far - near) * gap


def _place(
    canvas: _Field,
    look: Look | None,
    u: _Field,
    size_px: int,
    scale: tuple[float, float],
    reach: float,
    shown: _Field | float = 1.0,
) -> _Field:
    """Paint the object onto the canvas: u (N, 8, 1, 1) decides place, size, rotation and colour."""
    if look is None:
        return canvas
    size = scale[0] + (scale[1] - scale[0]) * u[:, 0]
    x0, y0 = reach * (2 * u[:, 1] - 1), reach * (2 * u[:, 2] - 1)
    turn = 0.6 * (2 * u[:, 3] - 1)
    axis = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px * 2 - 1
    x, y = (axis[None, None, :] - x0) / size, (axis[None, :, None] - y0) / size
    across = (np.cos(turn) * x + np.sin(turn) * y) * np.where(u[:, 4] < 0.5, -1, 1)
    down = np.cos(turn) * y - np.sin(turn) * x
    sharpness = size * size_px / 2
    cover = np.clip(0.5 + outline(look.body, across, down, look.girth, look.head) * sharpness, 0, 1) * shown
    mark = pattern(look.pattern, across + 0.1 * u[:, 5], down + 0.1 * u[:, 6])
    light, dark = _colour(u[:, 7, :, :, None], 0.95), _colour(u[:, 7, :, :, None] + 0.08, 0.3)
    paint = light + (dark - light) * mark[..., None]
    return canvas + (paint - canvas) * cover[..., None]


def _colour(hue: _Field, value: float) -> _Field:
    """Convert a hue on a circle of length 1 to RGB, shape (..., 3)."""
    phase = np.concatenate([hue + shift for shift in (0, 1 / 3, 2 / 3)], axis=-1)
    return value * (0.6 + 0.4 * np.cos(2 * np.pi * phase))


def _backdrop(u: _Field, grain: np.ndarray) -> np.ndarray:
    tone = 0.75 + 0.2 * u[:, 8:11, 0, 0]
    return tone[:, None, None, :] + 0.08 * grain


def _ground(u: _Field, grain: np.ndarray, rngs: list[np.random.Generator], size_px: int) -> np.ndarray:
    """Draw clutter: blobs of leaf and soil colours at two sizes, and grain."""
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


DATASET = Dataset(
    credit="drawn by this project",
    load_class=load_class,
    options=Dials,
    columns=("draw_body", "draw_girth", "draw_head", "draw_pattern"),
)
