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

from pretraining_gain.tell.results.provenance import Provenance


class Shown:
    """What a page shows, by MIME type, with the line under it that says where it comes from.

    The same provenance is in the output's metadata, from where the book publishes it.
    """

    def __init__(self, key: str, provenance: Provenance, forms: dict[str, Any]) -> None:
        self._forms = forms | {"text/html": forms["text/html"] + provenance.line(key)}
        self._metadata = {"provenance": {"figure": provenance.named(key)} | provenance.model_dump(mode="json")}

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._forms, dict(self._metadata)


def _forms_of(figure: go.Figure, key: str, description: str) -> dict[str, Any]:
    """A plotly figure that draws in JupyterLab and, by the book's own `figures.js`, in the rendered book.

    The page gets the figure's JSON in an inert element; `figures.js` loads the one local plotly.js only on pages that
    have such elements, draws what comes into view, and follows the page's light or dark theme.
    """
    content = figure.to_json()
    inert = content.replace("<", "\\u003c")
    alternative = html.escape(description, quote=True)
    return {
        "application/vnd.plotly.v1+json": json.loads(content),
        "text/html": f'<div class="gain-figure" data-key="{key}" role="figure" aria-label="{alternative}">'
        f'<script type="application/json">{inert}</script><noscript>{alternative}</noscript></div>',
        "text/plain": description,
    }


def paste_figure(key: str, figure: go.Figure | str, description: str, provenance: Provenance) -> None:
    """Show `figure` here and make it available to chapters as `key`; `description` is its text alternative.

    A text in place of a figure says why there is none.
    """
    forms = _note(figure) if isinstance(figure, str) else _forms_of(figure, key, description)
    _paste(key, Shown(key, provenance, forms))


def paste_explorer(
    key: str, tables: dict[str, Any], plain: pd.DataFrame, description: str, provenance: Provenance
) -> None:
    """Make the explorer's tables of a study available to chapters as `key`; the book's `explorer.js` shows them.

    `plain` is what a page without JavaScript shows, and `description` what it is of.
    """
    _paste_application("gain-explorer", key, tables, plain, description, provenance)


def paste_tweak(
    key: str, tables: dict[str, Any], plain: pd.DataFrame, description: str, provenance: Provenance
) -> None:
    """As `paste_explorer`, for the page that recomputes: the book's `tweak.js` shows it."""
    _paste_application("gain-tweak", key, tables, plain, description, provenance)


def _paste_application(
    kind: str, key: str, tables: dict[str, Any], plain: pd.DataFrame, description: str, provenance: Provenance
) -> None:
    forms = {"text/html": explorer_html(key, tables, plain, description, kind), "text/plain": description}
    _paste(key, Shown(key, provenance, forms))


def explorer_html(
    key: str, tables: dict[str, Any], plain: pd.DataFrame, description: str, kind: str = "gain-explorer"
) -> str:
    """The tables as inert JSON, so that they need no request, and what is shown in their place without JavaScript."""
    inert = json.dumps(tables, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    rows = plain.to_html(border=0, index=False, float_format="{:,.1f}".format)
    return (
        f'<div class="{kind}" data-key="{key}" data-study="{html.escape(tables["study"])}">'
        f'<script type="application/json">{inert}</script><noscript><p>{html.escape(description)}</p>{rows}</noscript></div>'
    )


def paste_samples(key: str, samples: Sequence[Any] | str, provenance: Provenance) -> None:
    """Show sample images, a row a species with the source's on the left, and make them available to chapters as `key`.

    Each has `species`, `domain`, `label`, `png_base64`, `image_id` and `credit`; a text in their place says why there are none.
    """
    forms = _note(samples) if isinstance(samples, str) else {"text/html": _sample_grid(samples), "text/plain": _species_of(samples)}
    _paste(key, Shown(key, provenance, forms))


def _species_of(samples: Sequence[Any]) -> str:
    names = ", ".join(dict.fromkeys(sample.species for sample in samples))
    return f"Sample images of {names} in each domain"


def _paste(key: str, shown: Any) -> None:
    glue(key, shown, display=False)
    display(shown)


def _note(text: str) -> dict[str, Any]:
    """A remark in place of a result."""
    return {"text/html": f'<div class="not-run"><p>{html.escape(text)}</p></div>', "text/plain": text}


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
    return (
        f'<table class="samples">{head}<tbody>{"".join(rows)}</tbody></table><p class="credits">Images: {credits}.</p>'
    )


def _sample(sample: Any) -> str:
    shown = f"{sample.label}, {sample.domain}: {sample.image_id} ({sample.credit})"
    text = html.escape(shown, quote=True)
    return f'<img src="data:image/png;base64,{sample.png_base64}" alt="{text}" title="{text}">'


def show_table(table: pd.DataFrame, key: str = "") -> None:
    """Show `table` with its texts in full, and make it available to chapters as `key` if one is given."""
    whole_numbers = {name: "{:,}".format for name in table.select_dtypes("integer")}
    with pd.option_context("display.max_colwidth", None):
        named = not isinstance(table.index, pd.RangeIndex)  # a bare count of rows says nothing
        numbers = "numbers" if len(table.select_dtypes("number").columns) == len(table.columns) else None
        styled = {"formatters": whole_numbers, "float_format": "{:,.2f}".format, "classes": numbers}
        shown = HTML(table.to_html(border=0, index=named, **styled))
    if key:
        glue(key, shown, display=False)
    display(shown)


def paste_numbers(numbers: dict[str, Any]) -> None:
    """Make plain values available to chapters under their names; chapters choose the format."""
    for key, value in numbers.items():
        glue(key, value.item() if hasattr(value, "item") else value, display=False)
