"""Soft symmetry loss (DECA, Eq. 14)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision


def soft_symmetry_loss(displacement_B1PP: Tensor, mask_B1PP: Tensor) -> Tensor:
    """|V_uv (D - flip(D))|, as a mean over all texels: skin that is not seen is to have the other side's wrinkles.

    The other side learns nothing from it (release): what the photo shows must not follow what it hides. The paper's
    V_uv is the whole face; the release's, and the use here, the part of it that the photo does not show.

    Args:
        displacement_B1PP: Displacement on the UV map, or a patch that is symmetric to the map's middle column, metres.
        mask_B1PP: 1 where the loss applies.
    """
    displacement_B1PP, mask_B1PP = in_full_precision(displacement_B1PP, mask_B1PP)
    return (mask_B1PP * (displacement_B1PP - displacement_B1PP.flip(-1).detach()).abs()).mean()
