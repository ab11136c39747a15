"""Whether a photo shows teeth all over the open mouth: then they meet, and lips alone have opened it.

Landmarks cannot tell a grin from an opened jaw: both part the lips, and a long chin looks like a lowered one. Between
the lips an open jaw shows the dark of the mouth or the tongue, and a smile teeth down to the lower lip.

Shape suffixes: L landmarks, R rows from the upper to the lower lip, N columns across the mouth.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.appearance.skin import to_lab
from deca.reconstruct.edges import LIP_CORNERS, LOWER_INNER, OUTLINES, UPPER_INNER

_MIDDLE = slice(2, 7)
"""Landmarks of the inner lips between which the mouth is looked at: its corners are dark."""
_ROWS, _BESIDE = 16, 4
_RIM = 0.08
"""Share of the gap above and below that may still be lip."""
_NARROW, _FEW = 0.06, 2.5
"""Gap of the lips, as a share of the mouth's width, and in pixels, below which nothing is told."""
_WIDEST = 0.25
"""Gap that lips have without the jaw, at most: smiles up to 0.18, laughing and speaking people 0.3 and more."""
_LIGHT = 0.85, 1.1
"""Lightness of teeth, in that of the lips, from which on a pixel may be one, and from which on it is; as all numbers
here by eye on 65 portraits of smiling and speaking people and 60 small photos of others."""
_PALE = 0.22, 0.44
"""By which share less red (a of Lab) than lips teeth are, likewise."""
_RED = 4.0
"""Red (a of Lab) of lips from which on their colour says anything: grey photos have none."""
_HALVES, _MIDDLES = 0.42, 0.4
"""Shares of teeth in the halves of the mouth, from top to bottom, and in the two quarters in its middle, from which on
they meet: smiles have 0.45 and more in both halves, where on small photos the lips mix in, open jaws up to 0.3 in one
of them, or a dark band between the teeth."""


def teeth_meet(photo_HW3: NDArray[np.uint8], landmarks_L2: NDArray[np.floating]) -> bool:
    """Whether upper and lower teeth meet behind parted lips; False where that cannot be seen.

    Args:
        photo_HW3: The upright photo, sRGB.
        landmarks_L2: 478 MediaPipe landmarks, photo pixels.
    """
    upper_N2, lower_N2 = landmarks_L2[UPPER_INNER][_MIDDLE], landmarks_L2[LOWER_INNER][_MIDDLE]
    gap = float(np.linalg.norm(upper_N2 - lower_N2, axis=1).mean())
    width = float(np.linalg.norm(landmarks_L2[LIP_CORNERS[0]] - landmarks_L2[LIP_CORNERS[1]]))
    if not max(_NARROW * width, _FEW) <= gap <= _WIDEST * width:
        return False
    upper_N2, lower_N2 = (_with_between(side_N2) for side_N2 in (upper_N2, lower_N2))
    down_R11 = np.linspace(_RIM, 1 - _RIM, _ROWS)[:, None, None]
    mouth_RN3 = _lab(photo_HW3, upper_N2 + down_R11 * (lower_N2 - upper_N2))
    inner = np.concatenate((UPPER_INNER, LOWER_INNER))
    lips_3 = np.median(_lab(photo_HW3, (landmarks_L2[OUTLINES] + landmarks_L2[inner])[None] / 2)[0], axis=0)
    if lips_3[1] < _RED:
        return False
    low, high = _LIGHT
    light_RN = ((mouth_RN3[..., 0] / max(lips_3[0], 1.0) - low) / (high - low)).clip(0, 1)
    low, high = _PALE
    pale_RN = ((1 - mouth_RN3[..., 1] / lips_3[1] - low) / (high - low)).clip(0, 1)
    teeth_R = (light_RN * pale_RN).mean(1)
    halves_2, quarters_4 = (teeth_R.reshape(parts, -1).mean(1) for parts in (2, 4))
    return bool(halves_2.min() > _HALVES and quarters_4[1:3].min() > _MIDDLES)


def _with_between(points_N2: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points, and others evenly between them."""
    shares_S1 = np.arange(_BESIDE)[:, None] / _BESIDE
    return np.concatenate([one_2 + shares_S1 * (next_2 - one_2) for one_2, next_2 in pairwise(points_N2)])


def _lab(photo_HW3: NDArray[np.uint8], points_RN2: NDArray[np.floating]) -> NDArray[np.float32]:
    column_RN, row_RN = np.moveaxis(np.asarray(points_RN2, np.float32), 2, 0)
    found_RN3 = cv2.remap(photo_HW3, column_RN.copy(), row_RN.copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return to_lab(found_RN3.astype(np.float32) / 255)
