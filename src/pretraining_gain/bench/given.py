"""What every part of the benchmark is given."""

from __future__ import annotations

from dataclasses import dataclass

from pretraining_gain.bench.measure import Effort
from pretraining_gain.bench.photographs import Photographs
from pretraining_gain.bench.scale import Scale, Setting
from pretraining_gain.compute.machine import Machine

N_CLASSES = 8


@dataclass(frozen=True)
class Given:
    """The machine, the images, and how much to do."""

    machine: Machine
    scale: Scale
    photographs: Photographs

    @property
    def device(self) -> str:
        return self.machine.device

    def effort(self, budget_s: float) -> Effort:
        return Effort(budget_s, self.scale.rounds)


def is_large(setting: Setting) -> bool:
    """Whether ours keeps images of this size on disk, prepared, and not in memory."""
    return setting.image_size_px >= 224
