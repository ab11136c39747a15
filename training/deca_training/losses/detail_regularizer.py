"""Regularisers of the displacement map (DECA, Section 4.2: Detail regularization)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision


def displacement_magnitude(displacement_B1HW: Tensor) -> Tensor:
    """|D| as a mean over all texels, in the unit of D, metres."""
    (displacement_B1HW,) = in_full_precision(displacement_B1HW)
    return displacement_B1HW.abs().mean()


def shading_smoothness(shading_B3PP: Tensor) -> Tensor:
    """Squared differences of neighbouring texels' shading: mean over rows plus mean over columns (release only)."""
    (shading_B3PP,) = in_full_precision(shading_B3PP)
    return shading_B3PP.diff(dim=-1).square().mean() + shading_B3PP.diff(dim=-2).square().mean()
