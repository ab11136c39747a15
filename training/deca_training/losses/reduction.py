"""What the losses share: enough precision under automatic mixed precision, and means that may have no summands."""

from __future__ import annotations

import torch
from torch import Tensor


def in_full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors as float32 where they are float16 or bfloat16; as they are elsewhere."""
    halves = (torch.float16, torch.bfloat16)
    return tuple(tensor.float() if tensor.dtype in halves else tensor for tensor in tensors)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """sum(weights * values) / sum(weights), over tensors of one shape; zero, with zero gradients, without weights."""
    total = weights.sum()
    return (weights * values).sum() / torch.where(total > 0, total, 1)


def known_difference(predicted_BL2: Tensor, target_BL2: Tensor, weights_BL: Tensor) -> Tensor:
    """predicted - target, zero without gradient where the weight is zero, whatever the numbers are there."""
    return torch.where(weights_BL[..., None] > 0, predicted_BL2 - target_BL2, 0)
