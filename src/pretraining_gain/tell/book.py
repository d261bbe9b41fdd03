"""What notebooks hand to chapters: figures and numbers under keys that the chapters paste."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from IPython.display import HTML, display
from myst_nb import glue


class BookFigure:
    """A plotly figure that draws in JupyterLab and, by the book's own `figures.js`, in the rendered book.

    The page gets the figure's JSON in an inert element; `figures.js` loads the one local plotly.js only on pages that
    have such elements, draws what comes into view, and follows the page's light or dark theme.
    """

    def __init__(self, figure: go.Figure, key: str, description: str) -> None:
        self._figure, self._key, self._description = figure, key, description

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        content = self._figure.to_json().replace("<", "\\u003c")
        alternative = html.escape(self._description, quote=True)
        return {
            "application/vnd.plotly.v1+json": json.loads(self._figure.to_json()),
            "text/html": f'<div class="gain-figure" data-key="{self._key}" role="figure" aria-label="{alternative}">'
            f'<script type="application/json">{content}</script><noscript>{alternative}</noscript></div>',
            "text/plain": self._description,
        }


def paste_figure(key: str, figure: go.Figure | str, description: str) -> None:
    """Show `figure` here and make it available to chapters as `key`; `description` is its text alternative.

    A text in place of a figure says why there is none.
    """
    shown = note(figure) if isinstance(figure, str) else BookFigure(figure, key, description)
    glue(key, shown, display=False)
    display(shown)


def note(text: str) -> HTML:
    """A remark in place of a result."""
    return HTML(f'<div class="not-run"><p>{html.escape(text)}</p></div>')


def paste_samples(key: str, samples: Sequence[Any] | str) -> None:
    """Show sample images, a row a species with the source's on the left, and make them available to chapters as `key`.

    Each has `species`, `domain`, `label`, `png_base64`, `image_id` and `credit`; a text in their place says why there are none.
    """
    shown = note(samples) if isinstance(samples, str) else HTML(_sample_grid(samples))
    glue(key, shown, display=False)
    display(shown)


def _sample_grid(samples: Sequence[Any]) -> str:
    rows = []
    for species in dict.fromkeys(sample.species for sample in samples):
        cells = []
        for domain in dict.fromkeys(sample.domain for sample in samples):
            images = [_sample(sample) for sample in samples if (sample.species, sample.domain) == (species, domain)]
            labels = dict.fromkeys(s.label for s in samples if (s.species, s.domain) == (species, domain))
            caption = html.escape(", ".join(label for label in labels if label != species))
            cells.append(f'<td data-domain="{domain}">{"".join(images)}<div>{caption}</div></td>')
        rows.append(f'<tr><th scope="row">{html.escape(species)}</th>{"".join(cells)}</tr>')
    heads = "".join(f'<th scope="col">{domain}</th>' for domain in dict.fromkeys(sample.domain for sample in samples))
    credits = "; ".join(html.escape(text) for text in dict.fromkeys(sample.credit for sample in samples))
    head = f'<thead><tr><th scope="col">species</th>{heads}</tr></thead>'
    return f'<table class="samples">{head}<tbody>{"".join(rows)}</tbody></table><p class="credits">Images: {credits}.</p>'


def _sample(sample: Any) -> str:
    shown = f"{sample.label}, {sample.domain}: {sample.image_id} ({sample.credit})"
    text = html.escape(shown, quote=True)
    return f'<img src="data:image/png;base64,{sample.png_base64}" alt="{text}" title="{text}">'


def show_figure(figure: go.Figure, description: str) -> None:
    """Show `figure` in this notebook only."""
    display(BookFigure(figure, "", description))


def show_table(table: pd.DataFrame, key: str = "") -> None:
    """Show `table` with its texts in full, and make it available to chapters as `key` if one is given."""
    whole_numbers = {name: "{:,}".format for name in table.select_dtypes("integer")}
    with pd.option_context("display.max_colwidth", None):
        named = not isinstance(table.index, pd.RangeIndex)  # a bare count of rows says nothing
        shown = HTML(table.to_html(border=0, index=named, formatters=whole_numbers, float_format="{:,.2f}".format))
    if key:
        glue(key, shown, display=False)
    display(shown)


def paste_numbers(numbers: dict[str, Any]) -> None:
    """Make plain values available to chapters under their names; chapters choose the format."""
    for key, value in numbers.items():
        glue(key, value.item() if hasattr(value, "item") else value, display=False)
