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
    return cv2.warpAffine(pixels, matrix[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


class Pyramid:
    """A picture and its halves, so that a crop never skips pixels: bilinear sampling reads each level at most 2 px apart."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self._levels = [pixels]

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The picture itself."""
        return self._levels[0]

    def crop(self, region: Region, size: int, border: int) -> npt.NDArray[np.uint8]:
        """(size, size, 3) pixels of a region."""
        level = max(0, int(np.floor(np.log2(max(region.side / size, 1.0)))))
        while len(self._levels) <= level:
            self._levels.append(_half(self._levels[-1]))
        pixels = self._levels[level]
        shrink = np.diag([pixels.shape[1] / self.pixels.shape[1], pixels.shape[0] / self.pixels.shape[0], 1.0])
        to_crop = np.diag([size, size, 1.0]) @ np.linalg.inv(shrink @ region.to_picture())
        return warp(pixels, to_crop, size, size, border)


def _half(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    return cv2.resize(pixels, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
