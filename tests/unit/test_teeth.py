"""Teeth that meet: seen on drawn mouths, and kept together by the fit however far the lips part."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.reconstruct.edges import LOWER_INNER, OUTLINES, UPPER_INNER
from deca.reconstruct.fit import fit_landmarks
from deca.reconstruct.teeth import teeth_meet

SKIN, LIP, TEETH, DARK, TONGUE = (205, 160, 140), (180, 95, 95), (225, 215, 200), (40, 20, 20), (170, 80, 85)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def mouth(*rows: tuple[int, int, int], gap: float = 30.0, width: float = 200.0) -> tuple[np.ndarray, np.ndarray]:
    """A face with a mouth whose opening has these colours from top to bottom, and its landmarks."""
    photo = np.full((400, 400, 3), SKIN, np.uint8)
    landmarks = np.full((478, 2), 200.0)
    across = np.linspace(-0.4, 0.4, 9) * width + 200
    for inner, outline, side in ((UPPER_INNER, OUTLINES[:9], -1), (LOWER_INNER, OUTLINES[9:], 1)):
        landmarks[inner] = np.stack((across, np.full(9, 200 + side * gap / 2)), 1)
        landmarks[outline] = np.stack((across, np.full(9, 200 + side * (gap / 2 + 16))), 1)
    landmarks[61], landmarks[291] = (200 - width / 2, 200), (200 + width / 2, 200)
    left, right = int(200 - width / 2), int(200 + width / 2)
    cv2.rectangle(photo, (left, int(200 - gap / 2 - 16)), (right, int(200 + gap / 2 + 16)), LIP, -1)
    edges = np.linspace(200 - gap / 2, 200 + gap / 2, len(rows) + 1).round().astype(int)
    for colour, top, bottom in zip(rows, edges[:-1], edges[1:], strict=True):
        photo[top:bottom, left:right] = colour
    return photo, landmarks


@pytest.mark.parametrize(
    ("rows", "meet"),
    [
        ((TEETH,), True),
        ((TEETH, DARK), False),
        ((TEETH, TONGUE, TEETH), False),
        ((DARK, TEETH), False),
        ((TONGUE,), False),
        ((LIP,), False),
    ],
)
def test_teeth_down_to_the_lower_lip_meet(rows: tuple, meet: bool) -> None:
    assert teeth_meet(*mouth(*rows)) is meet


def test_closed_and_wide_open_mouths_are_not_told() -> None:
    """Lips alone do not part so far; and between lips that touch there is nothing to see."""
    assert not teeth_meet(*mouth(TEETH, gap=6.0))
    assert not teeth_meet(*mouth(TEETH, gap=80.0))
    assert not teeth_meet(*mouth(TEETH, gap=2.0, width=20.0))


def test_grey_photos_do_not_tell() -> None:
    photo, landmarks = mouth(TEETH)
    assert not teeth_meet(np.repeat(photo.mean(2, keepdims=True).astype(np.uint8), 3, 2), landmarks)


def test_the_jaw_stays_shut_where_teeth_meet(head: HeadModel) -> None:
    """Of the same landmarks, those of a slightly opened jaw; faces beside it on the photo are not touched."""
    landmarks = np.stack([photographed(head, 0.12)] * 2)
    free = fit_landmarks(landmarks, (400, 400), head)
    held = fit_landmarks(landmarks, (400, 400), head, teeth_meet_B=[True, False])
    assert free.pose_B53[0, 2, 0] > 0.06
    assert held.pose_B53[0, 2, 0] < 0.5 * free.pose_B53[0, 2, 0]
    np.testing.assert_allclose(held.pose_B53[1], free.pose_B53[1], atol=1e-5)
    alone = fit_landmarks(landmarks[:1], (400, 400), head, teeth_meet_B=[True])
    np.testing.assert_allclose(alone.pose_B53[0], held.pose_B53[0], atol=1e-5)


def photographed(head: HeadModel, opening: float) -> np.ndarray:
    """Landmarks of the mean head with an open jaw, on an orthographic photo."""
    pose = torch.zeros(1, 5, 3)
    pose[0, 2, 0] = opening
    verts_V3 = HeadLayer(head, 1, 1)(torch.zeros(1, 1), torch.zeros(1, 1), pose)[0].numpy()
    assert head.landmarks_478 is not None
    points_L3 = head.landmarks_478.positions(verts_V3, head.faces_F3)
    return 900 * points_L3[:, :2] * (1, -1) + (200, 200)
