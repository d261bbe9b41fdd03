"""Several runs of a notebook in one kernel: as if each had its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import psutil
import pytest

from pretraining_gain.errors import InputError
from pretraining_gain.execute import execute_each, main

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@pytest.fixture
def notebook(tmp_path) -> Path:
    """Fails for 3, and where a variable of another run is still there; shows its parameter and its process."""
    cells = [
        nbformat.v4.new_code_cell("number: int = 0", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("assert 'left' not in globals()\nleft = 1\nassert number != 3, 'it is 3'"),
        nbformat.v4.new_code_cell("import os\nprint(number, os.getpid())"),
    ]
    path = tmp_path / "page.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return path


def shown(path: Path) -> list[str]:
    return nbformat.read(path, 4).cells[-1].outputs[0].text.split()


def test_runs_share_a_kernel_and_no_variable(notebook, tmp_path):
    outputs = [tmp_path / f"{number}.ipynb" for number in (1, 2)]
    words = [str(notebook), str(outputs[0]), "-p", "number", "1", "--and", str(outputs[1]), "-p", "number", "2"]
    assert main(words) == 0
    (one, process), (two, same_process) = map(shown, outputs)
    assert (one, two, process) == ("1", "2", same_process)
    assert not psutil.pid_exists(int(process))
    assert [cell.execution_count for cell in nbformat.read(outputs[1], 4).cells] == [1, 2, 3, 4]  # with papermill's own


def test_the_first_run_that_fails_ends_them_and_leaves_those_before(notebook, tmp_path):
    runs = [(tmp_path / f"{number}.ipynb", {"number": number}) for number in (1, 3, 4)]
    with pytest.raises(InputError, match=r"AssertionError: it is 3 \[notebook kept as .*3\.FAILED\.ipynb\]"):
        execute_each(notebook, runs)
    assert {path.name for path in tmp_path.glob("*.ipynb")} == {"page.ipynb", "1.ipynb", "3.FAILED.ipynb"}


def test_a_wrong_parameter_of_any_run_is_refused_before_the_first(notebook, tmp_path, capsys):
    assert main([str(notebook), str(tmp_path / "1.ipynb"), "--and", str(tmp_path / "2.ipynb"), "-p", "numbr", "2"]) == 1
    assert "unknown parameter 'numbr'; accepted: number" in capsys.readouterr().err
    assert not (tmp_path / "1.ipynb").exists()
