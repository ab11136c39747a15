"""DECA's crop against scikit-image's transform and warp, which the release uses."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from skimage.transform import estimate_transform, warp

from deca.vision import crop_from_box, crop_from_landmarks, warp_crop
from deca_blender.protocol.conventions import CROP_SIZE


def expected_crop(picture: np.ndarray, x: float, y: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and crop in pixel indices (centres at 0), from the published description."""
    corners = [[x - side / 2, y - side / 2], [x - side / 2, y + side / 2], [x + side / 2, y - side / 2]]
    transform = estimate_transform("similarity", np.array(corners), np.array([[0, 0], [0, 223], [223, 0]]))
    return transform.params, warp(picture / 255, transform.inverse, output_shape=(224, 224)).transpose(2, 0, 1)


@pytest.mark.parametrize("offset", [(0, 0), (-150, -80), (260, 300)])
def test_crop_equals_scikit_image(offset: tuple[int, int]) -> None:
    picture = skimage.data.astronaut()
    indices = np.random.default_rng(0).uniform((180, 70), (272, 178), (68, 2)) + offset
    (left, top), (right, bottom) = indices.min(0), indices.max(0)
    side = int(((right - left) + (bottom - top)) / 2 * 1.1 * 1.25)
    matrix, crop = expected_crop(picture, (left + right) / 2, (top + bottom) / 2, side)
    ours = crop_from_landmarks(indices + 0.5)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    np.testing.assert_allclose(ours, half @ matrix @ np.linalg.inv(half), atol=1e-9)
    result = warp_crop(picture, ours)
    assert result.shape == (3, CROP_SIZE, CROP_SIZE) and result.dtype == np.float32
    np.testing.assert_allclose(result, crop, atol=2e-4)


def test_box_crop() -> None:
    matrix = crop_from_box((100, 50, 200, 170))
    np.testing.assert_allclose(np.linalg.inv(matrix)[0, 0], int(110 * 1.25) / 223)
    centre = np.linalg.inv(matrix) @ [112, 112, 1]
    np.testing.assert_allclose(centre[:2], [150, 110 + 0.12 * 110], atol=1e-9)


def test_crop_outside_of_the_photo_is_black() -> None:
    assert not warp_crop(np.full((50, 60, 3), 255, np.uint8), crop_from_box((500, 500, 600, 600))).any()
