"""Names of studies: a study file cannot take a name under which another study has its results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from refusal import refused

from pretraining_gain import paths
from pretraining_gain.compute.domains import publish
from pretraining_gain.plan import studies
from pretraining_gain.plan.costs import Plan
from pretraining_gain.plan.runs import Run
from pretraining_gain.tell.results.evaluation import View
from pretraining_gain.tell.results.tables import write_tables


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a copy of the toy study with another name into a folder; return its path."""

    def write(name: str, folder: str = "own") -> str:
        path = tmp_path / folder / "study.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(yaml.safe_load((ROOT / "notebooks" / "studies" / "toy.yml").read_text()) | {"name": name}))
        return str(path)

    return write


USERS: dict[str, Callable[[str], object]] = {
    "a run": lambda study: Run.from_parameters({"study": study}),
    "a plan": lambda study: Plan.from_parameters({"study": study}),
    "a figure": lambda study: View.from_parameters({"study": study}),
    "the tables": write_tables,
    "the measures of the domains": publish,
}


@pytest.mark.parametrize("use", USERS.values(), ids=USERS)
def test_a_study_file_elsewhere_cannot_take_the_name_of_a_study_of_the_project(own, results, tmp_path, use):
    study = own("mini")
    said = f"study file {study}: name 'mini' is a study of the project; accepted: any name but anchors, imagenet200, mini"
    with refused(said, unchanged=tmp_path):
        use(study)


def test_a_study_file_cannot_take_the_name_of_another_file_that_has_results(own, results, tmp_path):
    first, second = own("mine", "one"), own("mine", "two")
    record = results / "mine" / "pretrain" / "all.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"parameters": {"study": first}}))
    Run.from_parameters({"study": first})
    said = f"study file {second}: name 'mine' is in use, {results}/mine has runs of {first}; accepted: another name"
    with refused(said, unchanged=tmp_path):
        Run.from_parameters({"study": second})
    Path(first).unlink()  # a study file that was moved keeps its results
    assert Run.from_parameters({"study": second}).plan.name == "mine"


def test_a_study_of_the_project_cannot_have_the_name_of_another(tmp_path, monkeypatch):
    """As after `cp toy.yml copy.yml`: its runs would be those of `toy`, and its tables would replace that study's."""
    toy = (ROOT / "notebooks" / "studies" / "toy.yml").read_text()
    copy = tmp_path / "notebooks" / "studies" / "copy.yml"
    copy.parent.mkdir(parents=True)
    copy.write_text(toy)
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    for given in ("copy", str(copy)):
        with refused(f"study file {copy}: name 'toy'; accepted: 'copy'", unchanged=tmp_path):
            studies.load_study(given)
    copy.write_text(toy.replace("name: toy", "name: copy", 1))
    assert studies.check_name("copy").name == "copy"
