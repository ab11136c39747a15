"""Where a crop shows skin of the face (V_I of DECA, Section 4.1), from landmarks.

The face is the shape that MediaPipe's mesh has on the picture, without eyes and mouth opening. Hair, glasses and hands
in front of it are not seen by landmarks: give `deca-train prepare` masks of a segmentation network for those.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from deca.head.model import load_head
from deca.reconstruct.noise import FACE_OVAL
from deca.vision.landmarks import EYE_RINGS
from deca_blender.protocol.conventions import CROP_SIZE
from deca_training.data.landmarks import MIRROR_478

_BITS = 4  # of OpenCV's fixed-point coordinates behind the point

# MediaPipe points that span the face's relief: forehead, brows, bridge and tip of the nose, cheeks, lips, chin. Right
# half and middle; together with the outline they give the mesh's shape on the picture, with few triangles.
_RELIEF = (151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 164, 0, 17, 18, 200, 199, 175)
_RELIEF_RIGHT = (70, 63, 105, 66, 107, 104, 67, 69, 108, 33, 133, 159, 145, 111, 118, 121, 123, 50, 205, 147, 187)
_RELIEF_RIGHT += (129, 64, 98, 48, 49, 61, 40, 181, 214, 192, 210, 202, 169, 204, 116, 143, 156, 139)

_INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
# EYE_RINGS name the lower lid, then the upper one, both from the same corner.
_EYES = tuple(ring[:9] + ring[:8:-1] for ring in EYE_RINGS)


def mask_from_landmarks(
    points_L2: NDArray[np.floating], photo_corners_42: NDArray[np.floating] | None = None
) -> NDArray[np.uint8]:
    """The mask of a crop.

    Args:
        points_L2: (478, 2 or more) MediaPipe's landmarks in crop pixels, pixel centres at +0.5.
        photo_corners_42: Corners of the photo in crop pixels, in turn; outside nothing is seen.

    Returns:
        (224, 224) 255 on skin, else 0.
    """
    # OpenCV counts pixel centres at whole numbers. Coordinates far outside would overflow its fixed-point numbers.
    fixed_L2 = _fixed(points_L2[:, :2])
    mask_HW = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for corners_32 in fixed_L2[_triangles()]:
        cv2.fillConvexPoly(mask_HW, corners_32, (255,), shift=_BITS)
    openings = [fixed_L2[list(ring)] for ring in (*_EYES, _INNER_LIPS)]
    for opening in openings:
        cv2.fillPoly(mask_HW, [opening], (0,), shift=_BITS)
    if photo_corners_42 is not None:
        low, high = photo_corners_42.min(0), photo_corners_42.max(0)
        if (low > 0).any() or (high < CROP_SIZE).any() or _turned(photo_corners_42):
            photo_HW = np.zeros_like(mask_HW)
            cv2.fillConvexPoly(photo_HW, _fixed(photo_corners_42), (255,), shift=_BITS)
            mask_HW &= photo_HW
    return mask_HW


@cache
def _triangles() -> NDArray[np.int64]:
    """(T, 3) landmarks: triangles between them that fill the face outline, seen from the front, on OpenHead."""
    head = load_head()
    assert head.landmarks_478 is not None
    points_L3 = head.landmarks_478.positions(head.template_V3, head.faces_F3)
    right = np.array(_RELIEF_RIGHT)
    used = np.unique(np.concatenate([FACE_OVAL, _RELIEF, right, MIRROR_478[right]]))
    triangles_T3 = used[Delaunay(points_L3[used, :2]).simplices]
    outline = (points_L3[FACE_OVAL, :2] * 1e4).astype(np.float32)
    centres_T2 = (points_L3[triangles_T3, :2].mean(1) * 1e4).astype(np.float32)
    inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in centres_T2]
    return triangles_T3[np.array(inside)]


def _fixed(points_N2: NDArray[np.floating]) -> NDArray[np.int32]:
    limited = np.clip(points_N2 - 0.5, -10 * CROP_SIZE, 10 * CROP_SIZE)
    return np.rint(limited * (1 << _BITS)).astype(np.int32)


def _turned(corners_42: NDArray[np.floating]) -> bool:
    """Whether a rectangle's sides are not those of the picture, so that its bounding box says too little."""
    return bool(np.abs(corners_42[1] - corners_42[0]).min() > 1e-6)
