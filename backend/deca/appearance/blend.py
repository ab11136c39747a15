"""Seam-free blending: smooth fields that carry one picture's tone over to another.

Shape suffixes: H W rows and columns, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FEATHER = 0.012
"""Width of the photo layer's soft border, as a fraction of the texture."""
_MAX_LIGHTER, _MAX_TINT = 0.15, 0.03
"""How far paint follows the photo's rim in lightness and in hue, sRGB."""
_RIM, _FADE = 0.03, 0.10
"""Distances from the photo, as fractions of the texture, over which paint keeps the tone of the photo's rim, and then
that of its wider surroundings, before it is back at its own."""
_FIELD_SIZE = 256
"""Tone fields are smooth: this many rows are enough whatever the size of the texture."""


def smoothstep(value: NDArray | float, low: float, high: float) -> NDArray[np.float32]:
    """0 below `low`, 1 above `high`, 3t^2 - 2t^3 in between."""
    t = np.asarray(np.clip((value - low) / (high - low), 0, 1), np.float32)
    return t * t * (3 - 2 * t)


def shrink_mask(mask_HW: NDArray[np.bool_], width: float) -> NDArray[np.float32]:
    """1 inside the mask, falling to 0 at its border over `width` pixels; the picture's edge is no border."""
    distance = cv2.distanceTransform(mask_HW.astype(np.uint8), cv2.DIST_L2, 5)
    return smoothstep(distance, 0.5, width + 0.5)


def weighted_mean(map_HWC: NDArray[np.float32], weight_HW: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """The Gaussian mean of the surroundings, of `sigma` pixels, which what has no weight does not enter."""
    total_HWC = cv2.GaussianBlur(map_HWC * weight_HW[..., None], (0, 0), sigma).reshape(map_HWC.shape)
    return total_HWC / np.maximum(cv2.GaussianBlur(weight_HW, (0, 0), sigma), 1e-3)[..., None]


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
    field = push_pull(np.asarray(soft, np.float32), np.minimum(weight, 1))
    return np.asarray(cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def over_base(
    photo_HW3: NDArray[np.float32], weight_HW: NDArray[np.float32], base_HW3: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The photo layer over painted skin that takes on the photo's tone at their border and loses it further out."""
    size = len(weight_HW)
    difference_HW3 = photo_HW3 - base_HW3
    lighter_HW1 = difference_HW3.mean(-1, keepdims=True)
    # Light may differ much, hue only little: beyond that it is a neighbour's colour that bled into the rim.
    tint_HW3 = np.clip(difference_HW3 - lighter_HW1, -_MAX_TINT, _MAX_TINT)
    tone_HW3 = np.clip(lighter_HW1, -_MAX_LIGHTER, _MAX_LIGHTER) + tint_HW3
    rim_HW3 = tone_field(tone_HW3, weight_HW, blur=0.012)
    around_HW3 = tone_field(tone_HW3, weight_HW, blur=0.06)
    distance_HW1 = cv2.distanceTransform((weight_HW < 0.5).astype(np.uint8), cv2.DIST_L2, 5)[..., None] / size
    near_HW1, far_HW1 = (np.exp(-((np.minimum(distance_HW1, 1) / width) ** 2)) for width in (_RIM, _FADE))
    toned_HW3 = base_HW3 + far_HW1 * (around_HW3 + near_HW1 * (rim_HW3 - around_HW3))
    return toned_HW3 + weight_HW[..., None] * (photo_HW3 - toned_HW3)
