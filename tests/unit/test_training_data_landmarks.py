"""Mirrored landmarks and iBUG's from MediaPipe's, against OpenHead, on which both sets are placed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca.head import load_head
from deca.head.layer import HeadLayer
from deca.vision.landmarks import EYE_RINGS
from deca_training.data.landmarks import MIRROR_68, MIRROR_478, ibug_from_mediapipe

ACROSS = np.array([-1, 1, 1])


def test_mirror_permutations_mirror_the_symmetric_head() -> None:
    head = load_head()
    for points, mirror in ((head.landmarks_478, MIRROR_478), (head.landmarks_68, MIRROR_68)):
        assert points is not None
        points_L3 = points.positions(head.template_V3.astype(np.float64), head.faces_F3)
        np.testing.assert_array_equal(mirror[mirror], np.arange(len(points_L3)))
        np.testing.assert_allclose(points_L3[mirror], points_L3 * ACROSS, atol=1e-6)  # a micrometre
    # Points that the head does not tell apart by their place alone: the irises keep their order around the pupil.
    assert MIRROR_478[468] == 473
    assert set(MIRROR_478[list(EYE_RINGS[0])]) == set(EYE_RINGS[1])


def test_inner_landmarks_are_those_of_the_head() -> None:
    head = load_head()
    assert head.landmarks_68 is not None and head.landmarks_478 is not None
    found = ibug_from_mediapipe(head.landmarks_478.positions(head.template_V3, head.faces_F3))
    truth = head.landmarks_68.positions(head.template_V3, head.faces_F3)
    np.testing.assert_allclose(found[17:], truth[17:], atol=1e-7)
    assert np.linalg.norm((found - truth)[:, :2], axis=1).max() < 1e-3  # the jaw too, seen from the front


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_jaw_follows_the_face_of_anybody(seed: int) -> None:
    """On other people, seen from the front, the jaw stays within 4 % of the distance between the outer eye corners."""
    layer = HeadLayer(load_head())
    shape_1S = torch.from_numpy(np.random.default_rng(seed).normal(0, 0.7, (1, 100)).astype(np.float32))
    pose = torch.zeros(1, 5, 3)
    verts = layer(shape_1S, torch.zeros(1, 50), pose)
    truth = layer.landmarks_68(verts, pose)[0, :, :2].numpy()
    found = ibug_from_mediapipe(layer.landmarks_478(verts)[0, :, :2].numpy())
    error = np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth[36] - truth[45])
    assert error[:17].max() < 0.04
    assert error[17:].max() < 1e-6
