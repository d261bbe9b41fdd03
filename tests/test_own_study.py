"""A reader's own study, in a file outside the project, with names that hold markup: its part of the book, unharmed and inert."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import Watched
from odd import NAMES, STUDY

PAGE = f"book/studies/{STUDY}"


def soup(book: Path, page: str = PAGE) -> BeautifulSoup:
    return BeautifulSoup((book / f"{page}.html").read_text(encoding="utf-8"), "html.parser")


@pytest.fixture(scope="module")
def shown(book, browser) -> Watched:
    """Open the page of the study with all of its figures drawn."""
    watched = Watched(browser)
    watched.open(book / f"{PAGE}.html")
    watched.draw_all()
    return watched


def test_its_page_begins_with_the_answer(book):
    first, second, third = [" ".join(part.text.split()) for part in soup(book).select("h1 ~ p")[:3]]
    assert "pretraining on all 24 classes" in first
    assert re.match(r"\d+ of 24 species gain, \d+ of them clearly; 0 clearly lose\. ", second)
    assert third


def test_its_page_has_every_part_that_it_has_results_for(book):
    titles = [heading.text.rstrip("#\n") for heading in soup(book).select("article h2")]
    wanted = {"Species and families", "Every species", "Training", "Confusions", "Claims", "What the runs cost", "Re-run it"}
    assert wanted <= set(titles)
    assert "One thing changed" in titles  # it finetunes one target both ways


def test_every_figure_of_its_page_is_drawn_without_an_error(shown):
    assert shown.page.locator(".gain-figure[data-drawn]").count() >= 6
    assert shown.complaints == []


def test_no_name_does_anything(shown):
    assert shown.page.evaluate("window.harmed") is None
    assert shown.page.locator("script[src*=mathjax i]").count() == 0


def test_every_name_stands_in_the_figures_as_it_is(shown):
    """Point at each mark of Figure 1 and read what it says; plotly ignores what comes too soon after the last."""
    figure = shown.page.locator(".gain-figure[data-key=figure_1] .js-plotly-plot")
    figure.scroll_into_view_if_needed()
    said = """async (plot) => {
      const texts = [];
      const points = plot.data.flatMap((trace, curveNumber) =>
        [...trace.x.keys()].map((pointNumber) => ({ curveNumber, pointNumber })));
      for (const point of points) {
        const last = texts.at(-1);
        for (let text = last, tries = 0; text === last && tries < 500; tries++) {
          Plotly.Fx.hover(plot, [point]);
          text = plot.querySelector(".hovertext")?.textContent;
          if (text !== last) texts.push(text);
          else await new Promise((done) => setTimeout(done, 20));
        }
      }
      return texts.join(" ");
    }"""
    seen = figure.evaluate(said)
    assert [name for name in NAMES if name not in seen] == []
    assert "<i>&$$</i>" in " ".join(figure.locator(".xtick text").all_text_contents())


def test_every_name_stands_in_the_explorer_and_its_table(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "explorer.html")
    page.locator(".explorer[data-drawn]").wait_for()
    page.locator("select[name=study]").select_option(STUDY)
    page.wait_for_function(f"document.querySelector('.explorer-facts').textContent.startsWith('Study {STUDY}')")
    assert sorted(page.locator(".explorer tbody th[title]").all_text_contents()) == sorted(NAMES)
    with page.expect_download() as found:
        page.get_by_role("button", name="as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(found.value.path()).read_text(encoding="utf-8"))))
    assert {row["species"].removeprefix("'") for row in rows} == set(NAMES)
    assert not [row["species"] for row in rows if row["species"][0] in "=+-@"]
    assert all(float(row["gain"]) for row in rows)
    assert page.evaluate("window.harmed") is None
    assert watched.complaints == []


def test_every_name_stands_in_the_text_of_its_page_as_it_is(book):
    text = soup(book).get_text().replace("\u2068", "").replace("\u2069", "")
    assert [name for name in NAMES if name not in text] == []


def test_its_names_are_in_the_search_and_do_nothing_there(book, browser):
    watched = Watched(browser)
    page = watched.page
    page.goto((book / "search.html").as_uri() + "?q=onerror")
    page.locator("#search-results a", has_text=NAMES[1]).first.wait_for()
    assert page.evaluate("window.harmed") is None
    assert watched.complaints == []


def test_the_data_of_its_figures_hold_its_names(book):
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (book / "_static" / "provenance").glob("*mine-figure_1.json")]
    assert [one["parameters"]["study"].endswith("mine's study.yml") for one in found] == [True]


def test_every_page_lists_it_beside_its_executed_notebooks(book):
    links = [link["href"] for link in soup(book, "book/index").select(f"nav a[href*='{STUDY}']")]
    assert {f"studies/{STUDY}.html", f"executed/{STUDY}/10_taxa.html", f"executed/{STUDY}/13_claims.html"} <= set(links)


def test_the_page_of_commands_has_its_runs(book):
    assert STUDY in [link.text for link in soup(book, "book/rerun").select(".rerun-plain a")]
