"""The registry of figures: one decorated function is all that a figure needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.tell.figures import subsets
from pretraining_gain.tell.figures.declare import declared_in
from pretraining_gain.tell.figures.registry import FIGURES, Runs, figure


def test_the_registry_imports_neither_torch_nor_statistics():
    code = (
        "import sys, pretraining_gain.tell.figures.registry;"
        "print({'torch', 'statsmodels', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("key", list(FIGURES))
def test_each_figure_names_a_notebook_that_draws_it(key):
    notebook = ROOT / "notebooks" / f"{FIGURES[key].notebook}.ipynb"
    module = FIGURES[key].draw.__module__.rpartition(".")[2]
    assert f"from pretraining_gain.tell.figures import {module}" in notebook.read_text()


def test_a_key_belongs_to_one_function():
    with pytest.raises(InputError, match="figure 'figure_3' is declared twice"):
        figure(key="figure_3", number="3", title="again", notebook="11_subsets", needs=Runs())(lambda results: "")


@pytest.mark.parametrize(
    ("study", "key", "n_runs"),
    [("mini", "figure_1", 9), ("mini", "figure_3", 63), ("mini", "figure_freezing", 57), ("mini", "explorer", 238),
     ("mini", "figure_assigned", 12), ("mini", "figure_5", 0), ("toy", "figure_designs", 0), ("paper", "figure_4", 93)],
)  # fmt: skip
def test_a_figure_knows_its_runs(study, key, n_runs):
    assert len(FIGURES[key].runs(Plan.of(study))) == n_runs


def test_the_reader_may_choose_target_and_pretraining():
    runs = FIGURES["figure_1"].runs(Plan.of("toy"), downstream="clean", arm="animal-k4")
    assert {run.arm for run in runs if run.downstream == "clean"} == {"animal-k4", "scratch"}


def test_a_notebook_shows_the_figures_of_its_module_in_their_order():
    assert [one.key for one in declared_in(subsets)] == ["figure_3", "figure_4", "figure_6"]
