"""Where DECA's camera sees the head on the photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .conventions import CROP_SIZE


def photo_matrix(camera: NDArray, crop: NDArray) -> NDArray[np.float64]:
    """The (2, 4) matrix that takes (x, y, z, 1) in head space, metres, to upright photo pixels (docs/architecture.md).

    Args:
        camera: DECA's `[s, tx, ty]`.
        crop: (3, 3) photo pixels -> crop pixels, a similarity.
    """
    scale, tx, ty = (float(value) for value in camera)
    half = CROP_SIZE / 2
    to_crop = np.array(
        [
            [half * scale, 0, 0, half * scale * tx + half],
            [0, -half * scale, 0, -half * scale * ty + half],
            [0, 0, 0, 1],
        ]
    )
    return (np.linalg.inv(np.asarray(crop, np.float64)) @ to_crop)[:2]
