"""Photometric loss of the wrinkled rendering (DECA, Section 4.2)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.photometric import photometric_loss


def detail_photometric_loss(texture_B3PP: Tensor, rendering_B3PP: Tensor, mask_B1PP: Tensor) -> Tensor:
    """Difference in colour between what the photo shows of the skin and the wrinkled skin, |V (I - I'_r)|.

    The release compares patches of UV maps that show the face, which are passed here; the paper pictures.

    Args:
        texture_B3PP: The photo on the UV map, 0..1.
        rendering_B3PP: Wrinkled skin under light, likewise.
        mask_B1PP: 1 where the photo shows skin.

    Returns:
        The mean over all texels and colours.
    """
    return photometric_loss(texture_B3PP, rendering_B3PP, mask_B1PP)
