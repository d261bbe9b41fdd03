"""Commands that make figures and runs again: printed for every one of them, and doing what they say."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import papermill.cli
import pytest
from again import shell
from birds import STUDY as BIRDS
from conftest import MAIN, ROOT, Watched, soup
from odd import STUDY

from pretraining_gain.errors import InputError
from pretraining_gain.plan.runs import Run
from pretraining_gain.tell.book import rerun_pages
from pretraining_gain.tell.book.executed import Executed
from pretraining_gain.tell.book.rerun import (
    Parameter,
    command_of_notebook,
    command_of_run,
    parameters_of,
    repeatable_runs,
)
from pretraining_gain.tell.results import compare
from pretraining_gain.workflow import book_studies

STUDIES = {"imagenet200": 1230, "mini": 680, "mini_convnext": 9, "toy": 66, "anchors": 140, "paper": 399}
RUN = "field--animal-k4-s0-resnet10_w16"


def given_in(command: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Notebook, parameters as papermill reads them, and variables of a printed command."""
    [line] = [line for line in command.splitlines() if "papermill " in line]
    words = shlex.split(line)
    start = words.index("papermill")
    options = words[start + 3 :]
    parameters = {
        name: text if flag == "-r" else papermill.cli._resolve_type(text)
        for flag, name, text in zip(options[::3], options[1::3], options[2::3], strict=True)
    }
    return words[start + 1], parameters, dict(word.split("=", 1) for word in words[:start])


def commands_in(text: str) -> Iterator[tuple[str, str]]:
    """Name and command of each run in the plain text beside the book."""
    for block in text.split("\n\n")[1:]:
        title, command = block.strip().split("\n", 1)
        yield title.removeprefix("# ").split(":")[0], command


@pytest.mark.parametrize("study", STUDIES)
def test_every_run_has_a_command_that_means_this_run(book, study):
    """Compare the text that a reader without JavaScript gets with the records."""
    printed = dict(commands_in((book / "_static" / "rerun" / f"{study}.txt").read_text()))
    assert len(printed) == STUDIES[study]
    for name, command in printed.items():
        notebook, parameters, variables = given_in(command)
        run = Run(**parameters)
        assert name.split(".")[0] == run.run_id
        assert notebook == f"notebooks/{'02_finetune' if run.downstream else '01_pretrain'}.ipynb"
        if study != "paper":
            record = json.loads((ROOT / "results" / study / run.stage / f"{name}.json").read_text())
            assert record["parameters"] == parameters
            assert command.startswith("git checkout") == (record["fingerprint"] != run.fingerprint)
            assert variables["PRETRAINING_GAIN_THREADS"] == str(record["machine"]["threads"])
            assert variables["PRETRAINING_GAIN_DEVICE"] == record["machine"]["device"]


