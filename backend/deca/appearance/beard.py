"""Beards by their look: rough, and darker than skin in that light. The skin map takes many of them for skin.

Taken for shade, a moustache would be lit up until it is nearly gone, and its hairs would be taken out as lines.

Shape suffixes: H W rows and columns of the UV map, K those of a larger one.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep
from deca.appearance.grain import fine_contrast

_DARK = 0.4, 0.75
"""Steps of the logarithm below the skin between which rough texels become hair; folds and shadows below the nose are
up to 0.5 below. As all numbers here by eye on portraits. Greyer than skin are beards, too, but so are highlights."""
HAIRS = 1.5
"""Sigma, texels of 256, over which hairs are looked at together."""
_ROUGH = 1.3, 1.8
"""Fine contrast as a share of the skin's usual one between which it is hair, and no shadow."""


def bearded(
    brightness_HW: NDArray,
    picture_KK3: NDArray[np.float32],
    shown_KK: NDArray[np.bool_],
    skin_HW: NDArray[np.bool_],
    where_HW: NDArray,
) -> NDArray[np.float32]:
    """How surely texels show a beard, (H, W) in 0..1.

    Args:
        brightness_HW: Logarithm of the colours' mean, light taken out; hairs blurred (`HAIRS`).
        picture_KK3: The colours themselves, sRGB in 0..1, in which hairs are seen.
        shown_KK: Where they mean something.
        skin_HW: Where skin is, or what is taken for it.
        where_HW: Where a beard may be (`Regions.beard`).
    """
    if not skin_HW.any():
        return np.zeros(skin_HW.shape, np.float32)
    darker_HW = np.median(brightness_HW[skin_HW]) - brightness_HW
    contrast_HW = cv2.resize(fine_contrast(picture_KK3, shown_KK), skin_HW.shape[::-1], interpolation=cv2.INTER_AREA)
    rougher_HW = contrast_HW / max(float(np.median(contrast_HW[skin_HW])), 1e-6)
    return np.asarray(where_HW * smoothstep(darker_HW, *_DARK) * smoothstep(rougher_HW, *_ROUGH), np.float32)
