"""Grain of skin that light from the side makes: an albedo has none.

Where light or view graze the skin, pores throw shadows and stubble shines; light taken out of dark skin makes both
stronger. There the albedo's fine contrast is brought down to what the face has where the photo shows it well, so that
freckled skin stays freckled.

Shape suffixes: H W rows and columns of the UV map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep, weighted_mean

_FINE, _NEAR = 0.010, 0.016
"""Sigmas, as shares of the map, of the surroundings that grain differs from, and of what is looked at together; 2.5 and
4 mm."""
_STRAIGHT = 0.5, 0.85
"""Cosines between skin and view up to which grain is doubted, and from which on it is believed; as all numbers here by
eye on portraits."""
_BRIGHTENED = 0.1, 0.4
"""Logarithm of what taking the light out did to skin, beside the face's median, between which grain comes in doubt."""
_SHARE = 0.8
"""Of the face's usual contrast that doubted grain may have: it ends where skin is painted."""
_LEAST = 0.004
"""Fine contrast, of the logarithm, that every skin may have."""
_BLACK = 0.03
"""Added to display values before their logarithm."""


def with_even_grain(
    albedo_HW3: NDArray[np.float32],
    photo_HW3: NDArray[np.float32],
    bare_HW: NDArray[np.bool_],
    facing_HW: NDArray[np.float32],
) -> NDArray[np.float32]:
    """An albedo whose grain is nowhere stronger than light from the front shows it.

    Args:
        albedo_HW3: sRGB, the photo's light taken out.
        photo_HW3: The photo.
        bare_HW: Where it shows bare skin; nothing else changes.
        facing_HW: Cosine between skin and view.
    """
    brighter_HW = np.log(albedo_HW3.mean(-1).clip(1e-3) / photo_HW3.mean(-1).clip(1e-3))
    brighter_HW -= np.median(brighter_HW[bare_HW]) if bare_HW.any() else 0.0
    doubt_HW = np.maximum(1 - smoothstep(facing_HW, *_STRAIGHT), smoothstep(brighter_HW, *_BRIGHTENED)) * bare_HW
    grain_HW3, contrast_HW = _grain(albedo_HW3, bare_HW)
    well_HW = bare_HW & (doubt_HW == 0)
    usual = max(float(np.median(contrast_HW[well_HW])) if well_HW.any() else 0.0, _LEAST)
    less_HW = doubt_HW * (1 - np.minimum(_SHARE * usual / np.maximum(contrast_HW, 1e-6), 1))
    calmed_HW3 = (albedo_HW3.clip(0, 1) + _BLACK) * np.exp(-less_HW[..., None] * grain_HW3) - _BLACK
    return np.where(less_HW[..., None] > 0, calmed_HW3, albedo_HW3).astype(np.float32)


def grain_left(
    albedo_HW3: NDArray[np.float32], photographed_HW3: NDArray[np.float32], skin_HW: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Share (H, W) of a photo's fine contrast that an albedo has kept, at most 1."""
    contrasts = (fine_contrast(image_HW3, skin_HW) for image_HW3 in (albedo_HW3, photographed_HW3))
    kept_HW, shown_HW = (contrast_HW + _LEAST for contrast_HW in contrasts)
    return np.minimum(kept_HW / shown_HW, 1)


def fine_contrast(image_HW3: NDArray[np.float32], where_HW: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Local root mean square (H, W) of what of a picture's logarithm varies finely, for sRGB in 0..1."""
    return _grain(image_HW3, where_HW)[1]


def _grain(
    image_HW3: NDArray[np.float32], where_HW: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What of a picture's logarithm varies finely, (H, W, 3), and its local root mean square (H, W)."""
    weight_HW = where_HW.astype(np.float32)
    colour_HW3 = np.log(image_HW3.clip(0, 1) + _BLACK).astype(np.float32)
    fine, near = (share * len(weight_HW) for share in (_FINE, _NEAR))
    grain_HW3 = (colour_HW3 - weighted_mean(colour_HW3, weight_HW, fine)) * weight_HW[..., None]
    return grain_HW3, np.sqrt(weighted_mean(np.square(grain_HW3).mean(-1, keepdims=True), weight_HW, near)[..., 0])
