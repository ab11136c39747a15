"""Losses against what is known of synthetic subjects; DECA has none.

Shape suffixes: B photos = S subjects times K photos, V vertices, H W rows and columns of UV maps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca_training.losses.reduction import in_full_precision, weighted_mean

_TENTH_MILLIMETRE = 1e-4
_DYNAMIC = 8.0
"""How much more an error counts that differs between a subject's photos: what moves holds a fifteenth of the energy."""
_SLOPES = 2.0
"""How much the difference of neighbouring texels counts: what light shows of wrinkles are their slopes."""


def displacement_truth_loss(
    displacement_B1HW: Tensor, truth_B1HW: Tensor, skin_HW: Tensor, images_per_subject: int
) -> Tensor:
    """Squared error of the displacement and of its slopes, in tenths of a millimetre (per texel).

    The error of a subject's photos is split into their mean, which is static, and what differs, which counts more.

    Args:
        displacement_B1HW: F_d's, metres.
        truth_B1HW: What it should be, metres.
        skin_HW: 1 where it counts.
        images_per_subject: K.
    """
    displacement_B1HW, truth_B1HW = in_full_precision(displacement_B1HW, truth_B1HW)
    error_SKHW = ((displacement_B1HW - truth_B1HW) / _TENTH_MILLIMETRE).view(
        -1, images_per_subject, *truth_B1HW.shape[-2:]
    )
    static_S1HW = error_SKHW.mean(1, keepdim=True)

    def mean_square(error_SKHW: Tensor) -> Tensor:
        down, right = error_SKHW.diff(dim=-2), error_SKHW.diff(dim=-1)
        parts = ((error_SKHW, skin_HW, 1.0), (down, skin_HW[1:], _SLOPES), (right, skin_HW[:, 1:], _SLOPES))
        return torch.stack(
            [factor * weighted_mean(part.square(), mask.expand_as(part)) for part, mask, factor in parts]
        ).sum()

    return mean_square(static_S1HW) + _DYNAMIC * mean_square(error_SKHW - static_S1HW)


def neutral_truth_loss(neutral_BV3: Tensor, truth_BV3: Tensor, face_V: Tensor) -> Tensor:
    """Mean distance of the face's vertices without expression, millimetres.

    Args:
        neutral_BV3: Predicted, metres.
        truth_BV3: What they should be, metres.
        face_V: Indices of the vertices that count.
    """
    neutral_BV3, truth_BV3 = in_full_precision(neutral_BV3, truth_BV3)
    return 1e3 * (neutral_BV3[:, face_V] - truth_BV3[:, face_V]).norm(dim=-1).mean()


def correlations(
    displacement_B1HW: Tensor, truth_B1HW: Tensor, skin_HW: Tensor, images_per_subject: int
) -> tuple[Tensor, Tensor]:
    """Correlation over the skin of D with the truth, and of what differs between a subject's photos."""
    values = [
        map_B1HW.detach().float()[:, 0, skin_HW > 0].view(-1, images_per_subject, int((skin_HW > 0).sum()))
        for map_B1HW in (displacement_B1HW, truth_B1HW)
    ]
    moving = [value_SKN - value_SKN.mean(1, keepdim=True) for value_SKN in values]
    return _correlation(*(value - value.mean() for value in values)), _correlation(*moving)


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-12)
