"""Reconstruction losses of the nonlinear face model (Tran, Liu and Liu 2019, Eqs. 4 to 6).

    L_i = 1 / |V| sum_{q in V} ||I^(q) - I(q)||_2
    L_f = 1 / |C| sum_{j in C} 1 / (W_j H_j C_j) ||phi_j(I^) - phi_j(I)||_2^2
    L_rec = L_i + lambda_f L_f

Shape suffixes: B batch, C channels, H W rows and columns of pictures or windows of UV maps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca_training.losses.id_mrf import FeatureNetwork
from deca_training.losses.reduction import in_full_precision, weighted_mean

_ROOT = 1e-12
"""Under the root, so that a difference of zero has a gradient."""


def l21_loss(rendering_B3HW: Tensor, photo_B3HW: Tensor, seen_B1HW: Tensor) -> Tensor:
    """Mean length of the difference in colour over what is seen of the batch (Eq. 4).

    Args:
        rendering_B3HW, photo_B3HW: Display values.
        seen_B1HW: Weights; 1 where the photo shows the skin.
    """
    rendering_B3HW, photo_B3HW, seen_B1HW = in_full_precision(rendering_B3HW, photo_B3HW, seen_B1HW)
    squared_B1HW = (rendering_B3HW - photo_B3HW).square().sum(1, keepdim=True)
    return weighted_mean((squared_B1HW + _ROOT).sqrt(), seen_B1HW)


def perceptual_loss(
    network: FeatureNetwork,
    layers: tuple[str, ...],
    rendering_B3HW: Tensor,
    photo_B3HW: Tensor,
    seen_B1HW: Tensor,
) -> Tensor:
    """Mean squared difference of features, as a mean over layers (Eq. 5). What is not seen is black in both.

    Args:
        network: Frozen feature network.
        layers: Of it, C.
        rendering_B3HW, photo_B3HW: Display values, 0..1.
        seen_B1HW: As in `l21_loss`.
    """
    with torch.no_grad():
        wanted = network(photo_B3HW * seen_B1HW, layers)
    found = network(rendering_B3HW * seen_B1HW, layers)
    terms = [torch.sub(*in_full_precision(found[layer], wanted[layer])).square().mean() for layer in layers]
    return torch.stack(terms).mean()
