"""DECA's camera: scaled orthographic projection onto the 224 x 224 crop, and from there to the photo.

Shape suffixes: B batch, V points.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CROP_SIZE = 224


def project(points_BV3: Tensor, camera_B3: Tensor) -> Tensor:
    """Scaled orthographic projection to picture coordinates (DECA, Section 3 and its released camera).

    Args:
        points_BV3: Points in head space, metres.
        camera_B3: `[s, tx, ty]`; s in picture half-widths per metre, tx and ty in metres.

    Returns:
        (B, V, 3): x right and y down in [-1, 1] across the crop, z smaller when nearer.
    """
    scale_B11 = camera_B3[:, None, :1]
    shifted = torch.cat((points_BV3[..., :2] + camera_B3[:, None, 1:], points_BV3[..., 2:]), dim=-1)
    return scale_B11 * shifted * shifted.new_tensor([1.0, -1.0, -1.0])


def crop_pixels(picture_BV3: Tensor) -> Tensor:
    """Picture coordinates in [-1, 1] to pixels (B, V, 2) of the 224 crop."""
    return (picture_BV3[..., :2] * 0.5 + 0.5) * CROP_SIZE


def photo_transform(camera: NDArray, crop: NDArray) -> NDArray[np.float64]:
    """The 2x4 matrix that takes head space (x, y, z, 1) in metres to upright photo pixels.

    Args:
        camera: `[s, tx, ty]`.
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
