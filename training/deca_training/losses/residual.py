"""Residual closeness (Tran, Liu and Liu 2019, Eq. 14)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision

_PER_METRE = 100.0
"""A centimetre of shape counts as much as the whole range of albedo."""


def residual_loss(
    shape_B3HW: Tensor, proxy_shape_B3HW: Tensor, albedo_B3HW: Tensor, proxy_albedo_B3HW: Tensor, skin_HW: Tensor
) -> Tensor:
    """||S - S~||_1 + ||A - A~||_1, as means over texels of the skin and channels, in centimetres and display values.

    Args:
        shape_B3HW, proxy_shape_B3HW: True shape and proxy, metres.
        albedo_B3HW, proxy_albedo_B3HW: True albedo and proxy.
        skin_HW: Where it counts.
    """
    shape, proxy_shape, albedo, proxy_albedo, skin_HW = in_full_precision(
        shape_B3HW, proxy_shape_B3HW, albedo_B3HW, proxy_albedo_B3HW, skin_HW
    )
    apart_HW = (_PER_METRE * (shape - proxy_shape).abs() + (albedo - proxy_albedo).abs()).mean((0, 1))
    return (apart_HW * skin_HW).sum() / skin_HW.sum().clamp(min=1)
