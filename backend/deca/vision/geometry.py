"""Square regions of a photo, turned with a face, and their pixels for a network."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Region:
    """A square on a picture.

    Attributes:
        centre: x and y, pixels.
        side: Length of a side, pixels.
        angle: Direction of the square's own x axis, radians, positive clockwise on the screen.
    """

    centre: tuple[float, float]
    side: float
    angle: float = 0.0

    def to_picture(self) -> npt.NDArray[np.float64]:
        """The 3x3 matrix from the unit square (origin top left) to picture pixels."""
        cos, sin = self.side * np.cos(self.angle), self.side * np.sin(self.angle)
        x, y = self.centre
        return np.array([[cos, -sin, x - (cos - sin) / 2], [sin, cos, y - (sin + cos) / 2], [0, 0, 1]])

    def within(self, part: Region) -> Region:
        """`part` on the picture, when it counts in sides of this square from its top left corner."""
        x, y = apply(self.to_picture(), np.array([part.centre]))[0]
        return Region((float(x), float(y)), self.side * part.side, self.angle + part.angle)


def scaled(region: Region, scale: float) -> Region:
    """The region on the picture after that has been scaled about its top left corner."""
    x, y = region.centre
    return Region((x * scale, y * scale), region.side * scale, region.angle)


def apply(matrix_33: npt.NDArray[np.floating], points_N2: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Affine 3x3 matrix times (N, 2) points."""
    return points_N2 @ matrix_33[:2, :2].T + matrix_33[:2, 2]


def warp(
    pixels: npt.NDArray[np.uint8], to_crop_33: npt.NDArray[np.floating], width: int, height: int, border: int
) -> npt.NDArray[np.uint8]:
    """Bilinear crop of a picture; both sides of the matrix count pixel centres at +0.5, OpenCV counts them at 0.

    Args:
        pixels: (H, W, 3).
        to_crop_33: Picture pixels to crop pixels, affine.
        width, height: Size of the crop, pixels.
        border: OpenCV's border mode, e.g. `cv2.BORDER_REPLICATE`; a constant border is black.
    """
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ to_crop_33 @ half
    crop = cv2.warpAffine(pixels, matrix[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(crop, np.uint8)


def sample(pixels: npt.NDArray[np.uint8], region: Region, size: int, border: int) -> npt.NDArray[np.uint8]:
    """(size, size, 3) pixels of a region. A large region is averaged down first, so that no photo pixel is skipped.

    Args:
        pixels: (H, W, 3).
        region: The square to read.
        size: Side of the result, pixels.
        border: OpenCV's border mode for what lies outside of the picture.
    """
    to_picture = region.to_picture()
    from_picture = np.eye(3)
    shrink = int(region.side / size)
    if shrink >= 2:
        corners = apply(to_picture, np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
        limit = np.array(pixels.shape[1::-1])
        low = np.clip(np.floor(corners.min(0)) - shrink, 0, limit - 1).astype(int)
        high = np.clip(np.ceil(corners.max(0)) + shrink, low + 1, limit).astype(int)
        width, height = np.maximum((high - low) // shrink, 1).tolist()
        part = cv2.resize(pixels[low[1] : high[1], low[0] : high[0]], (width, height), interpolation=cv2.INTER_AREA)
        pixels = np.asarray(part, np.uint8)
        scale = np.array([width, height]) / (high - low)
        from_picture = np.array([[scale[0], 0, -low[0] * scale[0]], [0, scale[1], -low[1] * scale[1]], [0, 0, 1]])
    to_crop = np.diag([size, size, 1.0]) @ np.linalg.inv(from_picture @ to_picture)
    return warp(pixels, to_crop, size, size, border)
