"""Declare training recipes as data, each value with its source (paper, Appendix D.2)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pretraining_gain.errors import Given

PAPER = "original study, D.2"
ASSUMED = "assumed"
CHOSEN = "chosen for this study"
#: Smallest and largest side of an image.
SIZES_PX = (8, 1024)
_SidePx = Annotated[int, Field(ge=SIZES_PX[0], le=SIZES_PX[1])]


class Recipe(Given):
    """SGD with a step schedule on cross-entropy, as in the paper. Device and precision are not part of it."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1, description="global batch, over all devices")
    lr: float = Field(gt=0, description="learning rate of the first epochs")
    lr_step_epochs: int = Field(gt=0, description="epochs after which the learning rate is divided by 10, again and again")
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    freeze_backbone: bool = Field(description="train only the head")
    frozen_batchnorm: Literal["eval", "train"] = Field(
        description="statistics of a frozen backbone's BatchNorm: kept (eval) or updated (train)"
    )
    frozen_views: int = Field(
        ge=0,
        le=1000,
        description="0: a frozen backbone sees fresh augmentation each epoch; else the number of augmented views per image "
        "whose features are cached",
    )
    image_size_px: _SidePx = Field(description="side of the network's input")
    resize_px: _SidePx = Field(description="side to which an image is decoded (short side, central square)")
    crop_scale_min: float = Field(gt=0, le=1, description="smallest share of the area that a training crop keeps")
    flip: bool = Field(description="mirror half of the training images")

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.resize_px < self.image_size_px:
            least = self.image_size_px
            raise ValueError(
                f"resize_px is {self.resize_px}; accepted: {least} (image_size_px) or more, as crops are cut from it"
            )
        if self.frozen_views and not (self.freeze_backbone and self.frozen_batchnorm == "eval"):
            raise ValueError(
                f"frozen_views is {self.frozen_views}; accepted: 0, unless freeze_backbone is true and frozen_batchnorm is eval"
            )
        return self


_SAME = {
    "momentum": (0.9, PAPER), "weight_decay": (1e-4, PAPER), "lr": (0.1, PAPER), "freeze_backbone": (False, PAPER),
    "frozen_batchnorm": ("eval", ASSUMED), "frozen_views": (0, ASSUMED), "image_size_px": (224, ASSUMED),
    "resize_px": (256, ASSUMED), "crop_scale_min": (0.08, ASSUMED), "flip": (True, ASSUMED),
}  # fmt: skip
_FINETUNED = _SAME | {"lr": (0.1, ASSUMED)}

#: The paper's three recipes: name -> field -> (value, source). For finetuning the paper says "same" without naming the start
#: lr, so that is assumed.
PAPER_RECIPES: dict[str, dict[str, tuple[object, str]]] = {
    "pretrain": _SAME | {"epochs": (90, PAPER), "batch_size": (256, PAPER), "lr_step_epochs": (30, PAPER)},
    "finetune_inat": _FINETUNED | {"epochs": (60, PAPER), "batch_size": (1024, PAPER), "lr_step_epochs": (20, PAPER)},
    "finetune_imagenet": _FINETUNED
    | {"epochs": (15, PAPER), "batch_size": (256, PAPER), "lr_step_epochs": (5, PAPER), "freeze_backbone": (True, PAPER)},
}


#: What training from scratch may choose for itself; all else is the same for both arms of a gain.
_SCHEDULE = ("epochs", "lr", "lr_step_epochs", "weight_decay")


class RecipeChoice(Given):
    """A recipe in a study file: one of the paper's, with the study's changes."""

    based_on: Literal["pretrain", "finetune_inat", "finetune_imagenet"]
    changes: dict[str, Any] = Field(default={})
    from_scratch: dict[str, Any] = Field(default={}, description="further changes where training starts from scratch")

    @field_validator("changes", "from_scratch")
    @classmethod
    def _possible(cls, changes: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if info.field_name == "from_scratch" and (wrong := [name for name in changes if name not in _SCHEDULE]):
            raise ValueError(f"{wrong[0]!r} must be that of a pretrained start; accepted: {', '.join(_SCHEDULE)}")
        if "based_on" in info.data:
            _changed(info.data["based_on"], info.data.get("changes", {}) | changes)
        return changes

    def resolve(self, *, scratch: bool = False) -> Recipe:
        """Return the full recipe, of a pretrained start or from scratch."""
        return _changed(self.based_on, self.changes | (self.from_scratch if scratch else {}))

    def sources(self, *, scratch: bool = False) -> dict[str, str]:
        """Return the source of each field: 'original study, D.2', 'assumed' or 'chosen for this study'."""
        paper = {field: source for field, (_, source) in PAPER_RECIPES[self.based_on].items()}
        return paper | dict.fromkeys(self.changes | (self.from_scratch if scratch else {}), CHOSEN)


def _changed(based_on: str, changes: dict[str, Any]) -> Recipe:
    """Return one of the paper's recipes with changes. Raises pydantic's error for an unknown or impossible change."""
    usual: dict[str, Any] = {field: value for field, (value, _) in PAPER_RECIPES[based_on].items()}
    return Recipe(**usual | changes)
