"""The book: chapters hold no code and no typed result; built and opened in a real browser, every page and figure works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from birds import STUDY as BIRDS
from conftest import MAIN, ROOT, Watched, soup
from odd import STUDY

from pretraining_gain.tell.book.build import remove_unlisted
from pretraining_gain.tell.figures.registry import FIGURES as REGISTERED
from pretraining_gain.tell.results.evaluation import in_ranges

CHAPTERS = sorted((ROOT / "book").glob("*.md"))
EXECUTED = [
    f"{MAIN}/10_taxa", "mini/15_beyond", "mini/24_what_if", "toy/02_finetune", "toy/11_subsets", "toy/22_training", "paper/10_taxa",
]  # fmt: skip


def listed_pages() -> list[str]:
    """The pages that `_toc.yml` lists, and some of the executed notebooks that the build adds."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters, *(f"book/executed/{page}" for page in EXECUTED)]


def source(path: Path) -> str:
    """A chapter without its examples of Markdown."""
    return re.sub(r"^(`{3,})markdown\n.*?^\1\n", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_holds_no_code_cell_and_no_glue(path):
    assert not re.findall(r"\{code-cell\}|\{glue", path.read_text())


def test_the_pages_of_a_study_that_is_gone_are_removed(tmp_path):
    toc = {"root": "book/index", "parts": [{"chapters": [{"file": "book/studies/mine"}]}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(toc))
    kept = ["book/index.html", "book/studies/mine.html", "_sources/book/studies/mine.md.txt", "search.html"]
    gone = ["book/studies/gone.html", "book/executed/gone/10_taxa.html", "_sources/book/executed/gone/10_taxa.ipynb.txt"]
    for name in kept + gone:
        (tmp_path / "html" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "html" / name).touch()
    remove_unlisted(tmp_path / "html", tmp_path / "_toc.yml")
    left = [path.relative_to(tmp_path / "html").as_posix() for path in (tmp_path / "html").rglob("*.*")]
    assert sorted(left) == sorted(kept)


#: Chapters with results of this project: one states what others found, one what was planned before there were any.
RESULTS_OF_OURS = [path for path in CHAPTERS if path.stem not in ("related-work", "plan-of-analysis")]


@pytest.mark.parametrize("path", RESULTS_OF_OURS, ids=lambda path: path.stem)
def test_a_chapter_holds_no_typed_result(path):
    prose = re.sub(r"```bash.*?```|`[^`]*`", "", source(path), flags=re.DOTALL)
    prose = re.sub(r"95 %\s+(t )?interval", "", prose)
    typed = re.findall(r"[-+−]?\d+(?:\.\d+)?\s?(?:%|points)|[-+−]\d*\.\d+|top-1 (?:of|is) \d|\d\.\d{2,}", prose)
    assert [number for number in typed if number != "0.398"] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_blank_line_splits_a_table(path):
    """Rows behind a blank line have no head, so they would come out as text."""
    blocks = re.findall(r"(?:^\|.*\n?)+", source(path), flags=re.MULTILINE)
    assert [block for block in blocks if not re.match(r".*\n\|[-:| ]+\|$", block, flags=re.MULTILINE)] == []


def test_every_chapter_is_in_the_table_of_contents():
    assert {f"book/{path.stem}" for path in CHAPTERS} == {page for page in listed_pages() if "executed" not in page}


def test_every_figure_stands_in_a_chapter_once():
    text = "".join(text for text in map(source, CHAPTERS) if "```{study}" not in text)  # a page of one study shows them again
    shown = re.findall(r"^```\{figure-of\} (\w+)$(?!\n(?::each:.*\n)?:again:)", text, flags=re.MULTILINE)
    assert sorted(shown) == sorted(figure.key for figure in REGISTERED.values() if figure.number)


def test_every_work_in_the_bibliography_is_cited():
    keys = re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(), flags=re.MULTILINE)
    text = "".join(path.read_text() for path in CHAPTERS)
    cited = {key for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", text) for key in keys.split(",")}
    assert cited == set(keys)


@pytest.mark.parametrize("page_name", listed_pages())
def test_every_figure_has_one_line_that_leads_to_its_notebook_and_to_the_same_as_json(book, page_name):
    path, page = book / f"{page_name}.html", soup(book, page_name)
    lines = page.select("p.provenance")
    assert len(page.select(".gain-figure, .gain-explorer, .gain-what-if, .not-run, table.samples")) == len(lines)
    for line in lines:
        above = line.find_previous_sibling(class_=["gain-figure", "gain-explorer", "gain-what-if", "not-run", "samples"])
        notebook, described, rerun = [(path.parent / link["href"].split("#")[0]).resolve() for link in line.select("a")]
        assert notebook.is_relative_to(book / "book" / "executed")
        assert notebook.is_file()
        assert notebook == path or "executed" not in page_name
        assert rerun in (book / "book" / f"{page}.html" for page in ("rerun", f"studies/{BIRDS}", f"studies/{STUDY}"))
        said = json.loads(described.read_text(encoding="utf-8"))
        assert said["page"] == str(notebook.relative_to(book))
        assert said["figure"] == f"{said['origin']}-{above.get('data-key') or said['figure'].partition('-')[2]}"
        facts = [said["title"], said["note"], *said["config_hashes"], *(one["commit"][:7] for one in said["made_at"])]
        facts += [f"{len(said['runs'])} run", in_ranges(said["seeds"])] if said["runs"] else []
        assert all(fact in line.text for fact in facts), (facts, line.text)
        assert ("uncommitted" in line.text) == any(one["changed"] for one in [*said["made_at"], said["drawn_at"]])


def test_figure_1s_menu_regroups_its_points(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "taxa.html")
    figure = page.locator(".gain-figure[data-key=figure_1]").first
    figure.locator(".main-svg").first.wait_for()

    def ticks() -> list[str]:
        return figure.locator(".xtick text").all_text_contents()

    by_family = ticks()
    for label, expected in (("by supercategory", "Birds"), ("by order", "Passeriformes"), ("by family", "Laridae")):
        figure.get_by_role("radio", name=label).check()
        figure.locator(".xtick text", has_text=expected).first.wait_for(state="attached")
        if label == "by supercategory":
            assert len(ticks()) < len(by_family)
    assert ticks() == by_family
    assert watched.complaints == []


def test_a_figure_follows_the_width_of_the_text(book, browser):
    """As when a sidebar opens: the window does not change."""
    page = Watched(browser).open(book / "book" / "taxa.html")
    figure = page.locator(".gain-figure[data-key=figure_1]").first
    figure.locator(".main-svg").first.wait_for()
    figure.evaluate("holder => { holder.style.width = '401px'; }")
    wide = "() => document.querySelector('.gain-figure[data-key=figure_1] .main-svg').getBoundingClientRect().width === 401"
    page.wait_for_function(wide)


def test_figure_3s_switch_moves_its_points_by_key(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "subsets.html")
    figure = page.locator(".gain-figure[data-key=figure_3]").first
    figure.get_by_role("radio").first.wait_for()
    [menu] = json.loads(figure.locator("script").first.text_content())["layout"]["updatemenus"]
    axes = menu["buttons"]
    assert figure.locator(".axis-switch label").all_text_contents() == [axis["label"] for axis in axes]
    figure.get_by_role("radio").first.focus()
    for axis in [*axes[1:], axes[0]]:
        page.keyboard.press("ArrowRight")
        figure.locator(".xtitle", has_text=axis["args"][1]["xaxis.title.text"]).wait_for()
        drawn = "document.querySelector('.gain-figure[data-key=figure_3] .js-plotly-plot').data.map(trace => Array.from(trace.x))"
        page.wait_for_function(f"wanted => JSON.stringify({drawn}) === JSON.stringify(wanted)", arg=axis["args"][0]["x"])
    assert watched.complaints == []


def test_the_explorer_has_every_study_with_results(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "explorer.html")
    page.locator(".explorer[data-drawn]").wait_for()
    assert page.locator("select[name=study] option").all_text_contents() == [MAIN, "mini", "toy", STUDY, BIRDS]
    page.locator("select[name=study]").select_option("toy")
    page.wait_for_function("document.querySelector('.explorer-facts').textContent.startsWith('Study toy')")
    assert page.locator(".explorer tbody th[title]").count() > 1
    assert watched.complaints == []


def test_the_first_page_leads_to_the_book(book, browser):
    page = Watched(browser).open(book / "index.html")
    page.wait_for_url("**/book/index.html")
    assert "wildlife" in page.locator("h1").first.inner_text()


def test_pages_name_no_other_host_as_a_source(book):
    """Nothing that a browser loads by itself comes from elsewhere; links that a reader follows may lead there."""
    loads = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=[\"'](https?:)?//|<link[^>]+href=[\"'](?:https?:)?//(?![^>]*canonical)"
    )
    for path in book.rglob("*.html"):
        assert not loads.search(path.read_text(encoding="utf-8")), path


def test_the_files_beside_the_pages_are_those_of_the_sources(book):
    for path in (ROOT / "book" / "_static").glob("*.*"):
        assert (book / "_static" / path.name).read_bytes() == path.read_bytes(), path


def test_a_failed_build_leaves_the_last_good_book(project, book):
    """A lost number and a run whose record is lost are errors of the build."""
    record = next((project / "results" / "mini" / "finetune").glob("*.json"))
    chapter, commands = (project / "book" / f"{name}.md" for name in ("conclusion", "rerun"))
    kept = {path: path.read_bytes() for path in (record, chapter, commands)}
    before = {path: path.stat().st_mtime_ns for path in book.rglob("*.*")}
    command = [sys.executable, "-m", "pretraining_gain.tell.book.build"]
    try:
        record.unlink()
        commands.write_text(f"{commands.read_text()}\n")  # or Sphinx would not make the page again
        chapter.write_text(f"{chapter.read_text()}\n\n{{n}}`taxa.no_such_key points`\n")
        environment = os.environ | {"PYTHONPATH": str(project / "src")}
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "no_such_key" in said
    assert f"{record.name} is damaged (No such file" in said
    assert "Traceback" not in said
    assert {path: path.stat().st_mtime_ns for path in book.rglob("*.*")} == before
