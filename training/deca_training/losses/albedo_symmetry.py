"""Albedo symmetry (Tran, Liu and Liu 2019, Eq. 8)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision


def albedo_symmetry_loss(albedo_B3HW: Tensor, skin_HW: Tensor) -> Tensor:
    """||A - flip(A)||_1 as a mean over texels of the skin and colours; applied to the proxy (Eq. 13).

    Args:
        albedo_B3HW: Albedo of a window of the UV map that is symmetric to the map's middle column.
        skin_HW: Where it counts, likewise symmetric.
    """
    albedo_B3HW, skin_HW = in_full_precision(albedo_B3HW, skin_HW)
    difference_HW = (albedo_B3HW - albedo_B3HW.flip(-1)).abs().mean((0, 1))
    return (difference_HW * skin_HW).sum() / skin_HW.sum().clamp(min=1)
