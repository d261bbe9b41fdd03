"""Notebook templates are thin, and running them is strict."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT, change_study

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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pool": "NA"}, "pool 'NA' is unknown; accepted: animal, non_animal, random, all, half_animal, scratch"),
        ({"study": "mini", "pool": "animal", "k": 7, "downstream": "cifar10_animals"}, "accepted: 1 to 6"),
    ],
)
def test_a_failed_run_keeps_its_notebook_under_another_name(given, said, results, tmp_path):
    out = tmp_path / "out.ipynb"
    with pytest.raises(InputError) as caught:
        execute(ROOT / "notebooks" / "02_finetune.ipynb", out, given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    assert (tmp_path / "out.FAILED.ipynb").exists()
    assert not results.exists()
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def run(command: list[str], cwd, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | environment)


def strict(notebook: str, out, cwd, *given: str, **environment: str) -> subprocess.CompletedProcess[str]:
    template = str(ROOT / "notebooks" / f"{notebook}.ipynb")
    return run([sys.executable, "-m", "pretraining_gain.execute", template, str(out), *given], cwd, **environment)


def papermill(notebook: str, out, cwd, *given: str, **environment: str) -> subprocess.CompletedProcess[str]:
    template = str(ROOT / "notebooks" / f"{notebook}.ipynb")
    return run([sys.executable, "-m", "papermill", template, str(out), *given], cwd, **environment)


def test_plain_papermill_from_any_folder_writes_the_same_results(results, small_study, tmp_path):
    given = ["-p", "study", small_study, "-p", "pool", "animal", "-p", "k", "4"]
    (tmp_path / "elsewhere").mkdir()
    done = papermill("02_finetune", tmp_path / "plain.ipynb", tmp_path / "elsewhere", *given)
    assert done.returncode == 0, done.stderr
    wanted = Run(study=small_study, pool="animal", k=4, downstream="field")
    assert wanted.predictions_path.exists()
    assert wanted.pretraining.weights_path.exists()
    first = wanted.predictions_path.read_bytes()
    other = str(tmp_path / "other")
    done = strict("02_finetune", tmp_path / "strict.ipynb", tmp_path, *given, PRETRAINING_GAIN_RESULTS=other)
    assert done.returncode == 0, done.stderr
    [again] = (tmp_path / "other").rglob("*.csv.gz")
    assert again.name == wanted.predictions_path.name
    assert again.read_bytes() == first


def test_progress_leaves_one_final_line_in_the_stored_notebook(results, small_study, tmp_path):
    out = tmp_path / "out.ipynb"
    execute(ROOT / "notebooks" / "01_pretrain.ipynb", out, {"study": small_study})
    outputs = [output for cell in nbformat.read(out, as_version=4).cells for output in cell.get("outputs", [])]
    lines = [output["data"]["text/html"] for output in outputs if "<progress" in json.dumps(output)]
    assert len(lines) == 1
    assert "2/2 epochs" in lines[0]


def test_plain_papermill_also_stops_at_a_misspelt_parameter(results, tmp_path):
    done = papermill("02_finetune", tmp_path / "out.ipynb", tmp_path, "-p", "sede", "3")
    assert done.returncode != 0
    assert "unknown parameter(s): sede; accepted: study, pool, k, seed, downstream" in done.stderr
    assert not results.exists()


def test_missing_data_is_one_line(results, tmp_path):
    places = {"PRETRAINING_GAIN_DATA": str(tmp_path / "nothing")}
    done = strict("01_pretrain", tmp_path / "out.ipynb", tmp_path, "-p", "study", "mini", **places)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("01_pretrain")]
    assert "nothing/cifar-10/train/airplane is missing; fetch it with" in line
    assert not list(results.rglob("*.json"))
    assert not list(results.rglob("*.safetensors"))


def test_results_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").touch()  # a folder below a file can be written by nobody, not even by root
    places = {"PRETRAINING_GAIN_RESULTS": str(tmp_path / "file" / "results")}
    done = strict("01_pretrain", tmp_path / "out.ipynb", tmp_path, "-p", "study", "toy", **places)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("01_pretrain")]
    assert "cannot write to" in line
    assert "file/results" in line


def test_resnet50_at_224_pixels_runs_through_both_notebooks(results, small_study, tmp_path):
    change_study(
        small_study,
        {
            "train_images_per_class: 8": "train_images_per_class: 2",
            "train_images_per_class: 4": "train_images_per_class: 1",
            "eval_images_per_class: 5": "eval_images_per_class: 1",
        },
    )
    given = {"study": small_study, "pool": "animal", "k": 4, "backbone": "resnet50", "image_size_px": 224, "epochs": 1}
    execute(ROOT / "notebooks" / "01_pretrain.ipynb", tmp_path / "1.ipynb", given)
    execute(ROOT / "notebooks" / "02_finetune.ipynb", tmp_path / "2.ipynb", given)
    run = Run(downstream="field", **given)
    record = json.loads(run.record_path.read_text())
    assert "resnet50" in run.run_id
    assert record["recipe"]["image_size_px"] == 224
    assert record["eval_images"] == 24
    assert record["history"][0]["lr"] == record["recipe"]["lr"]