@pytest.fixture(scope="module")
def elsewhere(book, tmp_path_factory) -> Path:
    """A folder where commands find the notebooks as in a checkout, so that what they make stays out of this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    return folder


def run_elsewhere(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a printed command with no other settings than its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PRETRAINING_GAIN_")}
    return shell(command, folder, own)


def test_printed_commands_make_a_pretraining_and_its_finetuning_again_bit_by_bit(book, elsewhere):
    printed = dict(commands_in((book / "_static" / "rerun" / "toy.txt").read_text()))
    for start in (f"{RUN.removeprefix('field--')}.", f"{RUN}."):
        [name] = [name for name in printed if name.startswith(start)]
        done = run_elsewhere(printed[name], elsewhere)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.startswith(f"the same as {ROOT}/results/toy/")
        assert f"{name}.json" in done.stdout
        [first, again] = [next(root.rglob(f"toy/*/{name}.json")) for root in (ROOT / "results", elsewhere / "again")]
        before, now = json.loads(first.read_text()), json.loads(again.read_text())
        assert [epoch["loss"] for epoch in now["history"]] == [epoch["loss"] for epoch in before["history"]]
        assert now["cost"]["starts"] == 1
        assert again.stat().st_mtime > first.stat().st_mtime
    predictions = [gzip.decompress(path.with_suffix(".csv.gz").read_bytes()) for path in (first, again)]
    assert predictions[0] == predictions[1]
    assert name.partition(".")[0] in (elsewhere / "again" / "toy" / f"{name}.ipynb").read_text()


def test_the_printed_command_of_a_figure_draws_the_same_figure(book, elsewhere):
    entry = soup(book, "book/rerun").select_one("#rerun-toy-figure_1").find_parent(class_="rerun-entry")
    command = entry.select_one("pre").get_text()
    done = run_elsewhere(command, elsewhere)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"the same as {ROOT}/book/executed/toy/10_taxa.ipynb: figure_1, figure_2" in done.stdout
    drawn = [figures_of(root / "toy" / "10_taxa.ipynb") for root in (ROOT / "book" / "executed", elsewhere / "again")]
    assert len(drawn[0]) == 2
    assert drawn[0] == drawn[1]
    other = run_elsewhere(command.replace("-p arm ''", "-p arm animal-k4"), elsewhere)
    assert other.returncode == 1
    assert "differs from" in other.stderr
    assert " in: figure_1, figure_2" in other.stderr


def figures_of(path: Path) -> list[dict[str, Any]]:
    outputs = [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", [])]
    return [found for output in outputs if (found := output.get("data", {}).get("application/vnd.plotly.v1+json"))]


def record_of(study: str, **wanted: Any) -> dict[str, Any]:
    for path in sorted((ROOT / "results" / study / "finetune").glob("*.json")):
        record = json.loads(path.read_text())
        if all(record["parameters"].get(name) == value for name, value in wanted.items()):
            return record
    raise LookupError(wanted)


def test_a_run_of_other_code_checks_out_its_commit_and_sets_its_machine():
    record = record_of("mini", pool="animal", k=2)
    record["fingerprint"] = Run(**record["parameters"]).fingerprint
    assert "checkout" not in command_of_run(record)
    machine = record["machine"] | {"device": "cuda", "precision": "bf16", "devices": 4, "compiled": "yes"}
    other = command_of_run(record | {"fingerprint": "0" * 8, "machine": machine})
    assert other.startswith(f"git checkout {record['provenance']['commit']}  #")
    _, parameters, variables = given_in(other)
    assert parameters == record["parameters"]
    assert {name.removeprefix("PRETRAINING_GAIN_"): value for name, value in variables.items()} == {
        "RESULTS": "again", "DEVICE": "cuda", "PRECISION": "bf16", "THREADS": "1", "DEVICES": "4", "COMPILE": "yes",
    }  # fmt: skip


def test_a_run_whose_files_are_gone_has_its_plain_command(tmp_path):
    """Its weights were moved, or its study file, from where the record has it, and the target is no longer in it."""
    own = tmp_path / "own.yml"
    toy = (ROOT / "notebooks" / "studies" / "toy.yml").read_text().replace("name: toy", "name: own", 1)
    own.write_text(f"{toy}weights: {{mine: gone.pt}}\n")
    given = {"study": str(tmp_path / "moved.yml"), "pool": "mine", "k": 0, "seed": 0, "backbone": "resnet10_w16"}
    record = record_of("mini", pool="animal", k=2)
    for target, why in {"field": f"weights {tmp_path}/gone.pt cannot be read", "left": "downstream 'left' is not in study"}.items():
        command = command_of_run(record | {"parameters": given | {"downstream": target}}, str(own))
        first, *rest = command.splitlines()
        assert first.startswith("# Not possible here: ")
        assert why in first
        assert rest[0] == "mkdir -p again/own"
        assert given_in(command)[1] == given | {"study": str(own), "downstream": target}


@pytest.mark.parametrize("value", ["", "toy", "a b", "7", "1e3", "True", "None", "it's", 7, 0.5, True])
def test_a_value_arrives_in_the_notebook_as_it_was(value):
    _, parameters, _ = given_in(command_of_notebook("toy/10_taxa", {"first": value, "last": "x"}))
    assert parameters == {"first": value, "last": "x"}
    assert type(parameters["first"]) is type(value)


@pytest.mark.parametrize("folder", ["notebooks", "é {a} it's {{b}}"])
def test_parameters_are_listed_with_their_meaning(tmp_path, folder):
    notebook = tmp_path / folder / "13_claims.ipynb"
    notebook.parent.mkdir()
    shutil.copy(ROOT / "notebooks" / notebook.name, notebook)
    study, vote_cut = parameters_of(notebook, {"study": "mini"})[:2]
    assert study == Parameter("study", "mini", "toy", "name in notebooks/studies/, or the path of your own .yml")
    assert (vote_cut.value, vote_cut.default) == (0.0, 0.0)


def test_a_comparison_names_what_differs_or_is_missing(tmp_path, capsys):
    [path] = (ROOT / "results" / "mini" / "finetune").glob("caltech101_animals--scratch-s500-*.json")
    again = tmp_path / "again" / "mini" / "finetune" / path.name
    again.parent.mkdir(parents=True)
    record = json.loads(path.read_text())
    record["history"][2]["wall_time_s"] = 1e6
    again.write_text(json.dumps(record))
    assert compare.main([str(again)]) == 0
    assert capsys.readouterr().out.startswith(f"the same as {path}: fingerprint, recipe, ")
    record["history"][2]["loss"] += 1e-12
    record["sha256"]["predictions"] = "0" * 64
    again.write_text(json.dumps(record))
    assert compare.main([str(again)]) == 1
    assert f"compare: {again} differs from {path} in: sha256, epoch 3\n" == capsys.readouterr().err
    top1, loss = record["top1"], record["history"][-1]["loss"]
    record["top1"] = record["history"][-1]["loss"] = 0.25
    again.write_text(json.dumps(record))
    assert compare.main([str(again)]) == 1
    amounts = f"; top1 0.2500, not {top1:.4f}; last loss 0.2500, not {loss:.4f}\n"
    assert capsys.readouterr().err.endswith(f" in: top1, sha256, last loss, epoch 3, epoch 60{amounts}")
    again.write_text(json.dumps(record | {"history": [3]}))
    assert compare.main([str(again)]) == 1
    assert f"{again} cannot be read ('int' object is not subscriptable); accepted: a record or an" in capsys.readouterr().err
    stray = again.with_name("stray.json")
    stray.write_text("{}")
    for wrong, said in ((stray, "nothing to compare"), (tmp_path / "no.ipynb", "cannot be compared")):
        assert compare.main([str(wrong)]) == 1
        assert re.fullmatch(f"compare: .*{said}.*; accepted: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"cells": 3}, "cannot be read ('int' object is not iterable); accepted: a record or an executed notebook"),
        ({"cells": ["text"]}, "cannot be read ('str' object has no attribute 'get'); accepted: a record or an executed notebook"),
        ({"cells": []}, "show nothing to compare; accepted: notebooks with a figure, table or number"),
    ],
)
def test_a_notebook_that_shows_nothing_is_not_the_same_as_another(tmp_path, monkeypatch, capsys, content, said):
    monkeypatch.setattr(compare, "project_root", lambda: tmp_path)
    again, first = tmp_path / "again" / "toy" / "page.ipynb", tmp_path / "book" / "executed" / "toy" / "page.ipynb"
    for path in (again, first):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    assert compare.main([str(again)]) == 1
    assert said in capsys.readouterr().err


def test_a_run_without_a_record_is_planned_and_one_whose_record_is_lost_is_an_error(results):
    planned = list(repeatable_runs("paper"))
    assert {run.outcome for run in planned} == {"planned, not run here"}
    assert not any("compare" in run.command or "again" in run.command for run in planned)
    shutil.copytree(ROOT / "results" / "anchors", results / "anchors", ignore=shutil.ignore_patterns("finetune"))
    with pytest.raises(InputError, match=r"record .*anchors/finetune/\S+ is damaged \(No such file"):
        list(repeatable_runs("anchors"))


def test_a_notebook_that_shows_a_run_without_a_record_is_an_error(results, tmp_path, monkeypatch):
    origin = {"toy-figure_1": {"runs": ["all-k24-s0.lost"]}}
    stale = Executed("book/executed/toy/10_taxa", tmp_path, "", "", {}, {}, {}, origin)
    monkeypatch.setattr(rerun_pages, "executed_in", lambda *_: [stale])
    with pytest.raises(InputError, match=r"10_taxa shows all-k24-s0\.lost, which is no run in results/toy/costs\.csv; accepted"):
        rerun_pages._publish_study(SimpleNamespace(outdir=tmp_path, env=None), "toy", "toy")


def executed_pages() -> list[str]:
    pages = ["mini/13_claims", "toy/02_finetune", "toy/12_samples", "paper/11_subsets", "14_audit", "16_controls"]
    return [f"book/executed/{page}" for page in (f"{MAIN}/10_taxa", *pages)]


@pytest.mark.parametrize("page", executed_pages())
def test_an_executed_notebook_can_be_downloaded_and_lists_its_parameters(project, book, page):
    header = soup(book, page).select_one("section > .rerun-header")
    button = header.select_one("a.rerun-download")
    source = (book / f"{page}.html").parent / button["href"]
    executed = project / f"{page}.ipynb"
    assert source.read_bytes() == executed.read_bytes()
    assert button["download"].endswith(".ipynb")
    notebook = json.loads(executed.read_text())
    [cell] = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    rows = [[cell.get_text() for cell in row.select("td")] for row in header.select("table.parameters tbody tr")]
    declared = [line.split(":")[0] for line in "".join(cell["source"]).splitlines()]
    assert [row[0] for row in rows] == declared
    given = notebook["metadata"]["papermill"]["parameters"]
    for name, value, origin, meaning in rows:
        line = next(line for line in "".join(cell["source"]).splitlines() if line.startswith(f"{name}:"))
        assert meaning
        assert line.endswith(f"# {meaning}")
        assert name not in given or json.loads(value) == given[name]
        assert origin.startswith("given") == (f"= {value} " not in line), (name, value, origin)
    [command] = header.select("a[href*='#rerun-']")
    assert command["href"].split("#")[1] in {one["id"] for one in soup(book, "book/rerun").select("[id]")}


def test_every_figure_of_the_book_leads_to_its_command(book):
    """On the page of commands, and of a reader's own study on its own page."""
    pages = {book / f"{page}.html": soup(book, page) for page in ("book/rerun", f"book/studies/{BIRDS}", f"book/studies/{STUDY}")}
    entries = {one["id"]: one for page in pages.values() for one in page.select(".rerun-entry li")}
    seen = set()
    for path in (book / "book").rglob("*.html"):
        for line in re.findall(r'<p class="provenance">.*?</p>', path.read_text(encoding="utf-8"), flags=re.DOTALL):
            [link] = re.findall(r'<a href="([^"]*)">re-run this figure</a>', line)
            [described] = re.findall(r'<a href="([^"]*)">JSON</a>', line)
            target, anchor = link.split("#")
            assert pages[(path.parent / target).resolve() if target else path].find(id=anchor)
            assert described.endswith(f"-{anchor.removeprefix('rerun-')}.json")
            seen.add(anchor)
    assert seen == set(entries)
    published = list((book / "_static" / "provenance").glob("*.json"))
    assert len(published) >= len(entries)
    for path in published:
        described = json.loads(path.read_text(encoding="utf-8"))["description"]
        assert described, path
        assert " at 0x" not in described, path
    for number in (1, 2, 3, 4, 5, 6):
        for study in book_studies():
            entry = entries[f"rerun-{study}-figure_{number}"]
            assert entry.get_text().startswith(f"Figure {number}")
            notebook, parameters, _ = given_in(entry.find_parent(class_="rerun-entry").select_one("pre").get_text())
            assert parameters["study"] == study
            assert (ROOT / notebook).is_file()
            assert "19_not_run" not in notebook


