"""Quality gates of the book: every page passes them on a desktop and a phone, in light and dark; each gate refuses a bad page."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import MAIN, ROOT
from gates import WIDTHS, complaints_of, dead_links, served, without_alternative
from odd import STUDY

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
CHAPTERS = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]


@pytest.fixture(scope="module")
def home(book: Path) -> Iterator[str]:
    with served(book) as address:
        yield address


@pytest.mark.parametrize("name", [*CHAPTERS, f"book/studies/{STUDY}", "search"])
def test_a_page_passes_every_gate(book, browser, home, name):
    assert complaints_of(browser, book, home, f"{name}.html") == []


def test_executed_notebooks_pass_every_gate(book, browser, home):
    """They share one template, so one of each kind is looked at: with figures, of one run, with wide tables, without results."""
    kinds = (f"{MAIN}/10_taxa", f"{MAIN}/13_claims", f"{MAIN}/24_what_if", "toy/02_finetune", "paper/11_subsets")
    pages = [f"book/executed/{kind}.html" for kind in kinds]
    found = {page: complaints_of(browser, book, home, page) for page in pages}
    assert {page: complaints for page, complaints in found.items() if complaints} == {}


def test_no_link_of_the_book_is_dead_or_leaves_it(book):
    assert dead_links(book) == []


def test_every_picture_has_a_text_alternative(book):
    found = {path: without_alternative(path) for path in (book / "book").rglob("*.html")}
    assert {path: complaints for path, complaints in found.items() if complaints} == {}


# ---- each gate refuses

PHONE = {"phone": WIDTHS["phone"]}
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
    "wide": ('<div class="wide" style="width: 500px">wide</div>', "phone, light: scrolls sideways: .* div.wide"),
    "wide in a closed tab": (
        '<div class="sd-tab-set"><div class="sd-tab-content" style="display: none"><div style="width: 500px">x</div></div></div>',
        "phone, light: scrolls sideways",
    ),
    "pale in light": (PALE.format("light"), "phone, light: color-contrast"),
    "pale in dark": (PALE.format("dark"), "phone, dark: color-contrast"),
    "pale words in a figure": (DRAWN.format('<text y="20" fill="#999">word</text>'), "phone, light: pale words in a figure: word"),
    "words of a figure cut off": (DRAWN.format('<text x="290" y="20">word</text>'), "phone, light: cut off in a figure: word"),
    "parts of a figure overlap": (
        DRAWN.format('<text class="legend" y="20">one</text><g class="updatemenu-header-group"><text x="9" y="20">two</text></g>'),
        "phone, light: overlap in a figure: one and two",
    ),
    "no alternative": ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "phone, light: image-alt"),
    "nameless control": ("<select><option>one</option></select>", "phone, light: select-name"),
    "keyboard cannot scroll": (
        '<div style="height: 20px; overflow: auto"><p style="height: 200px">long</p></div>',
        "phone, light: scrollable-region-focusable",
    ),
}


def write_page(folder: Path, body: str) -> Path:
    path = folder / "page.html"
    path.write_text(f'<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">'
                    f"<meta name=viewport content='width=device-width'><body><main>{GOOD}{body}</main>")  # fmt: skip
    return path


@pytest.mark.parametrize(("body", "said"), BAD.values(), ids=BAD)
def test_a_bad_page_is_refused(browser, tmp_path, body, said):
    write_page(tmp_path, body)
    (tmp_path / "heavy.png").write_bytes(random.Random(0).randbytes(4_200_000))
    with served(tmp_path) as address:
        found = complaints_of(browser, tmp_path, address, "page.html", PHONE, patience_ms=300)
    assert [one for one in found if re.search(said, one)], found


def test_a_good_page_passes(browser, tmp_path):
    write_page(tmp_path, "")
    with served(tmp_path) as address:
        assert complaints_of(browser, tmp_path, address, "page.html") == []
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
def test_a_picture_without_a_text_alternative_is_refused(tmp_path, body):
    assert len(without_alternative(write_page(tmp_path, f"<article>{body}</article>"))) == 1


# ---- the workflows of GitHub


def steps_of(name: str) -> list[dict]:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize(("name", "command"), [("ci", ".ci/run"), ("pages", "make reproduce"), ("pages", "make pdf")])
def test_a_workflow_runs_a_documented_command(name, command):
    assert command in [step.get("run") for step in steps_of(name)]


def test_ci_runs_make_test():
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_pages_workflow_publishes_the_built_book():
    [upload] = [step for step in steps_of("pages") if step.get("uses", "").startswith("actions/upload-pages-artifact@")]
    assert upload["with"]["path"] == "_build/html"


def test_every_variable_of_a_recipe_is_quoted():
    """Names of studies, profiles and devices may hold spaces."""
    recipes = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("\t")]
    bare = [line for line in recipes if re.search(r'(?<!")\$\((STUDY|PROFILE|DEVICE|JOBS)\)(?!,)', line)]
    assert bare == []
