"""Fingerprints cover all code that can change a number; notebooks know the files that they are made from."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

from pretraining_gain import workflow
from pretraining_gain.datasets import dataset_names
from pretraining_gain.errors import InputError
from pretraining_gain.plan.code import NOT_HASHED, PACKAGE, hashed_modules, inputs_of, normalised

_STAGES = ("compute.pretrain", "compute.finetune")
_OUTSIDE = {"filelock", "IPython", "tqdm"}  # what modules outside the fingerprint may import beside Python's own
#: Functions outside the fingerprint that hashed modules call: they check, look up, read and write, and compute no number.
_CALLED = {
    "paths": {"cache_root", "data_root", "prepared_root", "make_writable", "path_beside", "write_atomically"},
    "errors": {"one_line"},
    "plan.code": {"code_hash"},
    "datasets": {"check_columns", "find_dataset", "options_of"},
    "plan.record": {"read_record"},
    "plan.resources": {"allowed_cores", "whole_number"},
    "plan.tables": {"read_table"},
    "plan.representation": {"imagenet_birds", "validation_classes"},
    "plan.taxonomy": {"load_class_table", "made_table_path"},
    "plan.weights": {"architecture_of", "is_published", "weights_file"},  # what is in the file is hashed
    "compute.records": {"is_finished", "locked", "write_findings", "write_record"},
}


def every_hashed_module() -> dict[str, Path]:
    return hashed_modules(*_STAGES, "compute.resnet10", *(f"datasets.{name}" for name in dataset_names()))


def imported(path: Path) -> list[tuple[str, str]]:
    """(module, name) of each import in a file; the name is empty for `import module`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("module", sorted(NOT_HASHED))
def test_a_module_outside_the_fingerprint_imports_nothing_that_computes(module):
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    roots = {name.partition(".")[0] for name, _ in imported(path)}
    assert roots <= {PACKAGE.name, *sys.stdlib_module_names} | _OUTSIDE


@pytest.mark.parametrize("module", sorted(every_hashed_module()))
def test_hashed_code_takes_from_outside_only_types_constants_and_checks(module):
    hashed = every_hashed_module()
    for source, name in imported(hashed[module]):
        inside = source in hashed or f"{source}.{name}" in hashed
        if not source.startswith(f"{PACKAGE.name}.") or inside:
            continue
        short = source.removeprefix(f"{PACKAGE.name}.")
        taken = getattr(importlib.import_module(source), name)
        is_function = inspect.isroutine(taken) or hasattr(taken, "__wrapped__") or isinstance(taken, ModuleType)
        assert not is_function or short == "compute.progress" or name in _CALLED.get(short, set()), f"{short}.{name}"


def test_words_and_layout_do_not_count_but_indentation_does():
    source = 'def f(x):\n    """Doc."""\n    for y in x:\n        print(y)  # why\n        g(y)\n'
    other = "def f(x):\n    # words\n    for y in x:\n        print(\n            y,\n        )\n\n        g(y)\n"
    assert normalised(source) == normalised(other)
    assert normalised(source) != normalised(source.replace("        g(y)", "    g(y)"))


def test_code_is_read_alike_by_every_python():
    """From 3.12 on, Python splits f-strings into tokens of their own."""
    assert normalised('x = f"{{a}} {total:,}"\n') == 'x=f"{{a}}{total:,}"\n'
    assert normalised('assert s > "a"\n') == 'asserts>"a"\n'


