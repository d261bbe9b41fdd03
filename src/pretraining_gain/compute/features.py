"""Cache features of a frozen backbone and train only the head on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

from pretraining_gain.compute.machine import Machine
from pretraining_gain.compute.models import features_of
from pretraining_gain.compute.pipeline import Batch, ImageSet, augmented_batches, inference_batch_size, order_of, share
from pretraining_gain.errors import Interrupted
from pretraining_gain.plan.recipes import Recipe


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of N images in V = `recipe.frozen_views` augmented views, under a frozen backbone.

    View v shows an image as epoch v would. With as many views as epochs, the head sees the same features as without a
    cache (`frozen_views` 0). Epoch e takes view e mod V. Randomness: as `training_batches`, with the view for the epoch.
    """

    model: nn.Module
    data: ImageSet
    recipe: Recipe
    seed: int
    machine: Machine

    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Yield batches as `training_batches` does, with features (B, D) float in place of images, on the device."""
        view = self._views[epoch % len(self._views)]
        batches = [chosen for chosen in order_of(len(self.data), self.recipe, self.seed, epoch) if len(chosen) > 1]
        for chosen in batches[first:]:
            own = share(chosen, self.machine.part)
            labels = self.data.labels[own].to(view.device, non_blocking=True)
            yield view[own.to(view.device, non_blocking=True)], labels, len(chosen)

    @cached_property
    def _views(self) -> list[Tensor]:
        """Compute V × (N, D) float, on the device. Raises `Interrupted` on SIGTERM."""
        return [self._view(number) for number in range(min(self.recipe.frozen_views, self.recipe.epochs))]

    def _view(self, view: int) -> Tensor:
        machine, found = self.machine, []
        batches = order_of(len(self.data), self.recipe, self.seed, view)
        augmented = augmented_batches(self.data, self.recipe, self.seed, view, batches, machine.device, part=machine.part)
        self.model.eval()
        for images in _regrouped(augmented, inference_batch_size(self.recipe.image_size_px, machine.device)):
            if machine.got_sigterm():
                raise Interrupted("stopped while computing features; the next start computes them again")
            with torch.inference_mode(), machine.accelerator.autocast():
                found.append(features_of(self.model, images).to(torch.get_default_dtype()))
        own = torch.cat([share(chosen, machine.part) for chosen in batches]), torch.cat(found).cpu()
        shares = gather_object([own])  # an epoch gives a process other images than the view did
        positions, features = (torch.cat(column) for column in zip(*shares, strict=True))
        return features[positions.argsort()].to(machine.accelerator.device)


def _regrouped(batches: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """Yield the same images in batches of `size`: without gradients, another size than the recipe's is faster."""
    held = next(batches)
    for images in batches:
        held = torch.cat([held, images])
        while len(held) > size:
            yield held[:size]
            held = held[size:]
    yield from held.split(size)
