"""Photometric loss (DECA, Section 4.1)."""

from __future__ import annotations

from torch import Tensor

from deca_training.losses.reduction import in_full_precision


def photometric_loss(image_B3HW: Tensor, rendering_B3HW: Tensor, mask_B1HW: Tensor) -> Tensor:
    """Difference in colour where skin is seen, |V (I - I_r)|, as a mean over all pixels and colours.

    It is small when little skin is seen: the mean is not over the mask (release; the paper has a sum).

    Args:
        image_B3HW: Photos, 0..1.
        rendering_B3HW: Renderings.
        mask_B1HW: 1 where skin is seen.
    """
    image_B3HW, rendering_B3HW, mask_B1HW = in_full_precision(image_B3HW, rendering_B3HW, mask_B1HW)
    return (mask_B1HW * (image_B3HW - rendering_B3HW).abs()).mean()
