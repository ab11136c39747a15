"""Seam-free blending: smooth fields that carry one picture's tone over to another.

Shape suffixes: H W rows and columns, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_FIELD_SIZE = 256
"""Tone fields are smooth: this many rows are enough whatever the size of the texture."""


def smoothstep(value: NDArray, low: float, high: float) -> NDArray[np.float32]:
    """0 below `low`, 1 above `high`, 3t^2 - 2t^3 in between."""
    t = np.clip((value - low) / (high - low), 0, 1).astype(np.float32, copy=False)
    return t * t * (3 - 2 * t)


def shrink_mask(mask_HW: NDArray[np.bool_], width: float) -> NDArray[np.float32]:
    """1 inside the mask, falling to 0 at its border over `width` pixels; the picture's edge is no border."""
    distance = cv2.distanceTransform(mask_HW.astype(np.uint8), cv2.DIST_L2, 5)
    return smoothstep(distance, 0.5, width + 0.5)


def push_pull(values_HWC: NDArray[np.float32], weight_HW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extends values known where weight > 0 smoothly over the whole picture.

    Push-pull (Gortler et al. 1996, "The Lumigraph", Section 3.4): average known values into ever coarser levels, then
    come back up and take the coarser level wherever a level knows too little. Where the weight reaches 1 the values
    return unchanged.
    """
    levels = [(values_HWC * weight_HW[..., None], weight_HW)]
    while min(levels[-1][1].shape) > 1:
        value, weight = levels[-1]
        value, weight = cv2.pyrDown(value), cv2.pyrDown(weight)
        gain = np.minimum(4 * weight, 1) / np.maximum(weight, 1e-12)
        levels.append((value.reshape(*weight.shape, -1) * gain[..., None], weight * gain))
    value, weight = levels.pop()
    result = value / np.maximum(weight, 1e-12)[..., None]
    for value, weight in reversed(levels):
        rows, columns = weight.shape
        coarse = cv2.pyrUp(result, dstsize=(columns, rows)).reshape(rows, columns, -1)
        result = value + (1 - weight[..., None]) * coarse
    return result


def tone_field(difference_HWC: NDArray[np.float32], weight_HW: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """A smooth field that follows a difference of two pictures where both are known and extends it elsewhere.

    Adding it to the second picture removes the seam between the two: what a membrane (gradient-domain) blend does, at
    the price of a pyramid.

    Args:
        difference_HWC: First minus second picture.
        weight_HW: Confidence in the difference, 0 to 1.
        blur: Standard deviation, as a fraction of the picture, below which differences are detail and not tone.
    """
    size = weight_HW.shape[0]
    small = min(_FIELD_SIZE, size)
    weighted = cv2.resize(difference_HWC * weight_HW[..., None], (small, small), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(weight_HW, (small, small), interpolation=cv2.INTER_AREA)
    sigma = max(blur * small, 0.5)
    # Normalised convolution: only known differences take part in the mean.
    soft = (
        cv2.GaussianBlur(weighted, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-4)[..., None]
    )
    field = push_pull(soft, np.minimum(weight, 1))
    return cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR)
