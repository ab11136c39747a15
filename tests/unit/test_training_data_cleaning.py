"""The paper's cleaning rule, against values by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deca.vision import find_faces, read_photo
from deca_training.data.cleaning import MAX_DISAGREEMENT, box_dependence, expanded, find_mediapipe, shifted
from tests.photo_folders import make_photos

BOX = np.array([100.0, 200.0, 300.0, 300.0])  # 200 wide, 100 high
PIXELS = np.zeros((400, 400, 3), np.uint8)


def test_boxes() -> None:
    np.testing.assert_allclose(shifted(BOX), [110, 205, 310, 305])
    np.testing.assert_allclose(expanded(BOX), [60, 190, 340, 320])


def test_landmarks_that_stay_on_the_photo_agree() -> None:
    points_L2 = np.random.default_rng(0).uniform(100, 300, (68, 2))
    assert box_dependence(PIXELS, BOX, 0.0, lambda *_: np.stack([points_L2, points_L2])) == 0


def test_landmarks_that_go_with_the_box_move_by_its_shift() -> None:
    """A network that answers the same place of every crop: sqrt(0.05^2 + 0.05^2) box sizes."""

    def follow(pixels: NDArray[np.uint8], boxes_N4: NDArray[np.floating], roll: float) -> NDArray[np.floating]:
        del pixels, roll
        return np.repeat(boxes_N4[:, None, :2], 68, 1)

    assert box_dependence(PIXELS, BOX, 0.0, follow) == pytest.approx(0.05 * np.sqrt(2))


def test_one_stray_landmark_discards_a_photo() -> None:
    """The measure is the worst landmark, in widths along x and in heights along y."""
    first, second = np.zeros((2, 68, 2))
    second[40] = 0.06 * 200, 0.08 * 100
    assert box_dependence(PIXELS, BOX, 0.0, lambda *_: np.stack([first, second])) == pytest.approx(0.1)
    assert MAX_DISAGREEMENT == 0.1


def test_network_is_steady_on_faces_and_not_on_noise(tmp_path: Path) -> None:
    photo = read_photo(tmp_path / make_photos(tmp_path, 1, 1)[0].name)
    face = find_faces(photo)[0]
    on_face = box_dependence(photo.pixels, face.box, face.roll, find_mediapipe)
    noise = np.random.default_rng(0).integers(0, 255, photo.pixels.shape, np.uint8)
    on_noise = box_dependence(noise, face.box, face.roll, find_mediapipe)
    assert on_face < MAX_DISAGREEMENT / 2 and on_noise > 2 * on_face
