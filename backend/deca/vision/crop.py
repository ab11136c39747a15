"""DECA's crop: the 224 x 224 picture that the encoders read, and the matrix back to the photo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from deca.vision.landmarks import IBUG_68
from deca_blender.protocol.conventions import CROP_SIZE

CROP_SCALE = 1.25


def crop_from_landmarks(points_L2: npt.NDArray[np.floating], scale: float = CROP_SCALE) -> npt.NDArray[np.float64]:
    """The crop around a face's 68 landmarks: their bounding box enlarged by 1.1 and by `scale`, square.

    Args:
        points_L2: (L, 2 or more) x and y in photo pixels; the 68 landmarks in DECA, any set that spans the same box.
        scale: DECA's 1.25.

    Returns:
        3x3 matrix from photo pixels to crop pixels, both with pixel centres at +0.5.
    """
    left, top = points_L2[:, :2].min(0)
    right, bottom = points_L2[:, :2].max(0)
    size = ((right - left) + (bottom - top)) / 2 * 1.1
    return _matrix((left + right) / 2, (top + bottom) / 2, int(size * scale))


def crop_from_box(box: npt.ArrayLike, scale: float = CROP_SCALE) -> npt.NDArray[np.float64]:
    """The crop around a plain detector's box (left, top, right, bottom): not enlarged by 1.1, and 12 % further down."""
    left, top, right, bottom = np.asarray(box, float)
    size = ((right - left) + (bottom - top)) / 2
    return _matrix((left + right) / 2, (top + bottom) / 2 + 0.12 * size, int(size * scale))


def _matrix(x: float, y: float, side: int) -> npt.NDArray[np.float64]:
    # DECA maps the box's corners to the pixel indices 0 and 223; an index is a pixel's centre, +0.5 in this code base.
    factor = (CROP_SIZE - 1) / max(side, 1)
    return np.array(
        [
            [factor, 0, 0.5 - factor * (x - side / 2)],
            [0, factor, 0.5 - factor * (y - side / 2)],
            [0, 0, 1],
        ]
    )


def on_crop(points_L3: npt.NDArray[np.floating], to_crop_33: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Points of the photo (L, 3), pixels with depth in the same scale, in pixels of the crop."""
    zoom = to_crop_33[0, 0]
    return (points_L3 * zoom + (*to_crop_33[:2, 2], 0)).astype(np.float32)


def encoder_crop(
    pixels: npt.NDArray[np.uint8], landmarks_L3: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What the encoders read of a face: the crop around MediaPipe's stand-ins for the 68 landmarks.

    Args:
        pixels: (H, W, 3) photo, RGB.
        landmarks_L3: MediaPipe's 478 on it, pixels with depth in the same scale.

    Returns:
        Photo pixels to crop pixels (3, 3); the crop as of `warp_crop`; the landmarks on it (478, 3).
    """
    to_crop_33 = crop_from_landmarks(landmarks_L3[list(IBUG_68)])
    return to_crop_33, warp_crop(pixels, to_crop_33), on_crop(landmarks_L3, to_crop_33)


def warp_crop(pixels: npt.NDArray[np.uint8], to_crop_33: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The crop as the encoders read it.

    Args:
        pixels: (H, W, 3) photo, RGB.
        to_crop_33: Photo pixels to crop pixels, affine.

    Returns:
        (3, 224, 224) float32 in 0..1: bilinear, 0 outside of the photo.
    """
    centres = np.arange(CROP_SIZE) + 0.5
    crop_N3 = np.stack([*(g.ravel() for g in np.meshgrid(centres, centres)), np.ones(CROP_SIZE**2)], -1)
    photo_N2 = crop_N3 @ np.linalg.inv(to_crop_33)[:2].T
    limit = np.array(pixels.shape[1::-1])
    low = np.clip(np.floor(photo_N2.min(0)) - 1, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(photo_N2.max(0)) + 1, low + 1, limit).astype(int)
    part = torch.from_numpy(np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0]]))
    grid_N2 = (photo_N2 - low) * 2 / (high - low) - 1
    grid = torch.from_numpy(grid_N2.astype(np.float32)).reshape(1, CROP_SIZE, CROP_SIZE, 2)
    image = part.permute(2, 0, 1)[None].float() / 255
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0].numpy()
