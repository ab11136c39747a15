"""Albedo constancy (Tran, Liu and Liu 2019, Eq. 9).

    L_con = sum_{j in N_i} w(i, j) ||A(i) - A(j)||_2^p        w(i, j) = exp(-alpha ||c(i) - c(j)||)

c is the photo's chromaticity, I / |I|: where the photo changes its brightness alone, that is more likely light.

Shape suffixes: B batch, H W rows and columns of the window of the UV map.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deca_training.losses.reduction import in_full_precision, weighted_mean

ALPHA, POWER = 15.0, 0.8
"""alpha and p, as in Tran and Liu 2018, on which the paper builds; it does not tell its own."""
_FLAT = 1e-6
"""Squared difference added to that of neighbours: below a power of 1 the slope at zero has no limit."""


def albedo_constancy_loss(albedo_B3HW: Tensor, photo_B3HW: Tensor, seen_B1HW: Tensor) -> Tensor:
    """Weighted mean over pairs of neighbouring texels, each pair once; applied to the proxy (Eq. 13).

    Args:
        albedo_B3HW: Albedo.
        photo_B3HW: What the photos show of the texels; no gradient.
        seen_B1HW: How well they show them; where they do not, chromaticity is not known, and nothing is asked for.
    """
    albedo_B3HW, photo_B3HW, seen_B1HW = in_full_precision(albedo_B3HW, photo_B3HW.detach(), seen_B1HW)
    chroma_B3HW = functional.normalize(photo_B3HW, dim=1, eps=1e-3)
    costs, weights = [], []
    for axis in (-1, -2):
        squared_BHW = albedo_B3HW.diff(dim=axis).square().sum(1)
        alike_BHW = torch.exp(-ALPHA * chroma_B3HW.diff(dim=axis).square().sum(1).sqrt())
        first, second = seen_B1HW[:, 0].narrow(axis, 1, seen_B1HW.shape[axis] - 1), _without_last(seen_B1HW[:, 0], axis)
        costs.append((alike_BHW * ((squared_BHW + _FLAT) ** (POWER / 2) - _FLAT ** (POWER / 2))).flatten())
        weights.append((first * second).flatten())
    return weighted_mean(torch.cat(costs), torch.cat(weights))


def _without_last(map_BHW: Tensor, axis: int) -> Tensor:
    return map_BHW.narrow(axis, 0, map_BHW.shape[axis] - 1)
