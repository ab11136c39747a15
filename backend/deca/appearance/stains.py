"""Stains: where so little light fell on the skin that taking the light out left a colour of its own.

The nose hides what is below it and throws a shadow there, and nostrils do not lie where the fitted head has them: dark
blots on the upper lip. In the deepest shade a photo knows neither brightness nor hue, and at the face's rim it is the
shade of a collar or the background's. Made as bright as the rest, that is a red blot at the jaw or a violet line along
the cheek. Moles, flushed cheeks and birthmarks are seen in the light, and stay.

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
_FAR_OFF = 12.0, 18.0
"""The same beside lips, lids and brows, where lids are dark and lips' rims red."""
_DARK = 0.35, 0.6
"""The photo's brightness as a share of the face's, between which its colour comes in doubt."""
_REST = 3
"""Texels around a stain that are doubted with it."""
_SHADED = 7.0, 12.0
"""How much darker (L*) than its surroundings the skin below the nose may be, and from when on it is a blot. On 24
portraits what looks right there is up to 7 darker (99th percentile), and blots are 9 to 27."""
_FEATURES = 13
"""Texels around lips, lids and brows, which have colours of their own and do not lie where the head has them."""


def stained(
    albedo_HW3: NDArray[np.float32],
    photo_HW3: NDArray[np.float32],
    known_HW: NDArray[np.float32],
    bare_HW: NDArray[np.bool_],
    features_HW: NDArray[np.bool_],
    nostrils_HW: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """How surely an albedo is stained, (H, W) in 0..1.

    Args:
        albedo_HW3: sRGB, the photo's light taken out.
        photo_HW3: The photo.
        known_HW: How far it is believed, 0..1.
        bare_HW: Where it shows bare skin; hair is dark, and no stain.
        features_HW: Lips, lids and brows of the head.
        nostrils_HW: What is below and around its nostrils.
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
    near_SS3 = weighted_mean(lab_SS3, weight_SS, _NEAR)
    off_SS = np.linalg.norm(near_SS3 - weighted_mean(lab_SS3, weight_SS, _AROUND), axis=-1)
    brightness_SS = weighted_mean(light_SS[..., None], weight_SS, _NEAR)[..., 0] / np.median(light_SS[certain_SS])
    dark_SS = 1 - smoothstep(brightness_SS, *_DARK)
    features_SS = (small(features_HW) > 0).astype(np.uint8)
    far_SS, beside_SS = (cv2.dilate(features_SS, disc(width)) == 0 for width in (_FEATURES, _REST))
    odd_SS = np.maximum(smoothstep(off_SS, *_OFF) * far_SS, smoothstep(off_SS, *_FAR_OFF) * beside_SS)
    darker_SS = weighted_mean(lab_SS3, weight_SS * beside_SS, _AROUND)[..., 0] - near_SS3[..., 0]
    blots_SS = smoothstep(darker_SS, *_SHADED) * ((small(nostrils_HW) > 0.5) & beside_SS)
    doubt_SS = cv2.dilate(np.maximum(odd_SS * dark_SS, blots_SS) * is_bare_SS, disc(_REST))
    return np.asarray(cv2.resize(doubt_SS, known_HW.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
