"""The short form of the fault campaign: kill real runs, and lose nothing, bit for bit.

The book's chapter on reliability shows the long form, `python -m tests.faults`, which also kills the workflow.
"""

from __future__ import annotations

from conftest import change_study

from tests.faults.__main__ import campaign


def test_runs_that_are_killed_end_as_if_undisturbed(one_target, clean_pages):
    change_study(one_target, {"  animal: [4]\n": ""})
    summary = campaign(one_target, kills=4, seed=1, workflow=False, n_most=6)  # batches of a run
    assert summary["kills"] >= 4
    assert summary["files_compared"] >= 8
    assert (summary["differing"], summary["lost"]) == ([], 0)
