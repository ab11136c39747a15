"""Shape smoothness (Tran, Liu and Liu 2019, Eq. 10)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision

_ROOT = 1e-12
"""Under the root, so that a flat map has a gradient; of the squares of millimetres."""


def shape_smoothness_loss(map_B3HW: Tensor, skin_HW: Tensor) -> Tensor:
    """Mean distance of texels of the skin from the mean of their four neighbours, millimetres.

    Applied to what the decoder adds to the linear head (of the proxy, Eq. 13), not to all of the shape as in the paper:
    the linear head's own curvature, which is no noise, would ask for displacement that flattens the nose.

    Args:
        map_B3HW: Positions or displacements, metres.
        skin_HW: Where it counts.
    """
    map_B3HW, skin_HW = in_full_precision(map_B3HW, skin_HW)
    inner = map_B3HW[..., 1:-1, 1:-1]
    around = (
        map_B3HW[..., :-2, 1:-1] + map_B3HW[..., 2:, 1:-1] + map_B3HW[..., 1:-1, :-2] + map_B3HW[..., 1:-1, 2:]
    ) / 4
    length_HW = ((1e3 * (inner - around)).square().sum(1) + _ROOT).sqrt().mean(0)
    weight_HW = skin_HW[1:-1, 1:-1]
    return (length_HW * weight_HW).sum() / weight_HW.sum().clamp(min=1)
