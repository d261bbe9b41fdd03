"""The roles and directives of the chapters, in a tiny Sphinx project: what they show, and the errors of wrong names."""

from __future__ import annotations

import json
import os
import re
from io import StringIO
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT
from refusal import assert_one_line
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from pretraining_gain.errors import InputError
from pretraining_gain.tell.book.formats import format_number
from pretraining_gain.tell.book.reader.species import SpeciesList
from pretraining_gain.tell.book.shown import write_contents

FIGURE = '<div class="gain-figure">drawn</div><p class="provenance">made<span data-provenance="x-figure_1"></span></p>'
NOTE = '<div class="not-run"><p>Not run here: 399 runs</p></div>'
NUMBERS = {"gain": 0.1199, "gain_low": 0.0870, "gain_high": 0.1555, "n_seeds": 3, "name": "Insects"}


def write_notebook(path: Path, template: str, shown: dict[str, str], numbers: dict[str, object], study: str = "toy") -> None:
    """Write an executed notebook that hands over `shown` and `numbers`, and the template that it was made from."""
    forms = {key: {"text/html": text, "text/plain": "described"} for key, text in shown.items()}
    forms |= {key: {"text/plain": repr(value)} for key, value in numbers.items()}
    prefix = "application/papermill.record/"
    outputs = [
        {"output_type": "display_data", "metadata": {"scrapbook": {"name": key, "mime_prefix": prefix}},
         "data": {f"{prefix}{kind}": text for kind, text in one.items()}}
        for key, one in forms.items()
    ]  # fmt: skip
    cells = [{"cell_type": "markdown", "source": "# A title"}, {"cell_type": "code", "source": "", "outputs": outputs}]
    made = {"input_path": f"notebooks/{template}.ipynb", "parameters": {"study": study}}
    content = {"cells": cells, "metadata": {"papermill": made}}
    root = path.parents[3]
    for place in (path, root / "notebooks" / path.name):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(content))


@pytest.fixture
def chapters(tmp_path: Path, results: Path) -> Path:
    """A book, at an odd path, with studies `mini` and `toy`, which ran, and `paper`, which did not."""
    root = tmp_path / "é {a} it's b"
    for study in ("mini", "toy"):
        shown = {"figure_1": FIGURE, "figure_2": NOTE}
        write_notebook(root / f"book/executed/{study}/10_taxa.ipynb", "10_taxa", shown, NUMBERS)
        write_notebook(root / f"book/executed/{study}/13_claims.ipynb", "13_claims", {}, {})
    write_notebook(root / "book/executed/mini/15_beyond.ipynb", "15_beyond", {"figure_freezing": FIGURE}, {})
    for page in ("10_taxa", "13_claims", "00_plan"):
        write_notebook(root / f"book/executed/paper/{page}.ipynb", "19_not_run", {"figure_1": NOTE, "figure_2": NOTE}, {})
    for study in ("mini", "toy", "paper"):
        (results / study).mkdir(parents=True)
        ledger = json.loads((ROOT / "results" / "mini" / "claims.json").read_text()) | {"study": study}
        ledger["verdicts"] = ledger["verdicts"][:2]
        (results / study / "claims.json").write_text(json.dumps(ledger))
    return root


def render(root: Path, text: str, fresh: bool = True) -> tuple[BeautifulSoup, str]:
    """Build `text` as the only page; return it and what Sphinx warned of. Not `fresh`: build on what is there."""
    if fresh:
        (root / "index.md").write_text(f"# Page\n\n{text}\n")
    studies = {"mini": "real photographs", "toy": "known answer", "paper": "the original design"}
    extensions = ["myst_parser", "sphinx_design", "pretraining_gain.tell.book.directives"]
    config = {"extensions": extensions, "book_studies": studies, "html_theme": "basic"}
    config |= {"exclude_patterns": ["book", "notebooks"], "suppress_warnings": ["myst.xref_missing"]}
    warnings, places = StringIO(), (root, None, root / "out", root / "trees", "html")
    with patch_docutils(), docutils_namespace():
        app = Sphinx(*places, config, status=None, warning=warnings, freshenv=fresh)
        app.add_directive("species-list", SpeciesList)
        app.build()
    said = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue())
    return BeautifulSoup((root / "out" / "index.html").read_text(encoding="utf-8"), "html.parser"), said


def test_a_file_has_the_dates_of_its_commits_where_the_history_is_there(chapters, monkeypatch):
    text = "Commits: {committed}`book/a.md`."
    commits = [("b" * 40, "2026-02-01"), ("a" * 40, "2026-01-01")]
    monkeypatch.setattr("pretraining_gain.tell.book.directives.commits_of", lambda path: commits)
    said = "Commits: first on 2026-01-01 (commit aaaaaaa), last on 2026-02-01 (commit bbbbbbb)."
    assert said in render(chapters, text)[0].get_text()
    commits.clear()
    assert "Commits: see the project's git history." in render(chapters, text)[0].get_text().replace("\u2019", "'")


