"""How much each part of the benchmark does: the full form, and a tiny one that only shows that it works."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pretraining_gain.bench.threads import n_cores


@dataclass(frozen=True)
class Setting:
    """A network at an image size, with so many images in all, in batches, for so many epochs."""

    backbone: str
    image_size_px: int
    images: int
    batch_size: int
    epochs: int

    @property
    def resize_px(self) -> int:
        """What images are decoded to: with room for crops at 224 pixels, as is usual for ImageNet."""
        return 256 if self.image_size_px == 224 else self.image_size_px

    def __str__(self) -> str:
        return f"{self.backbone}, {self.image_size_px} px"


@dataclass(frozen=True)
class Scale:
    """`*_s` are seconds that one comparison of a part may take."""

    name: str
    rounds: int
    limits: list[Setting]
    limit_s: float
    loaders: list[Setting]
    loaders_s: float
    evaluations: list[Setting]
    evaluation_s: float
    decoded: int
    decode_sizes_px: list[int]
    decode_s: float
    parity: Setting
    parity_classes: int
    parity_seeds: int
    frozen: list[Setting]
    frozen_seeds: int
    frozen_views: int
    pretrain_epochs: int
    study_s: float
    study_changes: dict[str, str]
    draws: int
    analysis_s: float
    drawn_per_class: int
    slow_analysis: bool = True
    worker_counts: list[int] = field(default_factory=lambda: sorted({0, 1, 2, n_cores()}))

    def for_cuda(self) -> Scale:
        """More images in larger batches, as a GPU is many times faster."""
        if self.name != "full":
            return self
        limits = [
            Setting("resnet10_w16", 32, 100_000, 256, 1),
            Setting("resnet18", 32, 50_000, 256, 1),
            Setting("resnet50", 64, 25_600, 256, 1),
            Setting("resnet50", 224, 1_280, 128, 1),
        ]
        loaders = [
            Setting("resnet10_w16", 32, 320, 64, 30),
            Setting("resnet18", 32, 320, 64, 15),
            Setting("resnet50", 64, 320, 64, 15),
            Setting("resnet50", 224, 320, 64, 5),
        ]
        return replace(self, limits=limits, loaders=loaders, evaluations=loaders[1:])


FULL = Scale(
    name="full",
    rounds=5,
    limits=[
        Setting("resnet10_w16", 32, 2560, 128, 1),
        Setting("resnet18", 32, 512, 64, 1),
        Setting("resnet50", 64, 128, 32, 1),
        Setting("resnet50", 224, 32, 16, 1),
    ],
    limit_s=60,
    loaders=[
        Setting("resnet10_w16", 32, 320, 64, 15),
        Setting("resnet18", 32, 320, 64, 5),
        Setting("resnet50", 64, 96, 32, 5),
        Setting("resnet50", 224, 32, 16, 1),
    ],
    loaders_s=80,
    evaluations=[
        Setting("resnet18", 32, 320, 64, 1),
        Setting("resnet50", 64, 160, 64, 1),
        Setting("resnet50", 224, 48, 16, 1),
    ],
    evaluation_s=20,
    decoded=64,
    decode_sizes_px=[32, 64, 256],
    decode_s=12,
    parity=Setting("resnet10_w16", 32, 240, 32, 15),
    parity_classes=12,
    parity_seeds=6,
    frozen=[Setting("resnet10_w16", 32, 480, 32, 15), Setting("resnet18", 32, 480, 32, 15)],
    frozen_seeds=5,
    frozen_views=2,
    pretrain_epochs=45,
    study_s=240,
    study_changes={"seeds: [0, 1, 2]": "seeds: [0]"},
    draws=2000,
    analysis_s=30,
    drawn_per_class=60,
)

_SMALL = Setting("resnet10_w16", 32, 16, 8, 1)
TINY = Scale(
    name="tiny",
    rounds=2,
    limits=[_SMALL],
    limit_s=0,
    loaders=[_SMALL, Setting("resnet10_w16", 224, 8, 4, 1)],
    loaders_s=0,
    evaluations=[_SMALL],
    evaluation_s=0,
    decoded=4,
    decode_sizes_px=[32],
    decode_s=0,
    parity=_SMALL,
    parity_classes=4,
    parity_seeds=2,
    frozen=[Setting("resnet10_w16", 32, 16, 8, 2)],
    frozen_seeds=2,
    frozen_views=2,
    pretrain_epochs=1,
    study_s=0,
    study_changes={
        "seeds: [0, 1, 2]": "seeds: [0]",
        "  animal: [4, 12]\n  non_animal: [4, 12]\n  random: [12]\n": "  animal: [4]\n",
        "train_images_per_class: 50": "train_images_per_class: 4",
        "train_images_per_class: 20": "train_images_per_class: 4",
        "eval_images_per_class: 30": "eval_images_per_class: 2",
        "epochs: 12, lr_step_epochs: 4": "epochs: 1, lr_step_epochs: 1",
        "epochs: 15, lr_step_epochs: 5": "epochs: 1, lr_step_epochs: 1",
    },
    draws=20,
    analysis_s=0,
    drawn_per_class=8,
    slow_analysis=False,
    worker_counts=[0],
)

SCALES = {scale.name: scale for scale in (FULL, TINY)}
