"""Names that hold markup, and static pictures: one function per place that a name goes to."""

from __future__ import annotations

import html
import io
import json

import plotly.graph_objects as go
import pytest
from conftest import ROOT
from markdown_it import MarkdownIt
from odd import NAMES
from PIL import Image

from pretraining_gain.paths import results_of
from pretraining_gain.plan.pools import starts
from pretraining_gain.tell.figures.inert import isolate, markdown_text, plotly_text, script_json
from pretraining_gain.tell.figures.static import draw_static


@pytest.mark.parametrize("name", NAMES)
def test_plotly_shows_a_name_and_reads_no_tag_formula_or_template_in_it(name):
    text = plotly_text(name)
    assert html.unescape(text).strip("\u2068\u2069") == name
    assert not set("<>$%") & set(text)


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_text(name):
    [paragraph] = [token for token in MarkdownIt("commonmark").enable("table").parse(markdown_text(name)) if token.type == "inline"]
    assert {child.type for child in paragraph.children} <= {"text", "text_special"}
    assert "".join(child.content for child in paragraph.children).strip("\u2068\u2069") == name


@pytest.mark.parametrize("name", NAMES)
def test_json_in_a_page_cannot_end_its_element(name):
    text = script_json({"name": name})
    assert json.loads(text) == {"name": name}
    assert "<" not in text


def test_only_a_name_that_turns_the_direction_is_isolated():
    assert isolate("emu") == "emu"
    assert isolate("\u202eemu") == "\u2068\u202eemu\u2069"


def test_a_static_picture_is_small_and_has_its_mark():
    bars = go.Bar(x=["one", "$two$"], y=[1, 2], error_y={"array": [0.1, 0.2]}, name="<b>bars</b>")
    content = draw_static(go.Figure([bars, go.Scatter(x=["one"], y=[1.5], name="points")]), "from here")
    picture = Image.open(io.BytesIO(content))
    assert picture.text["Comment"] == "from here"
    assert len(content) < 40_000
    assert len(picture.getcolors()) > 2


def test_a_static_picture_draws_every_start_with_its_own_marker():
    markers = {start.marker for start in starts("abcd").values()}
    points = [go.Scatter(x=[1], y=[1], mode="markers", marker={"symbol": marker}) for marker in markers]
    assert len({draw_static(go.Figure(one)) for one in points}) == len(markers)


def test_every_executed_figure_of_the_book_has_a_static_picture(project):
    """In the notebook itself, for viewers that run no script, and in what chapters show."""
    found = []
    for path in (project / "book" / "executed").rglob("[0-9]*.ipynb"):
        outputs = [output.get("data", {}) for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]
        found += [data for data in outputs if "application/vnd.plotly.v1+json" in data]
    assert len(found) > 20
    assert not [data["text/plain"] for data in found if not data.get("image/png")]
    assert not [data["text/plain"] for data in found if '<img class="static"' not in "".join(data["text/html"])]


def test_no_table_of_results_holds_a_name_that_a_spreadsheet_would_read_as_a_formula():
    """The tables hold identifiers of runs and numbers; names of species are in the explorer's download alone."""
    tables = [*results_of("mini").glob("*.csv"), *(ROOT / "results" / "controls").glob("*.csv")]
    assert len(tables) > 8
    for path in tables:
        cells = [cell for line in path.read_text().splitlines() for cell in line.split(",")]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "@")], path