@pytest.mark.parametrize(
    ("key", "form", "text"),
    [
        ("df", "count", "18"),
        ("gain", "points", "+12.0 points"),
        ("gain", "points interval", "+12.0 points (95 % interval 8.7 to 15.6)"),
        ("gain", "points range", "+12.0 points (8.7 to 15.6)"),
        ("gain", "unsigned-points", "12.0 points"),
        ("gain", "unsigned-points interval", "12.0 points (95 % interval 8.7 to 15.6)"),
        ("gain", "percent", "12.0 %"),
        ("gain", "percent interval", "12.0 % (95 % interval 8.7 to 15.6)"),
        ("gain", "whole-percent", "12 %"),
        ("gain", ".2f", "0.12"),
        ("gain", "text", "0.1199"),
        ("unclear", "points range", "−1.3 points (−5.6 to +3.1)"),
        ("loss", "points range", "−1.3 points (−5.6 to −0.1)"),
        ("nothing", "points", "+0.0 points"),
    ],
)
def test_a_format_fixes_sign_and_unit(key, form, text):
    values = NUMBERS | {"unclear": -0.013, "unclear_low": -0.056, "unclear_high": 0.031, "nothing": -0.0001}
    values |= {"df": 17.9993, "loss": -0.013, "loss_low": -0.056, "loss_high": -0.001}
    assert format_number(values.__getitem__, key, form).replace("\u00a0", " ") == text


def test_a_negative_difference_is_refused_where_the_sentence_gives_its_direction():
    with pytest.raises(InputError, match="'unsigned-points' cannot show; accepted: a number, not negative"):
        format_number({"d": -0.013}.__getitem__, "d", "unsigned-points")


@pytest.mark.parametrize("form", ["points", "percent", ".2f", "count", "points range"])
def test_nan_is_refused(form):
    with pytest.raises(InputError, match=r"which format .* cannot show; accepted: a number"):
        format_number({"d": float("nan"), "d_low": 0.1, "d_high": 0.2}.__getitem__, "d", form)


def test_an_end_that_is_nan_is_named():
    with pytest.raises(InputError, match=r"^d_low is nan, which format 'points range' cannot show"):
        format_number({"d": 0.1, "d_low": float("nan"), "d_high": 0.2}.__getitem__, "d", "points range")