def test_a_reader_finds_a_run_and_copies_its_command_by_key(book, browser):
    watched = Watched(browser)
    page = watched.open(book / "book" / "rerun.html")
    page.locator(".rerun-runs[data-drawn]").wait_for()
    page.locator("select[name=study]").select_option("mini")
    printed = dict(commands_in((book / "_static" / "rerun" / "mini.txt").read_text()))
    status, box = page.locator(".rerun-runs [role=status]"), page.locator(".rerun-box pre")
    page.wait_for_function("document.querySelector('.rerun-runs [role=status]').textContent === '680 of 680 runs of study mini'")
    page.locator("select[name=pool]").select_option("animal")
    page.locator("select[name=seed]").select_option("501")
    page.locator("select[name=stage]").select_option("caltech101_animals")
    page.locator("input[name=run]").fill("K4")
    names = page.locator(".rerun-table tbody th").all_inner_texts()
    assert names
    assert status.inner_text() == f"{len(names)} of 680 runs of study mini"
    assert all(name.startswith("caltech101_animals--animal-k4-") and "-s501-" in name for name in names)
    last = page.locator(".rerun-table tbody button").last
    last.focus()
    page.keyboard.press("Enter")
    assert box.inner_text().strip() == printed[names[-1]]
    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    copy = page.locator(".rerun-box button.copybtn")
    copy.focus()
    page.wait_for_function("getComputedStyle(document.querySelector('.rerun-box .copybtn')).opacity === '1'")
    page.evaluate("document.addEventListener('copy', () => { window.copied = document.activeElement.value; })")
    page.keyboard.press("Enter")
    page.wait_for_function("window.copied")
    assert page.evaluate("window.copied").strip() == printed[names[-1]]
    assert watched.complaints == []


