"""OpenHead's landmarks: valid, mirror-symmetric, on the features they name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from deca.assets import asset
from deca.head import HeadModel, Part, SurfacePoints, load_head
from deca.head.layer import contour_rows
from deca.vision import Photo, find_faces
from openhead.portrait import View, paint, posed_verts, random_head, render_portrait

INNER_LIP_PAIRS = ((13, 14), (312, 317), (82, 87), (311, 402), (81, 178))
LID_PAIRS = ((386, 374), (385, 380), (387, 373), (159, 145), (158, 153), (160, 144))
# MediaPipe's own left-right pairs, from its published topology.
PAIRS = ((33, 263), (133, 362), (61, 291), (78, 308), (159, 386), (145, 374), (70, 300), (107, 336), (234, 454))
PAIRS += ((98, 327), (468, 473), (469, 476), (471, 474), (470, 475), (172, 397), (58, 288), (50, 280), (205, 425))
IBUG_MIRROR = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
IBUG_MIRROR += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55]
IBUG_MIRROR += [64, 63, 62, 61, 60, 67, 66, 65]
MIRROR = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def at(head: HeadModel, points: SurfacePoints | None, verts_V3: np.ndarray | None = None) -> np.ndarray:
    assert points is not None
    return points.positions(head.template_V3 if verts_V3 is None else verts_V3, head.faces_F3)


def with_arkit(head: HeadModel, **weights: float) -> np.ndarray:
    """Vertices of the mean head with ARKit weights, through the head's own map."""
    assert head.arkit_map_K52 is not None
    codes = sum(head.arkit_map_K52[:, head.arkit_names.index(name)] * value for name, value in weights.items())
    pose = np.zeros((5, 3))
    pose[2:] = codes[51:].reshape(3, 3)
    return posed_verts(head, None, codes[:51], pose)


def lengths_mm(points_L3: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    first, second = np.array(pairs).T
    return np.linalg.norm(points_L3[first] - points_L3[second], axis=1) * 1e3


@pytest.mark.parametrize(("name", "shape"), [("landmarks_478", (478,)), ("landmarks_68", (68,)), ("contour", (79, 17))])
def test_points_are_inside_their_triangles(head: HeadModel, name: str, shape: tuple[int, ...]) -> None:
    points = getattr(head, name)
    assert points.faces.shape == shape and points.bary.shape == (*shape, 3)
    assert points.faces.min() >= 0 and points.faces.max() < len(head.faces_F3)
    assert points.bary.min() >= 0
    np.testing.assert_allclose(points.bary.sum(-1), 1, atol=1e-5)


def test_mediapipe_points_mirror(head: HeadModel) -> None:
    points = at(head, head.landmarks_478)
    nearest = np.linalg.norm((points * MIRROR)[:, None] - points[None], axis=2)
    assert nearest.min(1).max() < 1e-6
    for right, left in PAIRS:
        assert nearest[right, left] < 1e-6, (right, left)
        assert points[right, 0] < 0 < points[left, 0]


def test_ibug_points_and_contour_mirror(head: HeadModel) -> None:
    points = at(head, head.landmarks_68)
    np.testing.assert_allclose(points * MIRROR, points[IBUG_MIRROR], atol=1e-6)
    rows = at(head, head.contour)
    for yaw in range(1, 40):
        np.testing.assert_allclose(rows[yaw] * MIRROR, rows[39 + yaw, ::-1], atol=1e-6)


def test_inner_lips_part_with_the_jaw(head: HeadModel) -> None:
    assert lengths_mm(at(head, head.landmarks_478), INNER_LIP_PAIRS).max() < 2.5
    gaps = lengths_mm(at(head, head.landmarks_478, with_arkit(head, jawOpen=1.0)), INNER_LIP_PAIRS)
    assert gaps.min() > 10, gaps


def test_lids_meet_in_a_blink(head: HeadModel) -> None:
    assert lengths_mm(at(head, head.landmarks_478), LID_PAIRS).min() > 4
    blink = with_arkit(head, eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    points_L3 = 1000 * at(head, head.landmarks_478, blink)
    upper_P3, lower_P3 = points_L3[[pair[0] for pair in LID_PAIRS]], points_L3[[pair[1] for pair in LID_PAIRS]]
    # Photos place the two points of a pair aside of each other: what counts is that one lid's edge covers the other's.
    assert (upper_P3 - lower_P3)[:, 1].max() < 0.2, upper_P3 - lower_P3
    assert np.abs(upper_P3 - lower_P3).max() < 2.5, upper_P3 - lower_P3


@pytest.mark.parametrize(("first", "part"), [(468, Part.EYE_R), (473, Part.EYE_L)])
def test_irises_are_on_the_eyeballs(head: HeadModel, first: int, part: Part) -> None:
    assert head.landmarks_478 is not None
    faces = head.faces_F3[head.landmarks_478.faces[first : first + 5]]
    assert (head.parts_V[faces] == part).all()
    points = at(head, head.landmarks_478)[first : first + 5]
    ball = head.template_V3[head.parts_V == part]
    pole = ball[ball[:, 2].argmax()]
    np.testing.assert_allclose(points[0], pole, atol=1e-4)
    # MediaPipe's order on the picture: right, top, left, bottom; the human iris is 11.7 mm across.
    expected = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]) * 5.85e-3
    np.testing.assert_allclose(points[1:, :2] - pole[:2], expected, atol=2e-4)


@pytest.mark.parametrize("yaw", [-39, -20, 20, 39])
def test_contour_is_on_the_silhouette(head: HeadModel, yaw: int) -> None:
    """On the far side, where the backdrop is behind the cheek, the contour's picture is on the render's border."""
    pose = torch.zeros(1, 5, 3)
    pose[0, 0, 1] = np.radians(yaw)
    row = int(contour_rows(pose)[0])
    verts = posed_verts(head, None, None, pose[0].numpy())
    contour = at(head, SurfacePoints(head.contour.faces[row], head.contour.bary[row]), verts)  # type: ignore[union-attr]
    size, span = 900, 0.30
    portrait = paint(head, verts, view=View(np.inf, span), size=size)
    pixels = (View(np.inf, span).project(contour)[:, :2] * 0.5 + 0.5) * size
    # The far side is the left when the head turns left; below the jaw's corner the neck is behind, not the backdrop.
    far = range(13, 16) if yaw > 0 else range(1, 4)
    backdrop = np.argwhere(portrait.face_HW < 0)[:, ::-1] + 0.5
    for k in far:
        gap = np.linalg.norm(backdrop - pixels[k], axis=1).min() * span / size
        assert gap < 2e-3, (k, gap)


def test_contour_moves_smoothly_with_the_yaw(head: HeadModel) -> None:
    rows = at(head, head.contour)
    steps = np.linalg.norm(np.diff(np.concatenate((rows[:39:-1], rows[:40])), axis=0), axis=2)
    assert steps.max() < 11e-3, steps.max()


@pytest.mark.slow
def test_detector_finds_random_heads(head: HeadModel) -> None:
    missed = []
    for seed in range(50):
        image = render_portrait(head, **random_head(head, seed), view=View(span=0.32), size=256).image_HW3
        if len(find_faces(Photo(image, f"head {seed}"), max_faces=1)) != 1:
            missed.append(seed)
    assert missed == []


def test_landmark_noise_was_measured_on_this_head(head: HeadModel) -> None:
    with safe_open(asset("openhead/landmark_noise.safetensors"), framework="numpy") as file:
        assert file.metadata()["head_hash"] == head.hash, "run tools/calibrate_landmarks.py"
