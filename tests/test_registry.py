"""The registry of figures: one decorated function is all that a new figure needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, simulate_results

from pretraining_gain.errors import InputError
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.runs import Run
from pretraining_gain.plan.studies import Study
from pretraining_gain.tell.book import paste
from pretraining_gain.tell.book.executed import Executed, short_name
from pretraining_gain.tell.book.provenance import Provenance
from pretraining_gain.tell.book.rerun_pages import figures_of
from pretraining_gain.tell.figures import subsets
from pretraining_gain.tell.figures.declare import Runs, declared_in, figure
from pretraining_gain.tell.figures.registry import FIGURES
from pretraining_gain.tell.software.price import figure_table
from pretraining_gain.workflow import study_pages


@pytest.fixture
def added() -> Iterator[str]:
    """Declare one more figure, as its module would, and return its key."""

    def animals_in_domain(study: Study, runs: list[Run]) -> list[Run]:
        return [run for run in runs if run.pool == "animal" and run.downstream == study.downstream_in("in_domain").name]

    @figure("7", "Animals alone", "11_subsets", Runs(select=animals_in_domain))
    def figure_7(results: object) -> str:
        return "drawn"

    yield "figure_7"
    del FIGURES["figure_7"]


def test_an_added_figure_has_a_price(added):
    assert figure_table(Plan.of("toy")).at["Figure 7", "runs"] == 12


def test_an_added_figure_has_a_provenance(added, results):
    simulate_results("toy")
    assert len(Provenance.of_figure(FIGURES[added], "toy").runs) == len(FIGURES[added].runs(Plan.of("toy")))


def test_an_added_figure_has_a_command_before_its_study_was_run(added):
    page = "book/executed/paper/11_subsets"
    notebook = Executed(page, Path(f"{page}.ipynb"), "notebooks/19_not_run.ipynb", "", {}, {}, {}, {})
    assert figures_of(notebook)["paper-figure_7"] == ("Figure 7. Animals alone", [])


def test_an_added_figure_is_said_not_to_be_run(added, monkeypatch):
    shown = {}
    monkeypatch.setattr(paste, "glue", lambda key, content, **_: shown.update({key: content}))
    monkeypatch.setattr(paste, "display", lambda _: None)
    paste.show_not_run("paper", [FIGURES[added]])
    forms, _ = shown[added]._repr_mimebundle_()
    assert "Not run here" in forms["text/html"]


@pytest.mark.parametrize("key", list(FIGURES))
def test_each_notebook_shows_the_module_of_its_figures(key):
    notebook = ROOT / "notebooks" / f"{FIGURES[key].notebook}.ipynb"
    module = FIGURES[key].draw.__module__.rpartition(".")[2]
    assert f"from pretraining_gain.tell.figures import {module}" in notebook.read_text()


@pytest.mark.parametrize("key", [key for key, one in FIGURES.items() if one.notebook in study_pages()])
def test_the_page_of_a_readers_study_has_a_place_for_each_figure(key):
    """The build leaves out those that the study cannot draw. Other notebooks are about no single study."""
    template = (ROOT / "book" / "_templates" / "study.md").read_text(encoding="utf-8")
    places = {f"{{figure-of}} {key}", f"{{output}} {short_name(Path(FIGURES[key].notebook))}.{key}"}
    assert sum(f"```{place}\n" in template for place in places) == 1


def test_the_registry_imports_neither_torch_nor_statistics():
    code = (
        "import sys, pretraining_gain.tell.figures.registry, pretraining_gain.tell.book.paste;"
        "print({'torch', 'statsmodels', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n"


def test_a_key_belongs_to_one_function():
    with pytest.raises(InputError, match="figure 'figure_3' is declared twice"):

        @figure("3", "again", "11_subsets", Runs())
        def figure_3(results: object) -> str:
            return ""


@pytest.mark.parametrize(
    ("study", "key", "n_runs"),
    [("mini", "figure_1", 30), ("mini", "figure_3", 210), ("mini", "figure_freezing", 190), ("mini", "explorer", 680),
     ("mini", "figure_assigned", 30), ("mini", "figure_5", 0), ("toy", "figure_designs", 0), ("paper", "figure_4", 93)],
)  # fmt: skip
def test_a_figure_knows_its_runs(study, key, n_runs):
    assert len(FIGURES[key].runs(Plan.of(study))) == n_runs


def test_the_reader_may_choose_target_and_pretraining():
    runs = FIGURES["figure_1"].runs(Plan.of("toy"), downstream="clean", arm="animal-k4")
    assert {run.arm for run in runs if run.downstream == "clean"} == {"animal-k4", "scratch"}


def test_a_notebook_shows_the_figures_of_its_module_in_their_order():
    assert [one.key for one in declared_in(subsets)] == ["figure_3", "figure_4", "figure_6", "figure_further"]