def test_a_number_is_that_of_the_main_study_or_of_the_one_named(chapters):
    taxa = chapters / "book" / "executed" / "toy" / "10_taxa.ipynb"
    taxa.write_text(taxa.read_text().replace("0.1199", "0.25"))
    page, said = render(chapters, "{n}`taxa.gain points` and {n}`taxa.gain points toy`")
    assert page.find("p").text.replace("\u00a0", " ") == "+12.0 points and +25.0 points"
    assert said == ""


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{n}`taxa.no_such points`", "has no number or text 'no_such'; accepted: gain, gain_low, gain_high, n_seeds, name"),
        ("{n}`taxa.gain pints`", "unknown format 'pints' of gain; accepted: points, unsigned-points, percent, whole-percent"),
        ("{n}`taxa.name points`", "name is 'Insects', which format 'points' cannot show; accepted: a number"),
        ("{n}`taxes.gain points`", "no executed notebook 'taxes' of study 'mini'; accepted: taxa, claims, beyond"),
        ("{verdict}`C1 contradicted`", "C1 being 'contradicted' in study mini, but the ledger says: supported"),
        ("{verdict}`C99 supported`", "but the ledger says: no such claim"),
        ("```{figure-of} figure_99\n```", "unknown figure 'figure_99'; accepted: figure_1, figure_2"),
        ("```{output} taxa.table_9\n```", "has no figure or table 'table_9'; accepted: figure_1, figure_2"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_an_error_with_chapter_line_and_what_is_accepted(chapters, text, error):
    _, said = render(chapters, f"One.\n\n{text}")
    lines = [line for line in said.splitlines() if error in line]
    assert len(lines) == 1, said
    assert f"{chapters / 'index.md'}:5" in lines[0]


@pytest.mark.parametrize(
    "head", ["```{figure-of} figure_1\n:studies: mini toy", "```{where-known} taxa.gain\n:else: It is absent."]
)
def test_an_error_within_a_directive_has_the_line_of_its_paragraph(chapters, head):
    _, said = render(chapters, f"{head}\n\nGain {{n}}`taxa.no_such points`.\n```")
    assert f"{chapters / 'index.md'}:6: WARNING: book/executed/mini/10_taxa has no number" in said


def test_a_verdict_that_the_ledger_holds_is_a_link_to_the_claim(chapters):
    text = "It is {verdict}`C1 supported`, also {verdict}`C1 supported in toy`.\n\n```{claims}\n```"
    page, said = render(chapters, text)
    assert [link["href"] for link in page.select("p a.reference")[:2]] == ["#claim-c1", "#claim-c1"]
    assert page.find("p").text == "It is supported, also supported."
    assert said == ""


def test_a_figure_has_a_tab_per_study_with_those_not_run_last(chapters):
    options = ":studies: mini toy paper\n:each: {n}`taxa.n_seeds count` seeds."
    text = f"```{{figure-of}} figure_1\n{options}\n\nA caption.\n```\n\nSee [](fig-1)."
    page, said = render(chapters, text)
    figure = page.select_one("div.figure#fig-1")
    assert [label.text.strip() for label in figure.select(".sd-tab-label")] == [
        "mini: real photographs", "toy: known answer", "paper: the original design"
    ]  # fmt: skip
    assert [bool(panel.select(".gain-figure")) for panel in figure.select(".sd-tab-content")] == [True, True, False]
    assert "Study toy: 3 seeds." in figure.text
    assert figure.find_all("p")[-1].text == "Figure 1. A caption."
    assert page.select_one("a[href='#fig-1']").text == "Figure 1"
    assert said == ""


def test_a_tab_marks_the_notebook_that_its_provenance_is_of(chapters):
    page, _ = render(chapters, "```{figure-of} figure_1\n:studies: mini toy\n```")
    marked = [span["data-notebook"] for span in page.select("span[data-provenance]")]
    assert marked == ["book/executed/mini/10_taxa", "book/executed/toy/10_taxa"]


def test_a_page_about_one_study_stays_so_after_a_figure_with_tabs(chapters):
    """Also where the study's name is that of a format."""
    taxa = chapters / "book" / "executed" / "text" / "10_taxa.ipynb"
    write_notebook(taxa, "10_taxa", {"figure_1": FIGURE}, NUMBERS | {"gain": 0.25}, "text")
    figure = "```{figure-of} figure_1\n:studies: mini toy\n```"
    page, said = render(chapters, f"```{{study}} text\n```\n\n{figure}\n\nBelow: {{n}}`taxa.gain text`")
    assert "Below: 0.25" in page.get_text()
    assert "unknown format" not in said


def test_a_study_that_ran_without_a_figure_has_no_tab(chapters):
    taxa = chapters / "book" / "executed" / "toy" / "10_taxa.ipynb"
    write_notebook(taxa, "10_taxa", {"figure_1": NOTE}, NUMBERS)
    page, _ = render(chapters, "```{figure-of} figure_1\n:studies: mini toy paper\n```")
    assert [label.text.split(":")[0].strip() for label in page.select(".sd-tab-label")] == ["mini", "paper"]


def test_a_tab_may_show_a_study_outside_of_the_book(chapters):
    write_notebook(chapters / "book/executed/mine/10_taxa.ipynb", "10_taxa", {"figure_1": FIGURE}, NUMBERS, "mine")
    page, _ = render(chapters, "```{figure-of} figure_1\n:studies: mini mine\n```")
    assert [label.text.strip() for label in page.select(".sd-tab-label")] == ["mini: real photographs", "mine"]


def test_a_figure_is_that_of_the_main_study_and_says_what_was_not_run(chapters):
    page, _ = render(chapters, "```{figure-of} figure_1\n```")
    assert [label.text.split(":")[0].strip() for label in page.select(".sd-tab-label")] == ["mini", "paper"]
    assert [span["data-notebook"] for span in page.select("span[data-provenance]")] == ["book/executed/mini/10_taxa"]


def test_a_page_of_one_study_shows_that_study_alone(chapters):
    page, said = render(chapters, "```{study} toy\n```\n\n```{figure-of} figure_1\n```\n\n```{claims}\n```")
    assert page.select(".sd-tab-label") == []
    assert "Figure 1, study toy. Pretraining gain of each species" in page.text
    assert [cell.text for cell in page.select("table th")][:2] == ["claim", "verdict"]
    assert page.select("[id^=claim-], a .std-ref") == []
    assert said == ""


def test_each_study_has_a_section_and_that_of_a_readers_own_leads_to_its_page(chapters, results):
    write_own_study(chapters, results)
    page, _ = render(chapters, "```{each-study}\nOf $study.\n```")
    texts = {section["id"]: section.p.text for section in page.select("section[id^=index-]")}
    wanted = {f"index-{study}": f"Of {study}." for study in ("mini", "toy", "paper")}
    assert texts == wanted | {"index-mine": "Its own page has them."}


def write_own_study(chapters: Path, results: Path) -> Path:
    """Write a reader's study `mine` beside the book, with results and an executed notebook; return its file."""
    file = chapters / "mine.yml"
    file.write_text((ROOT / "notebooks" / "studies" / "toy.yml").read_text().replace("name: toy", "name: mine", 1))
    write_notebook(chapters / "book/executed/mine/10_taxa.ipynb", "10_taxa", {}, {}, str(file))
    (results / "mine").mkdir()
    (results / "mine" / "runs.csv").write_text("")
    return file


def test_a_readers_study_whose_file_is_gone_is_left_out_of_the_book_in_one_line(chapters, results, capsys):
    (chapters / "_toc.yml").write_text("parts: []")
    (chapters / "book" / "_templates").mkdir()
    (chapters / "book" / "_templates" / "study.md").write_text("# Study $study")
    file, page = write_own_study(chapters, results), chapters / "book" / "studies" / "mine.md"
    parts = yaml.safe_load(write_contents(chapters).read_text())["parts"]
    assert [part["caption"] for part in parts] == ["Study mine", "Executed notebooks"]
    assert page.read_text() == "# Study mine"
    [taxa] = (chapters / "book" / "executed" / "mine").glob("10_taxa.ipynb")
    notebook = taxa.read_bytes()
    taxa.rename(taxa.with_name("13_claims.ipynb"))
    write_contents(chapters)
    assert capsys.readouterr().out == "study mine is left out of the book: its notebook 10_taxa was not executed\n"
    taxa.write_bytes(notebook)
    file.write_text(file.read_text().replace("name: mine", "name: other", 1))
    write_contents(chapters)
    assert capsys.readouterr().out == f"study mine is left out of the book: study file {file} is of study 'other' now\n"
    file.unlink()
    parts = yaml.safe_load(write_contents(chapters).read_text())["parts"]
    assert [part["caption"] for part in parts] == ["Executed notebooks"]
    assert not page.exists()
    said = capsys.readouterr().out
    assert_one_line(said, f"study mine is left out of the book: {file}: cannot be read", "accepted: ")
    assert render(chapters, "```{each-study}\nOf $study.\n```")[1] == ""


def test_a_list_of_species_of_a_study_that_cannot_be_read_is_an_error_of_its_page(chapters, results):
    write_own_study(chapters, results).unlink()
    _, said = render(chapters, "```{species-list} mine\n```")
    assert "index.md:3" in said
    assert "mine.yml: cannot be read" in said


def test_what_is_not_known_is_left_out(chapters):
    text = "`````{{where-known}} taxa.{0}\n:else: It is absent.\n\nGain {{n}}`taxa.gain points`.\n`````"
    page, said = render(chapters, text.format("gain") + "\n\n" + text.format("no_such"))
    assert [one.text.replace("\u00a0", " ") for one in page.find_all("p")][:2] == ["Gain +12.0 points.", "It is absent."]
    assert said == ""


def test_claims_have_an_overview_and_a_section_each(chapters):
    page, said = render(chapters, "```{claims}\n```")
    assert [cell.text for cell in page.select_one("table").select("th")] == ["claim", "mini", "toy", "paper"]
    assert [section["id"] for section in page.select("section[id^=claim-]")] == ["claim-c1", "claim-c2"]
    section = page.select_one("#claim-c1")
    assert section.h2.text.startswith("C1. Pretraining helps a majority of species.")
    assert [row.td.text.partition(":")[0] for row in section.select("tbody tr")] == ["mini", "toy", "paper"]
    assert said == ""


def test_ledgers_of_other_claims_are_an_error_of_their_page(chapters, results):
    ledger = json.loads((results / "toy" / "claims.json").read_text())
    del ledger["verdicts"][-1]
    (results / "toy" / "claims.json").write_text(json.dumps(ledger))
    _, said = render(chapters, "```{claims}\n```")
    assert "index.md:3" in said
    assert "studies mini and toy have ledgers of other claims; accepted: " in said


def test_a_changed_notebook_changes_the_page_in_the_next_build(chapters):
    render(chapters, "{n}`taxa.gain points`")
    taxa = chapters / "book" / "executed" / "mini" / "10_taxa.ipynb"
    taxa.write_text(taxa.read_text().replace("0.1199", "0.25"))
    os.utime(taxa, (taxa.stat().st_atime, taxa.stat().st_mtime + 10))
    page, _ = render(chapters, "{n}`taxa.gain points`", fresh=False)
    assert page.find("p").text == "+25.0\u00a0points"
