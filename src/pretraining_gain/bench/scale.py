"""Size each part of the benchmark: on a CPU, on CUDA, and a tiny form that only shows that it works."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from pretraining_gain.plan.recipes import Recipe, RecipeChoice


@dataclass(frozen=True)
class Setting:
    """A backbone at an image size in pixels, with how many images in all, per batch, and for how many epochs."""

    backbone: str
    image_size_px: int
    images: int
    batch_size: int
    epochs: int = 1

    @property
    def is_large(self) -> bool:
        """Tell whether our runs keep images of this size on disk, prepared, and not in memory."""
        return self.image_size_px >= 224

    def recipe(
        self, based_on: Literal["pretrain", "finetune_inat", "finetune_imagenet"] = "pretrain", **changes: Any
    ) -> Recipe:
        """Return one of the paper's recipes at this setting; large images leave room for crops, as is usual for ImageNet."""
        sizes = {"image_size_px": self.image_size_px, "resize_px": 256 if self.is_large else self.image_size_px}
        usual = {"epochs": self.epochs, "lr_step_epochs": max(1, self.epochs // 3), "batch_size": self.batch_size}
        return RecipeChoice(based_on=based_on, changes=usual | sizes | changes).resolve()

    def __str__(self) -> str:
        return f"{self.backbone}, {self.image_size_px} px"


@dataclass(frozen=True)
class Scale:
    """Settings of each part, rounds and seconds per comparison, and classes, seeds and epochs of those over seeds."""

    name: str
    settings: dict[str, list[Setting]]
    rounds: int = 5
    budget_s: float = 30
    seeds: int = 5
    classes: int = 12
    pretrain_epochs: int = 45
    drawn_per_class: int = 60

    def short(self) -> Scale:
        """Return the largest network of each part alone, in fewer rounds."""
        last = {part: settings[-1:] for part, settings in self.settings.items()}
        return replace(self, name=f"{self.name}, short", settings=last, rounds=3, budget_s=15, seeds=2, pretrain_epochs=5)


_SMALL = Setting("resnet10_w16", 32, 16, 8)
TINY = Scale("tiny", {
    **{part: [_SMALL] for part in ("limit", "evaluation", "parity", "frozen")},
    "loaders": [_SMALL, Setting("resnet10_w16", 224, 16, 8)], "feeding": [replace(_SMALL, image_size_px=224)],
}, rounds=2, budget_s=0, seeds=2, classes=4, pretrain_epochs=1, drawn_per_class=8)  # fmt: skip
CPU = Scale("cpu", {
    "limit": [Setting("resnet10_w16", 32, 2560, 128), Setting("resnet18", 32, 512, 64), Setting("resnet50", 64, 128, 32),
              Setting("resnet50", 224, 32, 16)],
    "loaders": [Setting("resnet10_w16", 32, 320, 64, 15), Setting("resnet18", 32, 320, 64, 5),
                Setting("resnet50", 64, 96, 32, 5), Setting("resnet50", 224, 32, 16)],
    "feeding": [Setting("", 32, 64, 64), Setting("", 64, 64, 64), Setting("", 224, 64, 32)],
    "evaluation": [Setting("resnet18", 32, 320, 64), Setting("resnet50", 64, 160, 64), Setting("resnet50", 224, 48, 16)],
    "parity": [Setting("resnet10_w16", 32, 240, 32, 15)],
    "frozen": [Setting("resnet10_w16", 32, 480, 32, 15), Setting("resnet18", 32, 480, 32, 15)],
})  # fmt: skip
CUDA = replace(CPU, name="cuda", settings=CPU.settings | {
    "limit": [replace(one, images=40 * one.images, batch_size=4 * one.batch_size) for one in CPU.settings["limit"][:-1]]
             + [Setting("resnet50", 224, 5120, 256)],
    "loaders": [replace(one, images=320, batch_size=64, epochs=3 * one.epochs) for one in CPU.settings["loaders"][:-1]]
               + [Setting("resnet50", 224, 2048, 256, 3)],
    "evaluation": [replace(one, images=2048, batch_size=256) for one in CPU.settings["evaluation"]],
    "feeding": [Setting("", 224, 512, 256)],
})  # fmt: skip