def test_a_figures_runs_are_shown_and_downloaded(book, browser, tmp_path):
    watched = Watched(browser, width=360)
    page = watched.open(book / "book" / "rerun.html")
    page.locator(".rerun-runs[data-drawn]").wait_for()
    page.locator("#rerun-toy-figure_3 a", has_text="its 39 runs").click()
    page.wait_for_function("document.querySelector('.rerun-runs [role=status]').textContent === '39 of 66 runs of study toy'")
    assert page.locator("select[name=figure] option:checked").inner_text().startswith("Figure 3. Top-1 out of domain")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download these 39 commands").click()
    started.value.save_as(tmp_path / "rerun.sh")
    taken = dict(commands_in("\n\n" + (tmp_path / "rerun.sh").read_text()))
    printed = dict(commands_in((book / "_static" / "rerun" / "toy.txt").read_text()))
    assert len(taken) == 39
    assert all(printed[name] == command for name, command in taken.items())
    page.locator("select[name=study]").select_option("paper")
    page.wait_for_function("document.querySelector('.rerun-runs [role=status]').textContent.endsWith('399 runs of study paper')")
    assert "planned, not run here" in page.locator(".rerun-box p").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert watched.complaints == []


def test_without_javascript_the_commands_are_there_as_text(book, plain_page):
    page = plain_page
    page.goto((book / "book" / "rerun.html").as_uri())
    assert f"\nmkdir -p again/{MAIN}\n" in f"\n{page.locator('.rerun-box pre').inner_text()}"
    page.locator(".rerun-plain a", has_text="anchors").click()
    assert page.locator("body").inner_text().count("notebooks/02_finetune.ipynb") == 100
