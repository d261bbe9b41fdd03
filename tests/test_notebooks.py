"""Notebook templates are thin, and running them is strict."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, change_study, simulate_results
from refusal import assert_one_line

from pretraining_gain.compute.finetune import finetune
from pretraining_gain.compute.pretrain import pretrain
from pretraining_gain.errors import InputError
from pretraining_gain.execute import execute
from pretraining_gain.plan.runs import Run

TEMPLATES = sorted((ROOT / "notebooks").glob("*.ipynb"))
FORBIDDEN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.Lambda)
FORBIDDEN += (ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_holds_no_output_and_no_logic(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert code[0].metadata["tags"][0] == "parameters"
    assert len(code) <= 8
    for cell in code:
        assert not cell.outputs
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 15
        assert not [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, FORBIDDEN)]
    for node in ast.parse(code[0].source).body:
        assert isinstance(node, ast.AnnAssign), "parameters are typed"
    assert all("#" in line for line in code[0].source.splitlines()), "parameters are explained"


def test_committed_notebooks_are_the_templates_only():
    tracked = subprocess.run(["git", "ls-files", "*.ipynb"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert sorted(tracked) == [f"notebooks/{path.name}" for path in TEMPLATES]


#: Template, parameters, environment with the test's folder for FOLDER, what the one line has.
FAILURES: dict[str, tuple[str, dict[str, object], dict[str, str], str]] = {
    "a wrong pool": ("02_finetune", {"pool": "NA"}, {}, "pool 'NA' is unknown; accepted: animal, non_animal, random, all"),
    "no data": ("01_pretrain", {"study": "mini"}, {"DATA": "FOLDER/no"}, "no/cifar-10/train/airplane is missing; fetch it with"),
    "no place": ("01_pretrain", {"study": "toy"}, {"RESULTS": "FOLDER/file/results"}, "/file/results"),
}


@pytest.mark.parametrize(("template", "given", "places", "said"), FAILURES.values(), ids=FAILURES)
def test_a_failed_run_is_one_line_and_keeps_its_notebook_under_another_name(
    results, tmp_path, monkeypatch, template, given, places, said
):
    (tmp_path / "file").touch()  # a folder below a file can be written by nobody, not even by root
    for name, place in places.items():
        monkeypatch.setenv(f"PRETRAINING_GAIN_{name}", place.replace("FOLDER", str(tmp_path)))
    with pytest.raises(InputError) as caught:
        execute(ROOT / "notebooks" / f"{template}.ipynb", tmp_path / "out.ipynb", given)
    assert_one_line(str(caught.value), said)
    assert not [path for path in results.rglob("*") if path.suffix in (".json", ".safetensors", ".gz")]
    assert {path.name for path in tmp_path.iterdir()} - {"results", "cache"} == {"file", "out.FAILED.ipynb"}


@pytest.mark.parametrize("name", ["01_pretrain", "02_finetune", "10_taxa", "23_explorer", "24_what_if"])
def test_cells_can_be_run_again_with_what_they_left_behind(results, small_study, tmp_path, name):
    """As with *Run All Cells* twice: no value that a cell makes is taken for a parameter."""
    study = small_study if name.startswith("0") else "toy"
    if study == "toy":
        simulate_results(study)
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(cell.source) for cell in notebook.cells[2:]]
    nbformat.write(notebook, tmp_path / "twice.ipynb")
    execute(tmp_path / "twice.ipynb", tmp_path / "out.ipynb", {"study": study})


def papermill(out: Path, folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "02_finetune.ipynb"), str(out), *given]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_plain_papermill_from_any_folder_writes_the_same_results(results, small_study, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    given = ["-p", "study", small_study, "-p", "pool", "animal", "-p", "k", "4"]
    done = papermill(tmp_path / "plain.ipynb", tmp_path / "elsewhere", *given)
    assert done.returncode == 0, done.stderr
    run = Run(study=small_study, pool="animal", k=4, downstream="field")
    assert run.pretraining.weights_path.exists()
    first = run.predictions_path.read_bytes()
    monkeypatch.setenv("PRETRAINING_GAIN_RESULTS", str(tmp_path / "other"))
    pretrain(run.pretraining)
    finetune(run)
    assert run.predictions_path.is_relative_to(tmp_path / "other")
    assert run.predictions_path.read_bytes() == first


def test_plain_papermill_also_stops_at_a_misspelt_parameter(results, tmp_path):
    done = papermill(tmp_path / "out.ipynb", tmp_path, "-p", "sede", "3")
    assert done.returncode != 0
    assert "unknown parameter(s): sede; accepted: study, pool, k, seed, downstream" in done.stderr
    assert not results.exists()


def test_resnet50_at_224_pixels_runs_through_both_notebooks(results, small_study, tmp_path):
    fewer = {"train_images_per_class: 8": "train_images_per_class: 2", "train_images_per_class: 4": "train_images_per_class: 1"}
    change_study(small_study, fewer | {"eval_images_per_class: 5": "eval_images_per_class: 1"})
    given = {"study": small_study, "pool": "animal", "k": 4, "backbone": "resnet50", "image_size_px": 224, "epochs": 1}
    execute(ROOT / "notebooks" / "01_pretrain.ipynb", tmp_path / "1.ipynb", given)
    execute(ROOT / "notebooks" / "02_finetune.ipynb", tmp_path / "2.ipynb", given)
    outputs = [one for cell in nbformat.read(tmp_path / "1.ipynb", as_version=4).cells for one in cell.get("outputs", [])]
    [progress] = [one["data"]["text/html"] for one in outputs if "<progress" in json.dumps(one)]
    assert "1/1 epochs" in progress  # one final line is left of it
    run = Run(downstream="field", **given)
    record = json.loads(run.record_path.read_text())
    assert "resnet50" in run.run_id
    assert record["recipe"]["image_size_px"] == 224
    assert record["eval_images"] == 24
    assert record["history"][0]["lr"] == record["recipe"]["lr"]
