"""Where skin shines: forehead, nose and chin are oilier than the cheeks, lips and the rims of the eyes are wet.

Shape suffixes: V vertices, L landmarks.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deca.head.model import HeadModel, Part

_OILY = {4: 0.012, 5: 0.011, 6: 0.010, 48: 0.008, 278: 0.008, 9: 0.014, 151: 0.020, 69: 0.018, 299: 0.018, 199: 0.010}
"""MediaPipe landmarks of nose, forehead and chin, and how far around them the skin is oily, metres. By eye."""
_OIL, _WET = 0.55, 1.0
_WET_MASKS = ("lips", "mouth")


def skin_gloss(head: HeadModel) -> NDArray[np.float32]:
    """How much oilier or wetter than on the cheeks the skin of a head model is at each vertex, (V,) in [0, 1].

    Zeros where the model has neither landmarks nor masks.
    """
    gloss_V = np.zeros(head.num_verts, np.float32)
    landmarks = head.landmarks_478
    if landmarks is not None and bool(landmarks.placed[list(_OILY)].all()):
        points_L3 = landmarks.positions(head.template_V3, head.faces_F3)[list(_OILY)]
        distance_VL = np.linalg.norm(head.template_V3[:, None] - points_L3, axis=2)
        oil_VL = np.exp(-((distance_VL / np.array(list(_OILY.values()))) ** 2))
        gloss_V = _OIL * (1 - np.prod(1 - oil_VL, axis=1))
    for name in _WET_MASKS:
        if name in head.masks:
            gloss_V = np.maximum(gloss_V, _WET * _at_vertices(head.masks[name], head))
    return (gloss_V * (head.parts_V == Part.SKIN)).astype(np.float32)


def _at_vertices(mask_HW: NDArray[np.uint8], head: HeadModel) -> NDArray[np.float32]:
    """A UV mask at the vertices, 0 to 1; at vertices on seams, at one of their texture coordinates."""
    size = len(mask_HW)
    uv_V2 = np.zeros((head.num_verts, 2), np.float32)
    uv_V2[head.faces_F3] = head.uv_T2[head.uv_faces_F3]
    column_V, row_V = (uv_V2 * (1, -1) + (0, 1)).T.astype(np.float32) * size - 0.5
    return cv2.remap(mask_HW, column_V[None], row_V[None], cv2.INTER_LINEAR)[0].astype(np.float32) / 255
