"""What MediaPipe's landmarks are: those that are iBUG's too, mouth, nose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deca_training.data.landmarks import ibug_from_mediapipe


def mediapipe_of(ibug: NDArray[np.int64] | list[int]) -> NDArray[np.int64]:
    """MediaPipe's landmarks at iBUG landmarks 17..67, which are single ones of MediaPipe's."""
    index_68 = ibug_from_mediapipe(np.arange(478.0)[:, None])[:, 0]
    return index_68[np.asarray(ibug)].astype(np.int64)


# fmt: off
LIPS = np.array([
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
])
"""Outer and inner edge of the lips."""

NOSE = np.array([
    168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 294, 278, 344, 440, 275, 45, 220, 115, 48, 64,
])
"""Ridge, tip, base and wings of the nose."""
# fmt: on
