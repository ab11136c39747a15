"""Batch normalisation over the photos of all processes, where torch's own needs a GPU (`nn.SyncBatchNorm`).

Shape suffixes: B photos, C channels, H W rows and columns.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics are those of all processes while it trains; same state-dict keys."""

    def forward(self, input_BCHW: Tensor) -> Tensor:
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input_BCHW)
        # The mean first: the difference of large sums of squares would lose half the digits of the variance.
        photos = torch.full((1,), input_BCHW.numel() / self.num_features, device=input_BCHW.device)
        sum_C, count_1 = all_reduce(torch.cat((input_BCHW.sum((0, 2, 3)), photos))).split((self.num_features, 1))
        centred_BCHW = input_BCHW - (sum_C / count_1)[:, None, None]
        variance_C = all_reduce(centred_BCHW.square().sum((0, 2, 3))) / count_1
        self._remember((sum_C / count_1).detach(), (variance_C * count_1 / (count_1 - 1)).detach())
        scale_C = self.weight * (variance_C + self.eps).rsqrt()
        return centred_BCHW * scale_C[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _remember(self, mean_C: Tensor, variance_C: Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean_C, share)
        self.running_var.lerp_(variance_C, share)


def share_statistics(module: nn.Module) -> None:
    """Makes every batch normalisation of a module take the statistics of all processes."""
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = SharedBatchNorm2d
