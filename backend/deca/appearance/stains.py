"""Stains: where so little light fell on the skin that taking the light out left a colour of its own.

In the deepest shade a photo knows neither brightness nor hue, and at the face's rim it is the shade of a collar or the
background's. Made as bright as the rest, that is a red blot at the jaw or a violet line along the cheek. Moles, flushed
cheeks and birthmarks are seen in the light, and stay.

Shape suffixes: H W rows and columns of the UV map, S of a small one.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance import skin
from deca.appearance.blend import smoothstep, weighted_mean
from deca.appearance.trust import disc

_SIZE = 256
"""Rows of the map that stains are looked for on: they are broad."""
_NEAR, _AROUND = 1.5, 15.0
"""Sigmas, texels (of 256, about millimetres), of a stain and of the surroundings that it differs from."""
_OFF = 5.0, 9.0
"""Difference of the two (CIE76) between which a colour comes in doubt; as all numbers here by eye on portraits."""
_DARK = 0.35, 0.6
"""The photo's brightness as a share of the face's, between which its colour comes in doubt."""
_REST = 3
"""Texels around a stain that are doubted with it."""
_FEATURES = 13
"""Texels around lips, lids and brows, which have colours of their own and do not lie where the head has them."""


def stained(
    albedo_HW3: NDArray[np.float32],
    photo_HW3: NDArray[np.float32],
    known_HW: NDArray[np.float32],
    bare_HW: NDArray[np.bool_],
    features_HW: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """How surely an albedo is stained, (H, W) in 0..1.

    Args:
        albedo_HW3: sRGB, the photo's light taken out.
        photo_HW3: The photo.
        known_HW: How far it is believed, 0..1.
        bare_HW: Where it shows bare skin; hair is dark, and no stain.
        features_HW: Lips, lids and brows of the head.
    """
    size = (_SIZE, _SIZE)

    def small(map_HWC: NDArray) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(map_HWC.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)

    weight_SS, is_bare_SS = small(known_HW), small(bare_HW) > 0.5
    certain_SS = is_bare_SS & (weight_SS > 0.99)
    if not certain_SS.any():
        return np.zeros(known_HW.shape, np.float32)
    share_SS1 = np.maximum(weight_SS, 1e-3)[..., None]
    lab_SS3 = skin.to_lab((small(albedo_HW3.clip(0, 1) * known_HW[..., None]) / share_SS1).clip(0, 1))
    light_SS = (small(photo_HW3 * known_HW[..., None]) / share_SS1).mean(-1)
    off_SS = np.linalg.norm(
        weighted_mean(lab_SS3, weight_SS, _NEAR) - weighted_mean(lab_SS3, weight_SS, _AROUND), axis=-1
    )
    brightness_SS = weighted_mean(light_SS[..., None], weight_SS, _NEAR)[..., 0] / np.median(light_SS[certain_SS])
    doubt_SS = smoothstep(off_SS, *_OFF) * (1 - smoothstep(brightness_SS, *_DARK))
    spared_SS = cv2.dilate((small(features_HW) > 0).astype(np.uint8), disc(_FEATURES)) > 0
    doubt_SS = cv2.dilate(doubt_SS * (is_bare_SS & ~spared_SS), disc(_REST))
    return np.asarray(cv2.resize(doubt_SS, known_HW.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
