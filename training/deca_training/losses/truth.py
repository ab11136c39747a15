"""Losses against what is known of synthetic subjects; DECA has none.

Shape suffixes: B photos = S subjects times K photos, V vertices, H W rows and columns of UV maps.
"""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision

_TENTH_MILLIMETRE = 1e-4
_DYNAMIC = 8.0
"""How much more an error counts that differs between a subject's photos: what moves holds a fifteenth of the energy."""
_SMOOTH = 0.5
"""Added to the squares of the truth (hundredths of a square millimetre), so that smooth skin's pores do not count as
much as wrinkles."""
_SLOPES = 2.0
"""How much the difference of neighbouring texels counts: what light shows of wrinkles are their slopes."""


def displacement_truth_loss(
    displacement_B1HW: Tensor, truth_B1HW: Tensor, skin_HW: Tensor, images_per_subject: int
) -> Tensor:
    """Share of the wrinkles that is missed: squared error over squares of the truth; 1 without wrinkles.

    Of heights and of slopes. What a subject's photos have in common is static; what differs counts more.

    Args:
        displacement_B1HW: F_d's, metres.
        truth_B1HW: What it should be, metres.
        skin_HW: How much each texel counts.
        images_per_subject: K.
    """
    displacement_B1HW, truth_B1HW = in_full_precision(displacement_B1HW, truth_B1HW)

    def squares_S(map_B1HW: Tensor) -> Tensor:
        map_SKHW = map_B1HW.reshape(-1, images_per_subject, *truth_B1HW.shape[-2:]) / _TENTH_MILLIMETRE
        static_S1HW = map_SKHW.mean(1, keepdim=True)
        return mean_square_S(static_S1HW) + _DYNAMIC * mean_square_S(map_SKHW - static_S1HW)

    def mean_square_S(map_SKHW: Tensor) -> Tensor:
        down, right = map_SKHW.diff(dim=-2), map_SKHW.diff(dim=-1)
        parts = ((map_SKHW, skin_HW, 1.0), (down, skin_HW[1:], _SLOPES), (right, skin_HW[:, 1:], _SLOPES))
        return sum(  # type: ignore[return-value]
            factor * (part.square() * mask).sum((2, 3)).mean(1) / mask.sum().clamp(min=1)
            for part, mask, factor in parts
        )

    # Over all subjects together: each over its own squares, deep wrinkles would count no more than shallow ones.
    return squares_S(displacement_B1HW - truth_B1HW).mean() / (squares_S(truth_B1HW).mean() + _SMOOTH)


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
