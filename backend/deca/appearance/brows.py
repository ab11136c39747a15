"""Brows of painted skin: behind glasses, a fringe or a hat the photo shows none, and a face without is a mask.

Shape suffixes: H W rows and columns of the UV map.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_DARKER_3 = np.array((0.60, 0.57, 0.55), np.float32)
"""sRGB of brows as a share of the skin's: between the albedo model's mean (0.71) and seen brows of portraits (0.4 and
less), since whose they are is not known."""
_SOFT = 0.003
"""Sigma, as a share of the map, of the brows' borders."""
_HAIRS = 0.25
"""Share of the darkness that varies from hair to hair."""


def with_brows(base_HW3: NDArray[np.float32], brows_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Painted skin with brows in it.

    Args:
        base_HW3: Skin, sRGB.
        brows_HW: Share of brows.
    """
    if not brows_HW.any():  # a head model that does not say where they are
        return base_HW3
    size = len(brows_HW)
    hairs_HW = np.random.default_rng(5).uniform(1 - _HAIRS, 1 + _HAIRS, brows_HW.shape).astype(np.float32)
    share_HW = cv2.GaussianBlur(brows_HW * hairs_HW, (0, 0), _SOFT * size)
    return base_HW3 * (1 - share_HW.clip(0, 1)[..., None] * (1 - _DARKER_3))
