"""The short form of the fault campaign: kill real runs and the workflow, and lose nothing, bit for bit.

The book's chapter on reliability shows the long form, `python -m tests.faults`.
"""

from __future__ import annotations

import pytest
from conftest import ROOT, change_study

from tests.faults.__main__ import campaign


@pytest.fixture
def one_pair(small_study, clean_pages):
    """One pretraining, and one target from scratch and from it."""
    text = (ROOT / "notebooks" / "studies" / "toy.yml").read_text()
    others = text[text.index("  - name: clean") : text.index("throughput:")]
    change_study(small_study, {others.replace("changes: {batch_size: 64, image", "changes: {epochs: 2, batch_size: 64, image")
                               .replace("train_images_per_class: 20", "train_images_per_class: 4")
                               .replace("eval_images_per_class: 30", "eval_images_per_class: 5")
                               .replace("epochs: 15, lr_step_epochs: 5", "epochs: 2, lr_step_epochs: 1"): "",
                               "  all: [24]\n": ""})  # fmt: skip
    return small_study


@pytest.mark.parametrize(("workflow", "kills"), [(False, 8), (True, 4)])
def test_runs_and_workflows_that_are_killed_end_as_if_undisturbed(one_pair, workflow, kills):
    summary = campaign(one_pair, kills, seed=1, workflow=workflow)
    assert summary["kills"] >= kills
    assert summary["rounds"] >= 1
    assert summary["files_compared"] >= 8
    assert summary["differing"] == []
    assert summary["lost"] == 0
