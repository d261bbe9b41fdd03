"""Figure 5: the same species as the source and as the target show them."""

from __future__ import annotations

import html
from typing import Any

from pretraining_gain.tell.figures.declare import Html, StudyFile, figure


@figure("5", "The two domains side by side", "12_samples", StudyFile("images of the data at hand"))
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
        cells = ""
        for domain in domains:
            cell = [one for one in images if (one.species, one.domain) == (name, domain)]
            texts = [html.escape(f"{one.label}, {domain}: {one.image_id} ({one.credit})", quote=True) for one in cell]
            pictures = [
                f'<img src="data:image/png;base64,{one.png_base64}" alt="{text}" title="{text}">'
                for one, text in zip(cell, texts, strict=True)
            ]
            labels = ", ".join(dict.fromkeys(one.label for one in cell if one.label != name))  # the source's own name
            cells += f'<td data-domain="{domain}">{"".join(pictures)}<div>{html.escape(labels)}</div></td>'
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col">{where}</th>' for where in domains)
    credits = "; ".join(html.escape(text) for text in dict.fromkeys(image.credit for image in images))
    return Html(
        f'<table class="samples"><thead><tr><th scope="col">species</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f'</table><p class="credits">Images: {credits}.</p>',
        f"Sample images of {', '.join(species)} in each domain",
    )
