"""What a frozen backbone says of each image does not change: computed once a view, and the head is trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.pipeline import Batch, ImageSet, augmented_batches, order_of, share
from pretraining_gain.errors import Interrupted
from pretraining_gain.plan.recipes import Recipe


@dataclass(frozen=True)
class FrozenFeatures:
    """The features of N images in V = `recipe.frozen_views` augmented views, under a backbone that does not change.

    View v of an image is what epoch v would show of it, so with as many views as epochs the head sees the very features
    that it would see without them (`frozen_views` 0). Epoch e takes view e mod V. Randomness: that of
    `training_batches`, a function of (seed, view, number of the batch).
    """

    model: nn.Module
    data: ImageSet
    recipe: Recipe
    seed: int
    machine: Machine

    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """As `training_batches`, with features (B, D) float for images, on the device."""
        view, part = self._views[epoch % len(self._views)], self.machine.part
        batches = [chosen for chosen in order_of(len(self.data), self.recipe, self.seed, epoch) if len(chosen) > 1]
        for chosen in batches[first:]:
            own = share(chosen, part)
            yield view[own.to(view.device)], self.data.labels[own].to(view.device), len(chosen)

    @cached_property
    def _views(self) -> list[Tensor]:
        """V times (N, D) float, on the device. Raises `Interrupted` when the process is told to end."""
        n_views = min(self.recipe.frozen_views, self.recipe.epochs)
        return [self._view(number) for number in range(n_views)]

    @torch.no_grad()
    def _view(self, view: int) -> Tensor:
        batches = order_of(len(self.data), self.recipe, self.seed, view)
        part, device = self.machine.part, self.machine.device
        images = augmented_batches(self.data, self.recipe, self.seed, view, batches, device, part=part)
        self.model.eval()
        found = [self._features(batch) for batch in images]
        own = torch.cat([share(chosen, part) for chosen in batches]), torch.cat(found).cpu()
        shares = gather_object([own])  # of all processes: an epoch gives each of them other images than the view did
        positions, features = (torch.cat(column) for column in zip(*shares, strict=True))
        return features[positions.argsort()].to(self.machine.accelerator.device)

    def _features(self, images: Tensor) -> Tensor:
        if self.machine.told_to_end():
            raise Interrupted("told to end while computing features; the next start computes them again")
        with self.machine.accelerator.autocast():
            return backbone(self.model, images).to(torch.get_default_dtype())


def backbone(model: nn.Module, images: Tensor) -> Tensor:
    """Features before the head: (B, 3, P, P) -> (B, D)."""
    head, model.fc = model.fc, nn.Identity()
    try:
        return model(images)
    finally:
        model.fc = head
