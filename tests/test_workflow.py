"""The Snakefile on a small study: nothing twice, only what a change concerns, and on after a kill."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, change_study, wait_for
from refusal import refused

from pretraining_gain import workflow
from pretraining_gain.compute.records import locked
from pretraining_gain.plan.runs import finetuning_runs, pretraining_runs
from pretraining_gain.plan.studies import study_names
from pretraining_gain.workflow import needs_no_data, project_pages, study_pages, template_of


def snakemake(study: str, *more: str, cores: int = 2, target: str = "results") -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", str(cores), "--config", f"study={study}", *more, "--", target]


def run(study: str, *more: str, **asked: object) -> str:
    done = subprocess.run(snakemake(study, *more, **asked), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr + done.stdout


def planned(study: str) -> dict[str, int]:
    """Stage -> how many runs a dry run would do, and how many times it would make the tables."""
    outputs = " ".join(re.findall(r"^ +output: (.*)$", run(study, "--dry-run"), flags=re.MULTILINE))
    patterns = {"pretrain": r"/pretrain/[^/ ]+\.json", "finetune": r"/finetune/[^/ ]+\.json", "tables": r"/runs\.csv"}
    counts = {what: len(re.findall(pattern, outputs)) for what, pattern in patterns.items()}
    return {what: count for what, count in counts.items() if count}


def records(results: Path) -> dict[str, bytes]:
    """Each record holds its own wall times, so one made twice differs."""
    return {path.name: path.read_bytes() for path in results.rglob("*.json")}


def test_nothing_twice_only_what_changed_and_on_after_a_kill(results, small_study, clean_pages):
    """The kill hits snakemake alone, so that its jobs run on beside those of the next start."""
    text = Path(small_study).read_text()
    change_study(small_study, {text[text.index("  - name: field_frozen") : text.index("throughput:")]: "", "  animal: [4]\n": ""})
    assert planned(small_study) == {"pretrain": 1, "finetune": 4, "tables": 1}
    with locked(finetuning_runs(small_study)[-1]):  # this run waits, so that the study cannot end before the kill
        process = subprocess.Popen(snakemake(small_study), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: records(results) or process.poll() is not None)
        process.kill()
        process.wait()
        kept = records(results)
    assert 0 < len(kept) < 5

    run(small_study)
    done = records(results)
    assert len(done) == 5
    assert kept.items() <= done.items()
    runs = [run for of in (pretraining_runs, finetuning_runs) for run in of(small_study)]
    assert {path.record_path.name for path in runs} == set(done)
    for path in runs:  # each by the notebook of its stage
        page = ROOT / "book" / "executed" / "small" / "runs" / f"{path.record_path.stem}.ipynb"
        assert ("# Pretrain on a subset" in page.read_text()) == (path.stage == "pretrain")
    assert planned(small_study) == {}
    one = finetuning_runs(small_study)[3].record_path
    one.unlink()
    assert planned(small_study) == {"finetune": 1, "tables": 1}
    one.write_bytes(done[one.name])

    change_study(
        small_study, {"changes: {epochs: 2, batch_size: 64, image": "changes: {epochs: 1, batch_size: 64, image"}
    )
    assert planned(small_study) == {"finetune": 2, "tables": 1}  # the in-domain recipe concerns its two runs only
    change_study(
        small_study, {"changes: {epochs: 1, batch_size: 64, image": "changes: {epochs: 2, batch_size: 64, image"}
    )
    change_study(small_study, {"train_images_per_class: 8": "train_images_per_class: 9"})
    assert planned(small_study) == {"pretrain": 1, "finetune": 2, "tables": 1}  # scratch does not depend on the source


def test_cores_without_a_run_of_their_own_become_threads_of_the_runs(results, small_study, monkeypatch):
    """Ten runs: on twenty cores each has two threads."""
    monkeypatch.delenv("PRETRAINING_GAIN_THREADS")
    pretrained = pretraining_runs(small_study)[0]
    run(small_study, cores=20, target=str(pretrained.record_path))
    assert json.loads(pretrained.record_path.read_bytes())["machine"]["threads"] == 2


def test_a_wrong_study_is_one_line(results):
    done = subprocess.run(snakemake("minni"), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode != 0
    assert "study 'minni' is unknown; accepted: anchors, imagenet200, mini, mini_convnext, mini_resnet, paper, " in done.stderr
    assert not results.exists()


def test_a_study_file_in_a_folder_with_a_space_is_quoted(results, small_study, tmp_path):
    path = tmp_path / "a b" / "my study.yml"
    path.parent.mkdir()
    shutil.copy(small_study, path)
    said = run(str(path), "--dry-run", "-p")
    assert f"""-p study '"{path}"'""" in said  # for the shell, and for YAML
    assert f"pretraining_gain.tell.results.tables '{path}'" in said


def test_a_book_with_results_elsewhere_still_shows_the_committed_studies(results):
    said = run("toy", "--dry-run", "-p", "--forcerun", "study_notebook", target="book/executed/mini/10_taxa.ipynb")
    assert "notebooks/10_taxa.ipynb book/executed/mini/10_taxa.ipynb" in said
    assert "19_not_run" not in said


def test_the_parameters_of_a_notebook_say_whether_each_study_has_it():
    assert {"00_plan", "11_subsets", "13_claims"} <= set(study_pages())
    assert {"14_audit", "16_controls"} <= set(project_pages())
    assert not {"01_pretrain", "02_finetune", "19_not_run", "90_playground"} & {*study_pages(), *project_pages()}


@pytest.mark.parametrize(
    ("page", "study", "template"),
    [("11_subsets", "mini", "11_subsets"), ("11_subsets", "paper", "19_not_run"), ("00_plan", "paper", "00_plan")],
)
def test_a_study_without_results_has_pages_that_say_so(page, study, template):
    assert template_of(page, study, made=False) == template


@pytest.mark.parametrize("content", ["{}", "[]", '{"cells": []}', '{"cells": [{"metadata": {}}]}'])
def test_a_numbered_notebook_without_parameters_is_named(tmp_path, monkeypatch, content):
    monkeypatch.setattr(workflow, "project_root", lambda: tmp_path)
    path = tmp_path / "notebooks" / "30_mine.ipynb"
    path.parent.mkdir()
    path.write_text(content)
    with refused(f"{path} has no cell tagged `parameters`; accepted: ", unchanged=tmp_path):
        workflow._notebooks.__wrapped__()


@pytest.mark.parametrize(
    ("content", "said"),
    [("a: [", "cannot be read: line "), ("sphinx: {}", "book_studies has nothing; accepted: anchors, imagenet200, "),
     ("sphinx: {config: {book_studies: {minni: x}}}", "book_studies has ['minni']; accepted: anchors, imagenet200, ")],
)  # fmt: skip
def test_a_configuration_without_studies_that_exist_is_named(tmp_path, monkeypatch, content, said):
    monkeypatch.setattr(workflow, "project_root", lambda: tmp_path)
    (tmp_path / "_config.yml").write_text(content)
    with refused(f"{tmp_path / '_config.yml'}: ", said, unchanged=tmp_path):
        workflow.book_studies()


def test_studies_drawn_in_memory_need_no_data():
    assert [name for name in study_names() if needs_no_data(name)] == ["anchors", "toy"]
