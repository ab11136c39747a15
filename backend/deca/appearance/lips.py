"""Lips: their own colour where the photo does not show them, and without their shine.

What a smile draws over the teeth, or rolls inwards, no photo shows; painted as skin, it is a pale rim as soon as the
mouth closes.

Shape suffixes: H W rows and columns of the texture, N lips' texels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.blend import smoothstep
from deca.appearance.skin import median_lab, to_lab, to_srgb
from deca.appearance.trust import disc

_REDDER = np.array((-6.0, 9.0, 0.0), np.float32)
"""Lab of lips less that of the skin around them: the bundled albedo model's mean."""
_CERTAIN = 0.9
"""Share of lips, and confidence in the photo, from which on a texel says what colour lips have."""
_SHINE = 3.0, 12.0
"""L above the lips' own from which on it is shine, and from which on nothing of the lip is seen below; by eye."""
_RIM = 0.004
"""How far around shine, or the dark between the lips, pixels mix with it, as a share of the texture."""
_INSIDE = 18.0
"""L below the lips' own from which on, beside an open mouth, it is the mouth's inside; by eye."""


def lips_lab(
    colours_HW3: NDArray[np.float32], weight_HW: NDArray[np.float32], lips_HW: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Median Lab of the lips that a photo shows; None where it shows too little of them.

    Args:
        colours_HW3: sRGB.
        weight_HW: Confidence in them.
        lips_HW: Share of lips (`Regions.lips`).
    """
    return median_lab(colours_HW3[(lips_HW > _CERTAIN) & (weight_HW > _CERTAIN)])


def inside_of_mouth(
    photo_HW3: NDArray[np.float32],
    believed_HW: NDArray[np.bool_],
    opening_HW: NDArray[np.bool_],
    lips_HW: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Lips' texels (H, W) where the photo shows the dark between parted lips; landmarks round its corners off.

    Args:
        photo_HW3: The photo, sRGB.
        believed_HW: Where it is taken for skin.
        opening_HW: Where it is known to show the open mouth.
        lips_HW: Share of lips.
    """
    is_lip_HW = lips_HW > 0.5
    own_3 = median_lab(photo_HW3[is_lip_HW & believed_HW])
    if own_3 is None or not (is_lip_HW & opening_HW).any():
        return np.zeros_like(believed_HW)
    dark_HW = np.zeros(believed_HW.shape, np.uint8)
    dark_HW[is_lip_HW] = to_lab(photo_HW3[is_lip_HW])[:, 0] < own_3[0] - _INSIDE
    grown_HW = cv2.dilate(dark_HW, disc(_RIM * len(lips_HW))) > 0
    return grown_HW & is_lip_HW


def with_lips(
    base_HW3: NDArray[np.float32],
    tone_3: NDArray[np.float32],
    lips_HW: NDArray[np.float32],
    lips_3: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Painted skin with lips in it.

    Args:
        base_HW3: Skin, sRGB.
        tone_3: Its tone, sRGB.
        lips_HW: Share of lips.
        lips_3: Lab of the lips; where it is not known they are as much redder than the skin as people's are.
    """
    where_HW = lips_HW > 0
    if not where_HW.any():  # a head model that does not say where its lips are
        return base_HW3
    apart_3 = _REDDER if lips_3 is None else lips_3 - to_lab(np.asarray(tone_3, np.float32))
    painted_HW3 = base_HW3.copy()
    painted_HW3[where_HW] = to_srgb(to_lab(base_HW3[where_HW]) + lips_HW[where_HW][:, None] * apart_3)
    return painted_HW3


def without_shine(
    albedo_HW3: NDArray[np.float32], weight_HW: NDArray[np.float32], lips_HW: NDArray[np.float32]
) -> NDArray[np.float32]:
    """An albedo (sRGB) whose lips have no highlights, which a renderer gives them in its own light."""
    own_3 = lips_lab(albedo_HW3, weight_HW, lips_HW)
    if own_3 is None:
        return albedo_HW3
    where_HW = lips_HW > 0
    lab_N3 = to_lab(albedo_HW3[where_HW])
    share_HW = np.zeros_like(lips_HW)
    share_HW[where_HW] = smoothstep(lab_N3[:, 0] - own_3[0], *_SHINE)
    # Its rim is as grey, but no lighter than the lip.
    share_HW = cv2.blur(cv2.dilate(share_HW, disc(_RIM * len(lips_HW))), (3, 3)) * lips_HW
    matt_HW3 = albedo_HW3.copy()
    own_N3 = np.empty_like(lab_N3)
    own_N3[:] = own_3
    own_N3[:, 0] = np.minimum(lab_N3[:, 0], own_3[0] + _SHINE[0])
    matt_HW3[where_HW] = to_srgb(lab_N3 + share_HW[where_HW][:, None] * (own_N3 - lab_N3))
    return matt_HW3
