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

    def recipe(self, based_on: Literal["pretrain", "finetune_inat", "finetune_imagenet"] = "pretrain", **changes: Any) -> Recipe:
        """Return one of the paper's recipes at this setting; large images leave room for crops, as is usual for ImageNet."""
        sizes = {"image_size_px": self.image_size_px, "resize_px": 256 if self.is_large else self.image_size_px}
        usual = {"epochs": self.epochs, "lr_step_epochs": max(1, self.epochs // 3), "batch_size": self.batch_size}
        return RecipeChoice(based_on=based_on, changes=usual | sizes | changes).resolve()

    def __str__(self) -> str:
        return f"{self.backbone}, {self.image_size_px} px"


@dataclass(frozen=True)
class Scale:
    """Settings of the parts, rounds and seconds per comparison, and classes, seeds and epochs of those over seeds."""

    name: str
    limits: list[Setting]
    loaders: list[Setting]
    evaluations: list[Setting]
    parity: list[Setting]
    frozen: list[Setting]
    rounds: int = 5
    budget_s: float = 60
    seeds: int = 5
    classes: int = 12
    pretrain_epochs: int = 45
    decoded: int = 64
    decode_px: tuple[int, ...] = (32, 64, 256)
    drawn_per_class: int = 60
    study_epochs: int = 0  # 0: the toy study's own


_SMALL = Setting("resnet10_w16", 32, 16, 8)
TINY = Scale("tiny", [_SMALL], [_SMALL, replace(_SMALL, image_size_px=224)], [_SMALL], [_SMALL], [_SMALL], rounds=2, budget_s=0,
             seeds=2, classes=4, pretrain_epochs=1, decoded=4, decode_px=(32,), drawn_per_class=8, study_epochs=1)  # fmt: skip
CPU = Scale(
    "full",
    limits=[Setting("resnet10_w16", 32, 2560, 128), Setting("resnet18", 32, 512, 64), Setting("resnet50", 64, 128, 32),
            Setting("resnet50", 224, 32, 16)],
    loaders=[Setting("resnet10_w16", 32, 320, 64, 15), Setting("resnet18", 32, 320, 64, 5), Setting("resnet50", 64, 96, 32, 5),
             Setting("resnet50", 224, 32, 16)],
    evaluations=[Setting("resnet18", 32, 320, 64), Setting("resnet50", 64, 160, 64), Setting("resnet50", 224, 48, 16)],
    parity=[Setting("resnet10_w16", 32, 240, 32, 15)],
    frozen=[Setting("resnet10_w16", 32, 480, 32, 15), Setting("resnet18", 32, 480, 32, 15)],
)  # fmt: skip
CUDA = replace(
    CPU,
    limits=[Setting("resnet10_w16", 32, 100_000, 256), Setting("resnet18", 32, 50_000, 256), Setting("resnet50", 64, 25_600, 256),
            Setting("resnet50", 224, 1280, 128)],
    loaders=[Setting("resnet10_w16", 32, 320, 64, 30), Setting("resnet18", 32, 320, 64, 15), Setting("resnet50", 64, 320, 64, 15),
             Setting("resnet50", 224, 320, 64, 5)],
    evaluations=[Setting("resnet18", 32, 320, 64), Setting("resnet50", 64, 320, 64), Setting("resnet50", 224, 320, 64)],
)  # fmt: skip