FINGERPRINTS = """
from pretraining_gain.plan.runs import Run
given = {"study": "mini", "pool": "animal", "k": 4}
runs = [Run(**given), *(Run(downstream=d, **given) for d in ("caltech101_animals", "cifar10_animals"))]
runs.append(Run(study="mini", pool="scratch", downstream="cifar10_animals"))
runs.append(Run(study="mini", backbone="resnet18"))
print(*(run.fingerprint for run in runs))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks" / "studies", copy / "notebooks" / "studies")
    return copy


def fingerprints(copy: Path) -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    done = subprocess.run([sys.executable, "-c", FINGERPRINTS], capture_output=True, text=True, cwd=copy, env=environment)
    assert not done.returncode, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def before(checkout) -> list[str]:
    return fingerprints(checkout)


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [  # which of: pretraining, its two finetunings (Caltech-101, CIFAR-10), scratch on CIFAR-10, a pretraining of resnet18
        ("compute/training.py", "momentum=recipe.momentum,", "momentum=recipe.momentum, nesterov=True,", "YYYYY"),
        ("compute/training.py", "recipe.lr * 0.1 **", "recipe.lr * 0.2 **", "YYYYY"),
        ("compute/machine.py", "set_default_dtype(torch.float64 if", "set_default_dtype(torch.float16 if", "YYYYY"),
        ("compute/checkpoints.py", 'map_location="cpu"', "map_location=None", "YYYYY"),
        ("compute/weights.py", ".detach().cpu()", ".detach().half().cpu()", "YYYYY"),
        ("compute/pretrain.py", "len(rows), run.seed", "len(rows), run.seed + 1", "YYY Y"),
        ("compute/evaluation.py", "argmax(1)", "argmin(1)", " YYY "),
        ("compute/resnet10.py", "kernel_size=3", "kernel_size=5", "YYYY "),
        ("datasets/caltech101.py", "for i in order]", "for i in sorted(order)]", " Y   "),
        ("metadata/caltech101_animals.csv", ",cougar_body;cougar_face,", ",cougar_body,", " Y   "),
        ("metadata/caltech101_animals.csv", ",Panthera pardus,", ",Panthera,", "     "),
        ("compute/training.py", "Build SGD with", "Make SGD with", "     "),
        ("compute/training.py", "# of dropout", "# dropout", "     "),
        ("compute/progress.py", "starting", "begins", "     "),
        ("plan/backbones.py", '"torchvision.models:resnet18", 0.36', '"torchvision.models:resnet18", 0.5', "     "),
        ("plan/backbones.py", "torchvision.models:resnet18", "timm.models.resnet:resnet18", "    Y"),
        ("plan/backbones.py", "_ENTRIES = [", '_ENTRIES = [\n    Backbone("b", "torchvision.models:vgg11", 1, 1, 1, 1),', "     "),
        ("tell/results/gains.py", "import annotations", "import annotations, division", "     "),
    ],
)
def test_a_change_concerns_the_runs_that_depend_on_it_and_no_others(checkout, before, file, old, new, changed):
    path = checkout / "src" / PACKAGE.name / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    try:
        after = fingerprints(checkout)
    finally:
        path.write_text(text)
    assert "".join("Y" if one != other else " " for one, other in zip(before, after, strict=True)) == changed


def test_a_notebook_depends_on_what_it_imports():
    names = {str(path.relative_to(PACKAGE)) for path in inputs_of(ROOT / "notebooks" / "01_pretrain.ipynb")}
    assert names >= {"compute/pretrain.py", "compute/training.py", "plan/runs.py", "plan/recipes.py"}
    assert not any(name.startswith("bench/") for name in names)


def test_a_notebook_depends_on_the_tables_that_its_modules_name(tmp_path):
    page = tmp_path / "page.py"
    page.write_text("from pretraining_gain.plan.representation import annotations_path")
    assert PACKAGE / "metadata" / "imagenet_birds.csv" in inputs_of(page)
    page.write_text("from pretraining_gain.errors import InputError")
    assert {path.name for path in inputs_of(page)} == {"errors.py", "page.py"}


def test_a_checkout_without_results_reads_none(tmp_path, monkeypatch):
    page = ROOT / "notebooks" / "13_claims.ipynb"
    assert "imagenet200" in workflow.results_read(str(page))
    monkeypatch.setattr(workflow, "project_root", lambda: tmp_path)
    assert workflow.results_read(str(page)) == []


def test_a_notebook_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "page.ipynb").write_text("{")
    with pytest.raises(InputError, match=r"page\.ipynb cannot be read"):
        inputs_of(tmp_path / "page.ipynb")


def test_each_command_line_shows_the_name_of_its_module():
    """It is what the usage tells people to type."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__main__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("CommandLine", "about_a_study"):
                found[module] = ast.unparse(node.args[0]).strip("'")
    assert found.pop("commands") == "module"  # of `about_a_study`, handed on
    assert {"predict", "plan", "tell.book.pdf"} <= found.keys()
    assert found == {module: module for module in found}
