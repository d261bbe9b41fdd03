"""Launch buttons: where the playground's notebook opens in Binder or Colab, as far as the book knows its repository.

The address is one value: `repository.url` in `_config.yml`, or `PRETRAINING_GAIN_REPOSITORY`, which goes before it (a site that
is built where the address is known sets it). Without one there are no links that would lead nowhere.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

logger = logging.getLogger(__name__)
NOTEBOOK = "notebooks/90_playground.ipynb"
PAGE = "book/playground"
_VARIABLE = "PRETRAINING_GAIN_REPOSITORY"
_ADDRESS = re.compile(r"https://[\w.-]+(?:/[\w.~-]+){2,}")
_ICONS = {"Binder": "_static/images/logo_binder.svg", "Colab": "_static/images/logo_colab.png"}
_UNKNOWN = (
    "This copy of the book was built without the address of its repository, so it has no buttons for Binder and Colab. "
    "It gets them when `repository.url` is set in `_config.yml`, or `PRETRAINING_GAIN_REPOSITORY` when it is built."
)


def launch_links(address: str, branch: str) -> dict[str, str]:
    """Where to -> link, for a repository at `address`; Colab opens GitHub's only. Raises `ValueError` for no address."""
    address = address.rstrip("/").removesuffix(".git")
    if not address:
        return {}
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"repository address {address!r}; accepted: https://HOST/OWNER/NAME")
    host, owner_and_name = address.removeprefix("https://").split("/", 1)
    on_github = host == "github.com"
    where = f"gh/{owner_and_name}" if on_github else f"git/{quote(address, safe='')}"
    links = {"Binder": f"https://mybinder.org/v2/{where}/{quote(branch, safe='')}?urlpath=lab/tree/{NOTEBOOK}"}
    if on_github:
        links["Colab"] = f"https://colab.research.google.com/github/{owner_and_name}/blob/{branch}/{NOTEBOOK}"
    return links


class Launch(SphinxDirective):
    """{launch}: the links as buttons, or, without an address, one paragraph that says what is missing."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the address may come from the environment
        links = _links(self.config)
        if not links:
            paragraph = nodes.paragraph(classes=["launch-unknown"])
            for place, text in enumerate(_UNKNOWN.split("`")):
                paragraph += nodes.literal("", text) if place % 2 else nodes.Text(text)
            return [paragraph]
        paragraph = nodes.paragraph(classes=["launch"])
        for name, link in links.items():
            paragraph += nodes.reference("", f"Open in {name}", refuri=link, classes=["sd-btn", "sd-btn-outline-primary"])
            paragraph += nodes.Text(" ")
        return [paragraph]


def connect(app: Sphinx) -> None:
    app.add_directive("launch", Launch)
    app.connect("html-page-context", _add_buttons, priority=502)  # after the theme's own


def _links(config: Config) -> dict[str, str]:
    options = config.html_theme_options
    address = os.environ.get(_VARIABLE) or options.get("repository_url") or ""
    try:
        return launch_links(address, options.get("repository_branch") or "main")
    except ValueError as error:
        logger.warning("%s", error)
        return {}


def _add_buttons(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """On each page a menu that leads to the playground, here and where it runs."""
    if PAGE not in app.env.found_docs or "header_buttons" not in context:
        return
    here = relative_uri(app.builder.get_target_uri(page), app.builder.get_target_uri(PAGE)) or "#"
    buttons = [{"type": "link", "text": "Playground", "tooltip": "Train it yourself", "icon": "fas fa-play", "url": here}]
    buttons += [
        {"type": "link", "text": name, "tooltip": f"Open the playground in {name}", "icon": _ICONS[name], "url": link}
        for name, link in _links(app.config).items()
    ]
    group = {"type": "group", "tooltip": "Run it yourself", "icon": "fas fa-rocket", "label": "launch-buttons"}
    context["header_buttons"].append(group | {"buttons": buttons})
