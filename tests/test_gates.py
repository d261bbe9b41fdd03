"""The book's quality gates: every page, on a desktop and a phone, in light and dark; and each gate refuses a bad page."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from gates import WIDTHS, complaints_of, dead_links, served, without_alternative
from test_book import toc_pages

PAGES = [*toc_pages(), "search"]


@pytest.fixture(scope="module")
def home(book: Path) -> Iterator[str]:
    with served(book) as address:
        yield address


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_to_every_gate_in_light_and_dark(book, browser, home, name, width):
    assert complaints_of(browser, book, home, f"{name}.html", width) == []


def test_no_link_of_the_book_is_dead_or_leaves_it(book):
    assert dead_links(book) == []


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_words_for_those_who_do_not_see_it(book, name):
    assert without_alternative(book / f"{name}.html") == []


@pytest.mark.browser
def test_below_a_path_the_first_page_leads_to_the_book_and_the_explorer_works(book, browser, home):
    page = browser.new_page()
    page.goto(f"{home}index.html")
    page.wait_for_url(f"{home}book/index.html")
    page.get_by_role("link", name="Gain explorer").first.click()
    page.locator(".explorer[data-drawn]").wait_for(timeout=15_000)
    page.locator("select[name=study]").select_option("toy")
    page.wait_for_function("document.querySelector('.explorer-facts').textContent.startsWith('Study toy')")
    page.context.close()


# ---- each gate refuses

GOOD = '<h1>A page</h1><p>Some text, <a href="page.html#here" id="here">a link</a>.</p>'
UNDRAWN = '<div class="gain-figure" data-key="figure_9" role="figure" aria-label="Nine"></div>'
PALE = "<style>@media (prefers-color-scheme: {0}) {{ p {{ color: #808080; background: #777 }} }}</style>"
DRAWN = '<div class="js-plotly-plot" style="width: 300px"><svg class="main-svg" width="300" overflow="visible">{0}</svg></div>'
BAD = {
    "console error": ("<script>console.error('broken')</script>", "console: broken"),
    "uncaught error": ("<script>nowhere()</script>", "error: nowhere is not defined"),
    "other host": ('<img src="https://example.org/x.png" alt="x">', "https://example.org/x.png"),
    "outside the path": ('<img src="/x.png" alt="x">', "/x.png"),
    "missing file": ('<script src="lost.js"></script>', "404"),
    "undrawn figure": (UNDRAWN, "not drawn: figure_9"),
    "heavy": ('<img src="heavy.png" alt="heavy">', r"weighs 4\.20 MB, limit 4\.0 MB: heavy\.png 4\.20"),
    "wide": ('<div class="wide" style="width: 500px">wide</div>', "light: scrolls sideways: .* div.wide"),
    "wide in a closed tab": (
        '<div class="sd-tab-set"><div class="sd-tab-content" style="display: none"><div style="width: 500px">x</div></div></div>',
        "light: scrolls sideways",
    ),
    "pale in light": (PALE.format("light"), "light: color-contrast"),
    "pale in dark": (PALE.format("dark"), "dark: color-contrast"),
    "pale words in a figure": (DRAWN.format('<text y="20" fill="#999">word</text>'), "light: pale words in a figure: word"),
    "words of a figure cut off": (DRAWN.format('<text x="290" y="20">word</text>'), "light: cut off in a figure: word"),
    "parts of a figure overlap": (
        DRAWN.format('<text class="legend" y="20">one</text><g class="updatemenu-header-group"><text x="9" y="20">two</text></g>'),
        "light: overlap in a figure: one and two",
    ),
    "no alternative": ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "light: image-alt"),
    "nameless control": ("<select><option>one</option></select>", "light: select-name"),
    "keyboard cannot scroll": (
        '<div style="height: 20px; overflow: auto"><p style="height: 200px">long</p></div>',
        "light: scrollable-region-focusable",
    ),
}


def write_page(folder: Path, body: str) -> Path:
    path = folder / "page.html"
    path.write_text(f'<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">'
                    f"<meta name=viewport content='width=device-width'><body><main>{GOOD}{body}</main>")  # fmt: skip
    return path


@pytest.mark.browser
@pytest.mark.parametrize(("body", "said"), BAD.values(), ids=BAD)
def test_a_bad_page_is_refused(browser, tmp_path, body, said):
    write_page(tmp_path, body)
    (tmp_path / "heavy.png").write_bytes(random.Random(0).randbytes(4_200_000))
    with served(tmp_path) as address:
        found = complaints_of(browser, tmp_path, address, "page.html", WIDTHS["phone"], patience_s=0.3)
    assert [one for one in found if re.search(said, one)], found


@pytest.mark.browser
def test_a_good_page_passes(browser, tmp_path):
    write_page(tmp_path, "")
    with served(tmp_path) as address:
        assert complaints_of(browser, tmp_path, address, "page.html", WIDTHS["phone"]) == []
    assert dead_links(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="lost.html">x</a>', "page.html: lost.html: no such file"),
        ('<a href="page.html#lost">x</a>', "page.html: page.html#lost: no such anchor"),
        ('<a href="#lost">x</a>', "page.html: #lost: no such anchor"),
        ('<a download href="data/lost.csv">x</a>', "page.html: data/lost.csv: no such file"),
        ('<img alt="x" src="lost.png">', "page.html: lost.png: no such file"),
        ('<a href="/page.html">x</a>', "page.html: /page.html: leaves the folder that the book is in"),
        ('<a href="../page.html">x</a>', "page.html: ../page.html: leaves the folder that the book is in"),
        ('<a href="file:///page.html">x</a>', "page.html: file:///page.html: leaves the folder that the book is in"),
    ],
)
def test_a_dead_link_is_refused(tmp_path, body, said):
    write_page(tmp_path, body)
    assert dead_links(tmp_path) == [said]


@pytest.mark.parametrize(
    "body",
    ['<img src="a.png">', '<img src="a.png" alt="">', '<img src="a.png" alt="../a.png">', UNDRAWN, "<svg><path/></svg>"],
)
def test_a_picture_without_words_is_refused(tmp_path, body):
    assert len(without_alternative(write_page(tmp_path, f"<article>{body}</article>"))) == 1


# ---- where the gates run, and where the book goes


@pytest.mark.parametrize(("name", "command"), [("ci", ".ci/run"), ("pages", "make reproduce")])
def test_a_workflow_runs_the_readmes_commands(name, command):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert command in commands
    assert command in (ROOT / "README.md").read_text() or "make test" in (ROOT / command).read_text()


def test_the_pages_workflow_publishes_the_built_book():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert {"pages": "write", "id-token": "write"}.items() <= workflow["permissions"].items()
    [upload] = [step for step in steps if step.get("uses", "").startswith("actions/upload-pages-artifact@")]
    assert upload["with"]["path"] == "_build/html"
    assert steps[-1]["uses"].startswith("actions/deploy-pages@")
