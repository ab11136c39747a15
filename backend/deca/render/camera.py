"""DECA's camera: scaled orthographic projection onto the 224 x 224 crop, and from there to the photo.

Shape suffixes: B batch, V points.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deca_blender.protocol.conventions import CROP_SIZE


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


class Window(NamedTuple):
    """A rectangle of whole photo pixels: where on a photo the head is drawn."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def around(cls, pixels: NDArray, photo_height: int, photo_width: int, margin: int = 2) -> Window:
        """The part of a photo that holds the points (..., 2) with a margin; at least one pixel.

        Non-finite points do not count.
        """
        points_N2 = np.asarray(pixels, np.float64).reshape(-1, 2)
        points_N2 = points_N2[np.isfinite(points_N2).all(1)]
        size = np.array((photo_width, photo_height))
        if len(points_N2) == 0:
            points_N2 = size[None] / 2
        low = np.clip(np.floor(points_N2.min(0)) - margin, 0, size - 1).astype(int)
        high = np.clip(np.ceil(points_N2.max(0)) + margin, low + 1, size).astype(int)
        return cls(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))

    def cut(self, photo_HW3: NDArray) -> NDArray:
        """The window's part of a photo (a view)."""
        return photo_HW3[self.top : self.top + self.height, self.left : self.left + self.width]


def photo_pixels(picture_BV3: Tensor, crop_B33: Tensor) -> Tensor:
    """Crop picture coordinates to photo pixels (B, V, 2).

    Args:
        picture_BV3: As `project` gives them.
        crop_B33: Photo pixels -> crop pixels.
    """
    to_photo_B33 = torch.linalg.inv(crop_B33.double())
    pixels_BV2 = crop_pixels(picture_BV3).double() @ to_photo_B33[:, :2, :2].transpose(1, 2)
    return (pixels_BV2 + to_photo_B33[:, None, :2, 2]).to(picture_BV3.dtype)


def window_picture(picture_BV3: Tensor, crop_B33: Tensor, window: Window) -> Tensor:
    """Crop picture coordinates to those of a window of the photo, (B, V, 3); z stays.

    Rendering with these and the window's height and width draws the head where it is on the photo.
    """
    corner = picture_BV3.new_tensor([window.left, window.top])
    half = picture_BV3.new_tensor([window.width, window.height]) / 2
    return torch.cat(((photo_pixels(picture_BV3, crop_B33) - corner) / half - 1, picture_BV3[..., 2:]), dim=-1)
