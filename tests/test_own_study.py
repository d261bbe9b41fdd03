"""A reader's own studies in the book: one made from photographs as README says, and one whose names hold markup."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from birds import N_FAMILIES, gains_by_family
from birds import STUDY as BIRDS
from conftest import ROOT, Watched, soup
from odd import NAMES, STUDY

PAGE = f"book/studies/{STUDY}"


@pytest.fixture(scope="module", params=[STUDY, BIRDS])
def shown(request, book, browser) -> Watched:
    """Open the page of a study with all of its figures drawn."""
    watched = Watched(browser)
    watched.open(book / "book" / "studies" / f"{request.param}.html")
    watched.draw_all()
    return watched


def drawn_by_notebooks(folder: Path) -> set[str]:
    """Return the names, as of their JSON, of the figures that executed notebooks drew instead of saying why they cannot."""
    drawn = set()
    for path in folder.glob("[0-9][0-9]_*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in (output for cell in cells for output in cell.get("outputs", [])):
            origin, shown = output.get("metadata", {}).get("provenance"), "".join(output.get("data", {}).get("text/html", ""))
            if origin and shown and 'class="not-run"' not in shown:
                drawn.add(f"{path.stem}-{origin['figure']}")
    return drawn


def test_every_figure_of_its_page_is_drawn_without_an_error(shown):
    assert shown.page.locator(".gain-figure:not([data-drawn])").count() == 0
    assert shown.complaints == []


@pytest.mark.parametrize("study", [STUDY, BIRDS])
def test_its_page_has_exactly_the_figures_that_its_notebooks_drew(project, book, study):
    links = soup(book, f"book/studies/{study}").select(".provenance a[href$='.json']")
    drawn = drawn_by_notebooks(project / "book" / "executed" / study)
    assert f"10_taxa-{study}-figure_1" in drawn
    assert sorted(Path(link["href"]).stem for link in links) == sorted(drawn)


def test_make_reproduce_ends_with_the_address_of_the_page(project, book):
    printed = (project.parent / "printed").read_text().splitlines()
    assert printed[-1] == f"The book is at {book / 'book' / 'studies' / BIRDS}.html"


def test_its_page_begins_with_the_answer(book):
    paragraphs = [" ".join(part.text.split()) for part in soup(book, f"book/studies/{BIRDS}").select("h1 ~ p")]
    assert "pretraining with weights start" in paragraphs[0]
    assert f" of {N_FAMILIES} species gain, " in paragraphs[1]
    assert "One seed: the intervals do not cover chance in training." in soup(book, f"book/studies/{BIRDS}").text


def test_figure_1_has_the_gain_of_every_family_as_recomputed_by_hand(project, book, browser):
    page = Watched(browser).open(book / "book" / "studies" / f"{BIRDS}.html")
    page.locator(".gain-figure[data-key=figure_1]").scroll_into_view_if_needed()
    figure = page.locator(".gain-figure[data-key=figure_1][data-drawn] .js-plotly-plot")
    figure.wait_for()
    drawn = figure.evaluate("plot => plot._fullData.flatMap(one => [...one.x].map((family, i) => [family, one.y[i]]))")
    gains = gains_by_family(project)
    assert gains.nunique() > 1
    assert dict(drawn) == pytest.approx(gains.to_dict())


def test_nothing_changes_the_package(project):
    """From photographs to the page, no file of `src` is written: it may be installed where a reader cannot write."""

    def content(root: Path) -> dict[str, bytes]:
        found = [path for path in (root / "src").rglob("*") if path.suffix in (".py", ".csv", ".gz", ".md", ".js")]
        return {str(path.relative_to(root)): path.read_bytes() for path in found if path.stem != "odd_animals"}

    assert content(project) == content(ROOT)


@pytest.mark.parametrize("study", [STUDY, BIRDS])
def test_its_page_has_every_part_that_it_has_results_for(book, study):
    titles = {heading.text.rstrip("#\n") for heading in soup(book, f"book/studies/{study}").select("article h2")}
    wanted = {"Species and families", "Every species", "Training", "Confusions", "Claims", "What the runs cost", "Re-run it"}
    assert wanted <= titles
    assert ("One thing changed" in titles) == (study == STUDY)  # it finetunes one target both ways
    assert ("What the images look like" in titles) == (study == STUDY)  # the other has no source


def test_no_name_does_anything(shown):
    assert shown.page.evaluate("window.harmed") is None
    assert shown.page.locator("script[src*=mathjax i]").count() == 0


@pytest.mark.parametrize("shown", [STUDY], indirect=True)
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
        for (let text = last, tries = 0; text === last && tries < 15000; tries++) {
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
    text = soup(book, PAGE).get_text().replace("\u2068", "").replace("\u2069", "")
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
