"""Provenance: a figure's line and JSON name the runs that it shows, and say when code or study file were not clean."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT, change_study, simulate_results

from pretraining_gain.paths import results_of, results_root
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import load_study
from pretraining_gain.tell.book.executed import read_executed
from pretraining_gain.tell.book.paste import paste_figure
from pretraining_gain.tell.book.provenance import Provenance
from pretraining_gain.tell.figures.declare import Files
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.results.evaluation import in_ranges, load_table
from pretraining_gain.tell.results.stored import write_checksums


def change_costs(**values: object) -> None:
    """Rewrite columns of the first run's row in toy's `costs.csv`."""
    path = results_of("toy") / "costs.csv"
    table = pd.read_csv(path, keep_default_na=False)
    for name, value in values.items():
        table.loc[0, name] = value
    table.to_csv(path, index=False)
    names = ("runs.csv", "costs.csv", "class_counts.csv")
    write_checksums(results_root() / "toy", {name: (results_root() / "toy" / name).read_bytes() for name in names})


def of_toy(key: str) -> Provenance:
    return Provenance.of_figure(FIGURES[key], "toy")


@pytest.mark.parametrize(
    ("key", "targets", "pools"),
    [
        ("figure_3", ["field"], ["all", "animal", "non_animal", "random", "scratch"]),
        ("figure_4", ["clean"], ["all", "animal", "non_animal", "random", "scratch"]),
        ("figure_6", ["field", "clean"], ["all", "animal", "random"]),
    ],
)
def test_a_figures_runs_are_those_that_it_shows(results, key, targets, pools):
    simulate_results("toy")
    costs = load_table("toy", "costs")
    shown = costs[costs["downstream"].isin(targets) & costs["arm"].str.split("-").str[0].isin(pools)]
    wanted = {*shown["run_id"], *filter(None, shown["pretraining"])}
    assert {run.split(".")[0] for run in of_toy(key).runs} == wanted


def test_five_or_more_seeds_in_a_row_are_a_range():
    assert in_ranges([0, 1, 2, *range(100, 110), 300, 302]) == "0, 1, 2, 100–109, 300, 302"


def test_the_line_reports_uncommitted_and_mixed_versions(results):
    simulate_results("toy")
    study = load_study("toy")
    clean = of_toy("figure_costs").line("figure_costs")
    assert f"66 runs · commit ccccccc · configuration {study.config_hash} · drawn at commit" in clean
    assert "uncommitted" not in clean.split("drawn at")[0]
    assert "changed since" not in clean
    assert '<span data-provenance="toy-figure_costs"></span>' in clean
    change_costs(changed="yes")
    line = of_toy("figure_costs").line("figure_costs")
    assert "commit ccccccc with uncommitted changes · commit ccccccc · " in line
    change_costs(commit="d" * 40, changed="no", config_hash="0" * 12)
    line = of_toy("figure_costs").line("figure_costs")
    assert "commit ddddddd · commit ccccccc" in line
    assert f"configurations 000000000000, {study.config_hash} (study file changed since)" in line


def test_the_line_says_when_todays_code_would_make_other_runs(results):
    simulate_results("toy")
    assert "changed since" not in of_toy("figure_3").line("figure_3")
    change_costs(fingerprint="0" * 8)
    assert "the training code or a class table changed since these runs" in of_toy("figure_costs").line("figure_costs")


def test_a_study_file_changed_after_its_runs_is_reported(results, small_study):
    simulate_results(small_study)
    before = Provenance.of_figure(FIGURES["figure_1"], small_study)
    change_study(small_study, {"title: procedural world": "title: another world"})
    after = Provenance.of_figure(FIGURES["figure_1"], small_study)
    assert not before.study_file_changed
    assert after.study_file_changed
    assert after.config_hashes == before.config_hashes
    assert "study file changed since" in after.line("figure_1")


def test_files_are_named_with_their_hash_and_a_missing_one_is_not(tmp_path):
    table = tmp_path / "a<b.csv"
    table.write_text("x\n")
    needs = Files("topic", "Counted & simulated", lambda _: [table, tmp_path / "missing.csv"])
    made = Provenance.of_figure(replace(FIGURES["figure_growth"], needs=needs), "")
    assert [*made.files] == [str(table)]
    assert made.runs == []
    assert made.study_file_changed is False
    assert "Counted &amp; simulated · " in made.line("figure")
    assert "a&lt;b.csv, SHA-256 73cb3858a687" in made.line("figure")


def test_a_comparison_that_a_study_lacks_says_so(results):
    simulate_results("toy")
    assert "no runs for this comparison" in of_toy("figure_assigned").line("figure_assigned")


def test_one_run_is_the_provenance_of_its_own_figure():
    run = Run(study="toy", pool="animal", k=4, seed=2)
    record = {"provenance": {"commit": "a" * 40, "changed": True, "config_hash": run.plan.config_hash}}
    made = Provenance.of_run(run, record)
    assert made.runs == [f"{run.run_id}.{run.fingerprint}"]
    assert made.seeds == [2]
    assert "seed 2 · 1 run · commit aaaaaaa with uncommitted changes" in made.line(run.run_id)


def test_the_book_reads_provenance_from_the_outputs_of_an_executed_notebook(results, tmp_path):
    simulate_results("toy")
    origin = of_toy("figure_3")
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pretraining_gain.tell.book.paste.display", shown.append)
        patch.setattr("pretraining_gain.tell.book.paste.glue", lambda *_, **__: None)
        paste_figure("figure_3", "a word", "what it shows", origin)
    forms, metadata = shown[0]._repr_mimebundle_()
    assert forms["text/html"].endswith(origin.line("figure_3"))
    cell = {"outputs": [{"output_type": "display_data", "data": forms, "metadata": metadata}]}
    papermill = {"input_path": "notebooks/11_subsets.ipynb", "parameters": {"study": "toy"}}
    path = tmp_path / "book" / "executed" / "toy" / "11_subsets.ipynb"
    path.parent.mkdir(parents=True)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    path.write_text(json.dumps({"cells": [cell, {}], "metadata": {"papermill": papermill}}))
    [found] = read_executed(tmp_path, path).provenance.values()
    assert found["figure"] == "toy-figure_3"
    assert found["runs"] == origin.runs
    assert (found["template"], found["parameters"]) == ("notebooks/11_subsets.ipynb", {"study": "toy"})
