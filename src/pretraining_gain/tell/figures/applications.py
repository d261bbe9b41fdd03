"""Figures that are no plots: pages that compute in the browser, and sample images."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pretraining_gain.tell.figures.declare import Html, Runs, StudyFile, figure


@figure(key="explorer", number="", title="Gain explorer", notebook="23_explorer", needs=Runs())
def explorer(tables: dict[str, Any]) -> Html:
    """Embed the explorer's tables; `explorer.js` shows them."""
    from pretraining_gain.tell.figures.explorer import facts, plain_table

    return application("gain-explorer", "explorer", tables, plain_table(tables), facts(tables))


@figure(key="tweak", number="", title="Change the analysis", notebook="24_tweak", needs=Runs())
def what_if(tables: dict[str, Any]) -> Html:
    """Embed the tables of the page that recomputes verdicts; `tweak.js` shows them."""
    from pretraining_gain.tell.claims.what_if_data import facts, plain_verdicts

    return application("gain-tweak", "tweak", tables, plain_verdicts(tables), facts(tables))


def application(kind: str, key: str, tables: dict[str, Any], plain: pd.DataFrame, description: str) -> Html:
    """Return `tables` as inert JSON, which needs no request, with the table `plain` for readers without JavaScript."""
    inert = json.dumps(tables, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    rows = plain.to_html(border=0, index=False, float_format="{:,.1f}".format)
    return Html(
        f'<div class="{kind}" data-key="{key}" data-study="{html.escape(tables["study"])}">'
        f'<script type="application/json">{inert}</script><noscript><p>{html.escape(description)}</p>{rows}</noscript></div>',
        description,
    )


@figure(
    key="figure_5",
    number="5",
    title="The two domains side by side",
    notebook="12_samples",
    needs=StudyFile("images of the data at hand"),
)
def samples(images: Sequence[Any] | str) -> Html | str:
    """Show sample images, one row per species, the source's on the left.

    Each image has `species`, `domain`, `label`, `png_base64`, `image_id` and `credit`.
    """
    if isinstance(images, str):
        return images
    domains = list(dict.fromkeys(image.domain for image in images))
    species = list(dict.fromkeys(image.species for image in images))
    rows = []
    for name in species:
        cells = "".join(_cell([one for one in images if (one.species, one.domain) == (name, where)]) for where in domains)
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col">{where}</th>' for where in domains)
    credits = "; ".join(html.escape(text) for text in dict.fromkeys(image.credit for image in images))
    return Html(
        f'<table class="samples"><thead><tr><th scope="col">species</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f'</table><p class="credits">Images: {credits}.</p>',
        f"Sample images of {', '.join(species)} in each domain",
    )


def _cell(images: Sequence[Any]) -> str:
    """Return the images of one species in one domain, with the source's label where it has another name."""
    shown = []
    for image in images:
        text = html.escape(f"{image.label}, {image.domain}: {image.image_id} ({image.credit})", quote=True)
        shown.append(f'<img src="data:image/png;base64,{image.png_base64}" alt="{text}" title="{text}">')
    labels = dict.fromkeys(image.label for image in images if image.label != image.species)
    return f'<td data-domain="{images[0].domain}">{"".join(shown)}<div>{html.escape(", ".join(labels))}</div></td>'
