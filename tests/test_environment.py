"""One set of versions: pyproject's ranges, the lock's exact pins, and the conda environment agree."""

from __future__ import annotations

import re
import tomllib

import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins(lines: list[str]) -> dict[str, str]:
    found = filter(None, (re.fullmatch(r"([\w.-]+)==([\w.!+-]+)", line.strip()) for line in lines))
    return {canonicalize_name(match[1]): match[2] for match in found}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = project["optional-dependencies"].values()
    return [Requirement(text) for text in [*project["dependencies"], *(text for group in groups for text in group)]]


LOCK = (ROOT / "requirements.lock").read_text().splitlines()


def test_lock_pins_every_dependency_within_its_range():
    locked = pins(LOCK)
    assert len(locked) > 100
    for requirement in declared():
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), (requirement, version)


def test_lock_serves_cpu_and_cuda():
    """Only `name==version`: no local label such as +cpu, no CUDA package, no address."""
    for line in LOCK:
        if line.strip() and not line.startswith("#"):
            assert re.fullmatch(r"[\w.-]+==[\w.!]+", line), line
            assert not line.startswith(("nvidia-", "triton")), line


def test_the_conda_environment_has_what_is_declared_at_the_locks_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    [*named, constraint, project] = environment["dependencies"][-1]["pip"]
    assert named == ["jupyter-book", "papermill", "torch", "torchvision", "pandas", "plotly", "ipywidgets"]
    assert constraint == "--constraint requirements.lock"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert project == f"--editable .[{','.join(extras)}]"
