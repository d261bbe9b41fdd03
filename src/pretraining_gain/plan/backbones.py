"""Declare backbones: one entry each, from which accepted names, prices and what a run asks of a machine follow.

Any classifier of torchvision or timm works by its name without an entry. What its entry would say is then measured on the
network itself. An entry with measured times makes prices better.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from pretraining_gain.errors import InputError

_MODELS = "pretraining_gain.compute.models"  # imported for names without an entry only: it needs torch


@dataclass(frozen=True)
class Backbone:
    """`builder`: "package.module:callable", empty for a name that torchvision or timm builds.

    `cost`: time of a training step relative to resnet50 at the same image size. `kept_kb_per_pixel`: activations that a step
    keeps per pixel of the batch, float32. `n_features`: width of the head's input. `weights_mb`: float32 weights, with a
    head for 1,000 classes.
    """

    name: str
    builder: str
    cost: float
    kept_kb_per_pixel: float
    n_features: int
    weights_mb: float


# Costs were measured on one CPU core, at 32 px in batches of 32.
_ENTRIES = [
    Backbone("resnet50", "torchvision.models:resnet50", 1.0, 2.2, 2048, 102.5),
    Backbone("resnet18", "torchvision.models:resnet18", 0.36, 0.6, 512, 46.8),
    Backbone("resnet10_w32", "pretraining_gain.compute.resnet10:resnet10_w32", 0.11, 0.3, 256, 6.0),
    Backbone("resnet10_w16", "pretraining_gain.compute.resnet10:resnet10_w16", 0.042, 0.15, 128, 1.8),
]
BACKBONES: dict[str, Backbone] = {entry.name: entry for entry in _ENTRIES}
#: Names without an entry that studies of the project have, measured once, so that their plan loads no torch.
MEASURED = {"test_convnext": Backbone("test_convnext", "", 0.015, 0.2, 64, 1.09)}


def known_backbone(name: str) -> str:
    """Return `name` if it has an entry or is a classifier of torchvision or timm; raise `ValueError` otherwise.

    Where these are not installed, nothing can be trained, and any well-formed name is accepted.
    """
    if name in BACKBONES | MEASURED:
        return name
    try:
        known = re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) and import_module(_MODELS).library_of(name)
    except ImportError:
        return name
    if not known:
        raise ValueError(f"backbone {name!r} is unknown; accepted: {', '.join(BACKBONES)}, or a classifier of torchvision or timm")
    return name


@cache
def find_backbone(name: str) -> Backbone:
    """Return the entry of `name`, or one measured on the network. Raises `InputError` where that takes a missing library."""
    if known := (BACKBONES | MEASURED).get(name):
        return known
    try:
        return import_module(_MODELS).measure(name)
    except ImportError as error:
        raise InputError(
            f"the price of backbone {name!r} is measured on the network ({error}); accepted: one with an entry in "
            "plan/backbones.py, or the extra `compute` installed"
        ) from None


def builder_of(name: str) -> str:
    """Return the builder that an entry names; empty for a name that torchvision or timm builds."""
    return BACKBONES[name].builder if name in BACKBONES else ""


def own_modules(name: str) -> list[str]:
    """Return the modules of this project that build the backbone, for its fingerprint: none, or e.g. `compute.resnet10`."""
    package, _, module = builder_of(name).partition(":")[0].partition(".")
    return [module] if package == __name__.partition(".")[0] else []
