"""This project's own training as a contestant: `compute.training.train`, with its state kept nowhere.

The others keep none either, so that what is compared is the training alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState, PartialState

from pretraining_gain.bench.scale import Setting
from pretraining_gain.compute.checkpoints import Checkpoint
from pretraining_gain.compute.machine import Machine, this_machine
from pretraining_gain.plan.recipes import Recipe, RecipeChoice


class Unkept(Checkpoint):
    """A checkpoint that is never due, never written and never there."""

    def __init__(self) -> None:
        super().__init__(Path("unkept.pt"), "bench", every_s=1e9)

    def is_due(self) -> bool:
        return False

    def write(self, state: dict[str, Any]) -> None:
        pass

    def read(self) -> None:
        self.starts = 1


def machine_for(device: str, precision: str = "auto") -> Machine:
    """The machine as a run of ours would see it that is told this device and precision.

    Raises `InputError` for a device that is not there. Accelerate keeps its settings for the whole process, so they are
    forgotten first.
    """
    os.environ |= {"PRETRAINING_GAIN_DEVICE": device, "PRETRAINING_GAIN_PRECISION": precision}
    AcceleratorState._reset_state()
    PartialState._reset_state()
    return this_machine()


def recipe_for(setting: Setting, based_on: str = "pretrain", **changes: Any) -> Recipe:
    """One of the paper's recipes at this setting."""
    third = max(1, setting.epochs // 3)
    usual = {
        "epochs": setting.epochs,
        "lr_step_epochs": third,
        "batch_size": setting.batch_size,
        "image_size_px": setting.image_size_px,
        "resize_px": setting.resize_px,
    }
    return RecipeChoice(based_on=based_on, changes=usual | changes).resolve()
