"""A dry run of the workflow plans exactly the notebooks that a change concerns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, copy_project, simulate_results

from pretraining_gain.workflow import book_studies, study_pages


class Checkout:
    """A copy of the project in which everything that the workflow makes is up to date."""

    def __init__(self, root: Path) -> None:
        self.root = root
        copy_project(root)
        self.book = root / "_build" / "html" / "index.html"
        self.book.parent.mkdir(parents=True)

    def plan(self, **settings: str) -> set[str]:
        """Return the notebooks, tables and book that a dry run would make."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PRETRAINING_GAIN_")}
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"]
        environment |= {"PYTHONPATH": str(self.root / "src")} | settings
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        outputs = r"^ +output: (?:book/executed|results|_build)/(\S+?)(?:\.ipynb|,| |$)"
        return set(re.findall(outputs, done.stdout + done.stderr, re.MULTILINE))

    def settle(self, planned: set[str]) -> None:
        """Write an empty file, newer than its inputs, for each output that is missing or out of date."""
        for name in planned:
            path = self.root / "book" / "executed" / f"{name}.ipynb"
            if not name.endswith((".csv", ".html")):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        for table in (self.root / "results" / "toy").glob("*.csv"):
            table.touch()
        for path in (self.root / "book" / "executed").rglob("*.ipynb"):
            path.touch()
        self.book.touch()

    def change(self, path: str, old: str, new: str) -> None:
        """Change a file of the package for good."""
        file = self.root / "src" / "pretraining_gain" / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def after(self, path: str, old: str, new: str) -> set[str]:
        """Change a file of the package and return what is planned; after that, everything is up to date again."""
        self.change(path, old, new)
        planned = self.plan()
        self.settle(planned)
        return planned


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    root = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRETRAINING_GAIN_RESULTS", str(root / "results"))
        copy = Checkout(root)
        simulate_results("toy")
    copy.settle(copy.plan())
    yield copy


def test_nothing_is_planned_when_nothing_that_counts_changed(checkout):
    """As after the first build: its plan knew no tables of `toy`, and it wrote the ledger of a study without results."""
    made, away = checkout.root / "results" / "toy", checkout.root / "toy"
    made.rename(away)
    checkout.plan()
    away.rename(made)
    (checkout.root / "results" / "paper").mkdir()
    (checkout.root / "results" / "paper" / "claims.json").write_text("{}")
    checkout.change("tell/figures/subsets.py", '"""Figures 3, 4 and 6', '"""The figures 3, 4 and 6')
    first = "from __future__ import annotations"
    checkout.change("tell/results/gains.py", first, f"# new\n{first}")
    assert checkout.plan() == set()


def test_a_changed_citation_makes_the_book(checkout):
    (checkout.root / "CITATION.cff").touch()
    planned = checkout.plan()
    checkout.settle(planned)
    assert planned == {"html/index.html"}


def test_another_address_makes_the_book(checkout):
    planned = checkout.plan(PRETRAINING_GAIN_REPOSITORY="https://github.com/owner/name")
    checkout.plan()
    checkout.settle(planned)
    assert planned == {"html/index.html"}


def test_a_changed_family_makes_the_figures_of_the_study_that_reads_it(checkout):
    planned = checkout.after("metadata/caltech101_animals.csv", "Formicidae", "Otheridae")
    studies = {one: (ROOT / "notebooks" / "studies" / f"{one}.yml").read_text() for one in book_studies()}
    reading = [one for one, text in studies.items() if "class_table: caltech101_animals" in text]
    of_its_studies = {f"{study}/{page}" for study in reading for page in study_pages()}
    # Whatever study they are about, their code names such a study: the samples `mini` (as the default of a command), the
    # claims and the controls `imagenet200`, the architectures `mini_convnext`.
    others = {f"{study}/{page}" for study in ("toy", "paper") for page in ("12_samples", "13_claims")}
    assert planned == of_its_studies | others | {"16_controls", "26_architectures", "html/index.html"}


def test_a_changed_name_of_a_species_makes_the_tables_of_its_study(checkout):
    planned = checkout.after("metadata/toy_animals.csv", "anat bird A", "anat bird X")
    assert "toy/runs.csv" in planned  # with them the card of the network, which holds the names
    assert not any(name.endswith((".json", ".csv")) for name in planned - {"toy/runs.csv"})


def test_a_changed_function_of_a_figure_makes_the_notebooks_that_draw_it(checkout):
    planned = checkout.after("tell/figures/subsets.py", '"pretraining classes", "k"', '"source classes", "k"')
    assert {"toy/11_subsets", "mini/11_subsets"} <= planned
    assert not {"toy/10_taxa", "mini/10_taxa", "mini/23_explorer", "14_audit", "20_reliability"} & planned


def test_a_changed_way_to_make_tables_makes_the_tables_of_the_studies_that_are_run(checkout):
    planned = checkout.after("tell/results/tables.py", '"peak_memory_mb",', '"peak_memory_mb", "peak_memory_mb",')
    assert "toy/runs.csv" in planned
    assert "mini/runs.csv" not in planned
