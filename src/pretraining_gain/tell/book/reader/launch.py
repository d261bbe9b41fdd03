"""Link to the playground's notebook in Binder and Colab, where the book knows the address of its repository.

The theme's own `launch_buttons` open the file behind each page. Executed notebooks are in no repository, so on their pages
these buttons would lead nowhere, and the playground's chapter would have none.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

logger = logging.getLogger(__name__)
NOTEBOOK = "notebooks/90_playground.ipynb"
PAGE = "book/playground"
_ADDRESS = re.compile(r"https://([\w.-]+)/([\w.~-]+(?:/[\w.~-]+)+)")
_UNKNOWN = (
    "This copy of the book was built without the address of its repository, so it has no links to Binder and Colab. "
    "Set `repository.url` in `_config.yml`, or `PRETRAINING_GAIN_REPOSITORY` when you build it."
)


def launch_links(address: str, branch: str) -> dict[str, str]:
    """Return service -> link for the repository at `address`; Colab only opens GitHub's. Raises `ValueError` for a bad address."""
    if not address:
        return {}
    address = address.rstrip("/").removesuffix(".git")
    if not (parts := _ADDRESS.fullmatch(address)):
        raise ValueError(f"repository address {address!r}; accepted: https://HOST/OWNER/NAME")
    on_github = parts[1] == "github.com"
    where = f"gh/{parts[2]}" if on_github else f"git/{quote(address, safe='')}"
    links = {"Binder": f"https://mybinder.org/v2/{where}/{quote(branch, safe='')}?urlpath=lab/tree/{NOTEBOOK}"}
    if on_github:
        links["Colab"] = f"https://colab.research.google.com/github/{parts[2]}/blob/{branch}/{NOTEBOOK}"
    return links


class Launch(SphinxDirective):
    """Insert the links, or a paragraph that says how to get them: {launch}."""

    def run(self) -> list[nodes.Node]:
        if not (links := self.config.launch_links):
            return self.parse_text_to_nodes(_UNKNOWN)
        style = ["sd-btn", "sd-btn-outline-primary"]
        buttons = [nodes.reference("", f"Open in {name}", refuri=link, classes=style) for name, link in links.items()]
        return [nodes.paragraph("", "", *buttons, classes=["launch"])]


def read_address(app: Sphinx, config: Config) -> None:
    """Set `launch_links` from PRETRAINING_GAIN_REPOSITORY, or from the repository that `_config.yml` names."""
    options = config.html_theme_options
    address = os.environ.get("PRETRAINING_GAIN_REPOSITORY") or options.get("repository_url") or ""
    try:
        config.launch_links = launch_links(address, options.get("repository_branch") or "main")
    except ValueError as error:
        logger.warning("%s", error)


def add_menu(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Add a menu that leads to the playground's chapter and to the services."""
    if PAGE not in app.env.found_docs or "header_buttons" not in context:
        return
    here = relative_uri(app.builder.get_target_uri(page), app.builder.get_target_uri(PAGE)) or "#"
    links = {"Playground": here, **{f"Open in {name}": link for name, link in app.config.launch_links.items()}}
    buttons = [
        {"type": "link", "text": text, "tooltip": text, "icon": "fas fa-play", "url": url}
        for text, url in links.items()
    ]
    menu = {"type": "group", "tooltip": "Run it yourself", "icon": "fas fa-rocket", "label": "launch-buttons"}
    context["header_buttons"].append(menu | {"buttons": buttons})
