"""Quality gates that every page of the book must pass, in a browser: on a desktop from below a path, as on GitHub Pages, and on
a phone from disk.

Each gate returns complaints, one line each. It looks at all of a page: figures scrolled to, tabs and folded parts open.
"""

from __future__ import annotations

import gzip
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from conftest import PATIENCE_MS, Watched
from playwright.sync_api import Browser, Page

WIDTHS = {"desktop": 1280, "phone": 360}
SCHEMES = ("light", "dark")
SUB_PATH = "/some/sub/path/"
REFUSED = ("serious", "critical")  # impacts, in the words of axe-core
COLOURS = ["color-contrast", "link-in-text-block"]  # rules
LARGEST_PAGE_MB = 4.0
FIRST_PAGE_MB = 1.5

QUESTIONS = Path(__file__).with_name("gates.js")
# Open everything that a reader may open, and stop everything that moves.
UNFOLDED = """
.sd-tab-set > .sd-tab-content { display: block !important }
* { animation: none !important; transition: none !important }
"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serve a folder below `SUB_PATH`, and nothing beside it."""

    def do_GET(self) -> None:
        if not self.path.startswith(SUB_PATH):
            return self.send_error(404, "outside the book")
        self.path = self.path[len(SUB_PATH) - 1 :]
        return super().do_GET()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve `folder` from a local server and yield its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}{SUB_PATH}"
        running.shutdown()


def complaints_of(
    browser: Browser, folder: Path, home: str, name: str, widths: dict[str, int] = WIDTHS, patience_ms: float = PATIENCE_MS
) -> list[str]:
    """Look at one page at each width, in light and in dark; `home` is the address that serves `folder`."""
    watched = Watched(browser, home=home)
    page, requested, found = watched.page, set[str](), []
    page.on("request", lambda request: requested.add(request.url))
    page.add_init_script(path=QUESTIONS)
    for device, width in widths.items():
        first = device == next(iter(widths))
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=SCHEMES[0])
        place, watched.home = (home, home) if first else (folder.as_uri(), "file:")
        page.goto(f"{place.rstrip('/')}/{name}")
        page.add_style_tag(content=UNFOLDED)
        found += page.evaluate("patience => gates.undrawn(patience)", patience_ms)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.wait_for_function("scheme => [undefined, scheme].includes(document.documentElement.dataset.theme)", arg=scheme)
            seen = page.evaluate("[...gates.tooWide(), ...gates.illegible(), ...gates.overlaps()]")
            if first:  # what axe looks at is the same on a phone
                seen += violations(page, colours_only=scheme != SCHEMES[0])
            found += [f"{device}, {scheme}: {complaint}" for complaint in seen]
    page.context.close()
    limit_mb = FIRST_PAGE_MB if name == "book/index.html" else LARGEST_PAGE_MB
    return found + too_heavy(folder, home, requested, limit_mb) + watched.complaints


def violations(page: Page, colours_only: bool) -> list[str]:
    """Return what axe-core finds serious or critical, with the first places of each.

    Colours, which take longest, are judged for one element of each look of text. In the dark only they differ.
    """
    page.evaluate("gates.markLooks()")
    runs: list[tuple[str | None, dict]] = [("[data-look]", {"runOnly": COLOURS})]
    if not colours_only:
        runs.append((None, {"rules": {rule: {"enabled": False} for rule in COLOURS}}))
    given = {"resultTypes": ["violations"], "preload": False}
    found = [one for where, rules in runs for one in Axe().run(page, where, given | rules).response["violations"]]
    found = [one for one in found if one["impact"] in REFUSED]
    places = {one["id"]: [f"{node['target']} {node['html'][:150]}" for node in one["nodes"][:3]] for one in found}
    return [f"{one['id']} ({len(one['nodes'])}): {'; '.join(places[one['id']])}" for one in found]


@cache
def compressed_bytes(path: Path) -> int:
    """Return the size of a file as a server sends it."""
    return len(gzip.compress(path.read_bytes(), compresslevel=6))


def too_heavy(folder: Path, home: str, requested: set[str], limit_mb: float) -> list[str]:
    """Complain when all that a page asked for, every figure drawn, is more than `limit_mb` compressed."""
    paths = {folder / unquote(urlsplit(url).path[len(SUB_PATH) :]) for url in requested if url.startswith(home)}
    sizes = {path: compressed_bytes(path) for path in paths if path.is_file()}
    total_mb = sum(sizes.values()) / 1e6
    largest = sorted(sizes, key=lambda path: -sizes[path])[:3]
    named = ", ".join(f"{path.name} {sizes[path] / 1e6:.2f}" for path in largest)
    return [f"weighs {total_mb:.2f} MB, limit {limit_mb} MB: {named}"] if total_mb > limit_mb else []


def dead_links(folder: Path) -> list[str]:
    """Return links, anchors and sources in the HTML files of `folder` that lead to nothing, or out of it."""
    paths = [path for path in sorted(folder.rglob("*.html")) if path.parent.name != "_static"]  # there: a theme's templates
    pages = {path.resolve(): _targets(path) for path in paths}
    found = []
    for page, (_, links) in pages.items():
        for link in sorted(links):
            if why := _why_dead(folder.resolve(), pages, page, link):
                found.append(f"{page.relative_to(folder.resolve())}: {link}: {why}")
    return found


def _targets(path: Path) -> tuple[set[str], set[str]]:
    """Return the anchors of a page, and what it links to or loads."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    anchors = {str(one[name]) for name in ("id", "name") for one in soup.find_all(attrs={name: True})}
    links = {str(one[name]) for name in ("href", "src", "data") for one in soup.find_all(attrs={name: True})}
    return anchors, links


def _why_dead(folder: Path, pages: dict, page: Path, link: str) -> str:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https", "mailto", "data") or link in ("#", ""):
        return ""
    if parts.scheme or parts.netloc or parts.path.startswith("/"):
        return "leaves the folder that the book is in"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_relative_to(folder):
        return "leaves the folder that the book is in"
    if not target.is_file():
        return "no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target][0]:
        return "no such anchor"
    return ""


def without_alternative(path: Path) -> list[str]:
    """Return pictures and figures of a page without a text alternative; the name of a file is none."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    found = [f"img without alternative: {str(one)[:120]}" for one in soup.select("article img") if not _says(one.get("alt"))]
    found += [f"figure without alternative: {one.get('data-key')}" for one in soup.select(".gain-figure")
              if not _says(one.get("aria-label")) or not one.select_one("img.static")]  # fmt: skip
    drawings = [one for one in soup.select("svg") if not one.find_parent("svg") and one.get("aria-hidden") != "true"]
    named = [one for one in drawings if _says(one.get("aria-label")) or one.find("title", recursive=False)]
    return found + [f"svg without alternative: {str(one)[:120]}" for one in drawings if one not in named]


def _says(text: str | None) -> bool:
    return bool(text and text.strip()) and not re.search(r"\.(png|svg|jpe?g|gif|webp)$", text.strip(), re.IGNORECASE)
