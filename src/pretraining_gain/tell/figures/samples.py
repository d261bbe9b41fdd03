"""Figure 5: the same species as the source and as the target show them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from pretraining_gain.tell.figures.declare import Html, StudyFile, figure


@figure(
    key="figure_5", number="5", title="The two domains side by side", notebook="12_samples",
    needs=StudyFile("images of the data at hand"),
)
def figure_5(images: Any) -> Html | str:
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
