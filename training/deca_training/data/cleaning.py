"""The paper's data cleaning: photos whose landmarks depend on where the face's box lies are left out.

DECA (Feng et al. 2021), Appendix A: the box is shifted by 5 % of its size to the bottom right; both boxes are expanded
by 10 % to the top and by 20 % to the other sides; the landmarks are found in both. A photo is discarded when, for some
landmark, both answers differ by 0.1 or more of the box's width and height.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from deca.vision.faces import landmark_net
from deca.vision.geometry import Region
from deca_training.data.landmarks import ibug_from_mediapipe

MAX_DISAGREEMENT = 0.1
SHIFT = 0.05
TOP, SIDES = 0.1, 0.2

Finder = Callable[[NDArray[np.uint8], NDArray[np.floating], float], NDArray[np.floating]]
"""(photo's pixels, boxes (2, 4), roll of the face in radians) -> the 68 landmarks (2, 68, 2) in photo pixels."""


def shifted(box: NDArray[np.floating]) -> NDArray[np.floating]:
    """A box (left, top, right, bottom) shifted by 5 % of its size to the bottom right."""
    return box + SHIFT * np.tile(box[2:] - box[:2], 2)


def expanded(box: NDArray[np.floating]) -> NDArray[np.floating]:
    """A box (left, top, right, bottom) expanded by 10 % to the top, by 20 % to the left, right and bottom."""
    width, height = box[2:] - box[:2]
    return box + np.array([-SIDES * width, -TOP * height, SIDES * width, SIDES * height])


def disagreement(first_L2: NDArray[np.floating], second_L2: NDArray[np.floating], box: NDArray[np.floating]) -> float:
    """max_i ||D (k_i - k'_i)||, D = diag(1 / width, 1 / height) of the box.

    The paper's landmarks count from the corner of their box, hence its epsilon; these count from the photo's.
    """
    return float(np.linalg.norm((first_L2 - second_L2) / (box[2:] - box[:2]), axis=1).max())


def box_dependence(pixels: NDArray[np.uint8], box: NDArray[np.floating], roll: float, find: Finder) -> float:
    """How far the landmarks move, in box sizes, when the box is shifted: below MAX_DISAGREEMENT on a usable photo.

    Args:
        pixels: (H, W, 3) photo.
        box: (4,) left, top, right, bottom of the face, photo pixels.
        roll: In-plane rotation of the face, radians.
        find: The landmark finder.
    """
    first_L2, second_L2 = find(pixels, np.stack([expanded(box), expanded(shifted(box))]), roll)
    return disagreement(first_L2, second_L2, box)


def find_mediapipe(pixels: NDArray[np.uint8], boxes_N4: NDArray[np.floating], roll: float) -> NDArray[np.floating]:
    """`Finder` with MediaPipe's landmark network: one pass over the square around each box, upright for the face."""
    regions = []
    for box in boxes_N4:
        x, y = (box[:2] + box[2:]) / 2
        regions.append(Region((float(x), float(y)), float((box[2:] - box[:2]).max()), roll))
    points_N4783, _ = landmark_net().locate(pixels, regions)
    return ibug_from_mediapipe(points_N4783)[..., :2]
