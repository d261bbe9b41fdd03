"""All figures of the book: import every module of this package, each of which declares its own figures.

To add a figure, write one function in a module of this folder and decorate it with `declare.figure`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from pretraining_gain.tell.figures.declare import DECLARED, Figure, Files, Html, Runs, StudyFile, figure

__all__ = ["FIGURES", "Figure", "Files", "Html", "Runs", "StudyFile", "figure", "figures_of"]

for _module in sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])):
    if f"{__package__}.{_module}" != __name__:
        import_module(f"{__package__}.{_module}")

#: Key -> figure, in the order of the notebooks that draw them.
FIGURES: dict[str, Figure] = DECLARED
_ORDERED = sorted(DECLARED.values(), key=lambda one: one.notebook)
DECLARED.clear()
DECLARED.update({one.key: one for one in _ORDERED})


def figures_of(notebook: str) -> list[Figure]:
    """Return the figures that a notebook such as `11_subsets` draws, in the order of their declaration."""
    return [one for one in FIGURES.values() if one.notebook == notebook]
