"""All figures of the book: importing this module imports every module that declares one.

To add a figure, decorate one function with `declare.figure` in the module that its notebook shows. A new module is one more
name in the import below.
"""

from __future__ import annotations

from pretraining_gain.tell.figures import (  # noqa: F401
    anchors,
    architectures,
    audit,
    beyond,
    controls,
    costs,
    explorer,
    performance,
    samples,
    sight,
    subsets,
    taxa,
    training,
    what_if,
    why,
)
from pretraining_gain.tell.figures.declare import DECLARED, Figure

#: Key -> figure, in the order of the notebooks.
FIGURES: dict[str, Figure] = DECLARED
for _key in sorted(FIGURES, key=lambda key: FIGURES[key].notebook):
    FIGURES[_key] = FIGURES.pop(_key)


def figures_of(notebook: str) -> list[Figure]:
    """Return the figures that a notebook such as `11_subsets` draws; all figures if `notebook` is empty."""
    return [one for one in FIGURES.values() if notebook in ("", one.notebook)]
