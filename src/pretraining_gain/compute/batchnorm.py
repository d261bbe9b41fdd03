"""Batch normalisation over several processes: the statistics of the whole batch, as one process would take them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is, on the way back, the gradient's."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    backward = forward


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` over the images of all processes, on a CPU, where `torch.nn.SyncBatchNorm` does not run.

    Sums are taken in float64, so the statistics differ from those of one process by rounding only. (N, C, H, W); N may
    be 0 on a process.
    """

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        exact = images.double()
        count = torch.full_like(exact[:0].sum((0, 2, 3)), images.numel() / images.shape[1])
        sums = _SumOverProcesses.apply(torch.stack([exact.sum((0, 2, 3)), exact.square().sum((0, 2, 3)), count]))
        n, mean = sums[2, 0].detach(), sums[0] / sums[2]
        variance = sums[1] / sums[2] - mean.square()
        with torch.no_grad():
            self.num_batches_tracked += 1  # type: ignore[assignment, operator]
            self.running_mean.lerp_(mean.to(images.dtype), self.momentum)  # type: ignore[arg-type, union-attr]
            self.running_var.lerp_((variance * (n / (n - 1))).to(images.dtype), self.momentum)  # type: ignore[arg-type, union-attr]
        scale = self.weight.double() * (variance + self.eps).rsqrt()
        shift = self.bias.double() - mean * scale
        return torch.addcmul(shift.to(images.dtype)[:, None, None], images, scale.to(images.dtype)[:, None, None])


def synchronised(model: nn.Module, device: str) -> nn.Module:
    """`model` with every batch normalisation synchronised; parameters stay the same objects."""
    if device == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm
    return model
