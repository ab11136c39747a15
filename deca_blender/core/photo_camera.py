"""The orthographic camera that sees the head exactly where it lies on the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..protocol.camera import photo_matrix
from .rig import DriverSpec, Term

DISTANCE = 1.0
"""Metres from the head space origin to the camera along the view axis; no effect on an orthographic picture."""


@dataclass(frozen=True)
class PhotoCamera:
    """An orthographic Blender camera in head space (it looks along its own -z, y up in the picture).

    Attributes:
        matrix: (4, 4) camera to head space, metres.
        metres_per_pixel: Size of a photo pixel at the head.
        resolution: Photo width and height, pixels.
    """

    matrix: NDArray[np.float64]
    metres_per_pixel: float
    resolution: tuple[int, int]


def photo_camera(camera: NDArray, crop: NDArray, resolution: tuple[int, int]) -> PhotoCamera:
    """The Blender camera of a reconstructed face.

    Args:
        camera: DECA's `[s, tx, ty]`.
        crop: (3, 3) photo pixels -> crop pixels, a similarity without reflection.
        resolution: Photo width and height, pixels.

    Raises:
        ValueError: The crop is not such a similarity: no orthographic camera shows the head over the photo.
    """
    projection = photo_matrix(camera, crop)
    linear = projection[:, :2]
    pixels_per_metre = float(np.sqrt(abs(np.linalg.det(linear))))
    # Photo y points down, so a picture without reflection or shear has (k cos, k sin; k sin, -k cos).
    expected = np.array([[linear[0, 0], linear[0, 1]], [linear[0, 1], -linear[0, 0]]])
    if pixels_per_metre == 0 or np.abs(linear - expected).max() > 1e-4 * pixels_per_metre:
        raise ValueError("The crop transform is not a rotation, scaling and shift.")
    width, height = resolution
    to_head = np.linalg.inv(linear)
    centre = to_head @ (np.array([width / 2, height / 2]) - projection[:, 3])
    right = to_head[:, 0] * pixels_per_metre
    up = -to_head[:, 1] * pixels_per_metre
    matrix = np.eye(4)
    matrix[:2, 0], matrix[:2, 1] = right, up
    matrix[:3, 3] = (*centre, DISTANCE)
    return PhotoCamera(matrix, 1 / pixels_per_metre, (width, height))


def metres_per_pixel(
    ortho_scale: float, photo: tuple[int, int], render: tuple[int, int], aspect: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Size of a photo pixel at the head, from the `ortho_scale` that `ortho_scale_driver` gives.

    Args:
        ortho_scale: Of the photo's camera.
        photo: Width and height of the photo.
        render: Width and height of the render, pixels.
        aspect: Width and height of the render's pixels.
    """
    (width, height), (x, y), (p, q) = photo, render, aspect
    return ortho_scale / (max(width, height * x * p / (y * q)) * max(1.0, y * q / (x * p)))


def ortho_scale_driver(camera: PhotoCamera) -> DriverSpec:
    """The `ortho_scale` (with `sensor_fit = 'AUTO'`) that fits the whole photo into any render, as backgrounds are.

    Terms are paths from the scene. A render is as wide as the photo, or, where it has wider proportions, as wide as
    makes it as high as the photo; Blender wants the longer of its sides, in metres.
    """
    width, height = camera.resolution
    return DriverSpec(
        f"{camera.metres_per_pixel:.9g}*max({width},{height}*x*p/(y*q))*max(1,y*q/(x*p))",
        (
            Term("x", "render.resolution_x"),
            Term("y", "render.resolution_y"),
            Term("p", "render.pixel_aspect_x"),
            Term("q", "render.pixel_aspect_y"),
        ),
    )
