"""How much a photo tells of a person's face, beside other photos of the same person.

The numbers are set by hand; no measurement tells them from equal weights yet.

Shape suffixes: L landmarks.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.reconstruct.noise import OUTER_EYES

_SIZE = 60.0
"""Pixels between the outer eye corners at which a face tells half of what a large one does."""
_YAW = 40.0
"""Degrees of yaw, as a standard deviation, over which a photo tells less."""
_CHIP = 128
"""Pixels across the face on which its sharpness is measured, so that it does not depend on the photo's size."""
_SHARP = 4.0
"""Standard deviation of the Laplacian of such a chip, grey levels, at which a face tells half of what a sharp one
does."""
_LEAST = 1e-3
"""Weight that every face has: means need some."""


def quality(photo_HW3: NDArray[np.uint8], landmarks_L3: NDArray[np.floating]) -> float:
    """A weight in 0..1: small, turned away and blurred faces tell less.

    Args:
        photo_HW3: The upright photo, sRGB.
        landmarks_L3: The face's 478 landmarks, photo pixels, depth in the same scale.
    """
    across_3 = landmarks_L3[OUTER_EYES[1]] - landmarks_L3[OUTER_EYES[0]]
    yaw = float(np.degrees(np.arctan2(across_3[2], across_3[0])))
    size, sharp = float(np.linalg.norm(across_3)), sharpness(photo_HW3, landmarks_L3)
    weight = size**2 / (size**2 + _SIZE**2) * float(np.exp(-0.5 * (yaw / _YAW) ** 2)) * sharp / (sharp + _SHARP)
    return max(weight, _LEAST)


def sharpness(photo_HW3: NDArray[np.uint8], landmarks_L3: NDArray[np.floating]) -> float:
    """Standard deviation of the Laplacian of the face, grey levels."""
    low, high = landmarks_L3[:468, :2].min(0), landmarks_L3[:468, :2].max(0)
    height, width = photo_HW3.shape[:2]
    left, top = np.clip(np.floor(low), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(high), (left + 1, top + 1), (width, height)).astype(int)
    chip = cv2.resize(photo_HW3[top:bottom, left:right], (_CHIP, _CHIP), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(np.ascontiguousarray(chip), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std())
