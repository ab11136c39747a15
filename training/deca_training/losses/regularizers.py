"""Regularisers of E_c's codes (DECA, Section 4.1: Regularization)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision


def code_energy(codes_BN: Tensor) -> Tensor:
    """Half the squared length of shape, expression or albedo codes, summed over the batch.

    Both are the release's; the paper has no half, and does not say how images are added up.
    """
    (codes_BN,) = in_full_precision(codes_BN)
    return codes_BN.square().sum() / 2


def grey_light(light_B93: Tensor) -> Tensor:
    """Mean squared deviation of light coefficients from grey light, the mean of their colours (release only).

    Without it, light and albedo can trade colours.
    """
    (light_B93,) = in_full_precision(light_B93)
    return (light_B93 - light_B93.mean(-1, keepdim=True)).square().mean()
