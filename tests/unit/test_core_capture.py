"""Coefficients to ARKit sliders, and what a photo or a video becomes on a head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from deca_blender.core import capture, rig
from deca_blender.core.arkit_fit import arkit_weights
from deca_blender.core.capture import CaptureError, CaptureOptions, Performed
from deca_blender.protocol.messages import HeadReply, PerformanceReply


@pytest.fixture(scope="module")
def head() -> HeadReply:
    from deca.service.handlers import _describe_head
    from deca_blender.protocol.messages import DescribeHead

    return _describe_head(DescribeHead(num_shape=1), lambda fraction, text: None)


def _of_weights(head: HeadReply, **weights: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and pose that ARKit weights stand for, one frame."""
    assert head.arkit_map is not None
    mapped = head.arkit_map @ np.array([weights.get(name, 0.0) for name in head.arkit_names])
    pose_153 = np.zeros((1, 5, 3))
    pose_153[0, 2:] = mapped[51:].reshape(3, 3)
    return mapped[None, :50], pose_153


@pytest.mark.parametrize(
    "weights",
    [
        {"jawOpen": 0.6, "mouthSmileLeft": 0.8, "browInnerUp": 0.4},
        {"eyeBlinkLeft": 1.0, "eyeLookOutRight": 0.5, "noseSneerRight": 0.7},
        {},
    ],
)
def test_weights_are_found_again(head: HeadReply, weights: dict[str, float]) -> None:
    found_FA, own_F53 = arkit_weights(*_of_weights(head, **weights), head)
    expected = np.array([weights.get(name, 0.0) for name in head.arkit_names])
    np.testing.assert_allclose(found_FA[0], expected, atol=0.12)  # thrift makes them smaller
    assert np.abs(own_F53).max() < 0.03


def test_weights_are_the_bounded_least_squares(head: HeadReply) -> None:
    """Nearly SciPy's, over the same skin, which knows no thrift; and rotations are whole whatever the sliders do."""
    random = np.random.default_rng(4)
    expression_FE, pose_F53 = random.normal(0, 0.7, (3, 50)), random.normal(0, 0.15, (3, 5, 3))
    weights_FA, own_F53 = arkit_weights(expression_FE, pose_F53, head)
    assert weights_FA.min() >= 0 and weights_FA.max() <= 1
    assert head.arkit_map is not None
    skin_XE = head.expression_dirs[head.part == 0].reshape(-1, 51).astype(np.float64)
    lever = 1e-3 * np.sqrt((head.part == 0).sum())  # rotations hardly count here
    system = np.vstack((skin_XE @ head.arkit_map[:51], lever * head.arkit_map[51:]))
    for weights_A, expression_E, pose_53 in zip(weights_FA, expression_FE, pose_F53, strict=True):
        right = np.concatenate((skin_XE[:, :50] @ expression_E, lever * pose_53[2:].ravel()))
        best = lsq_linear(system, right, (0, 1)).x
        missed, least = (np.linalg.norm((system @ x - right)[: len(skin_XE)]) for x in (weights_A, best))
        assert missed < 1.5 * least < 0.9 * np.linalg.norm(right)
    for frame in range(3):
        for row, joint in enumerate(rig.ARKIT_JOINTS, start=2):
            by_sliders = Rotation.from_rotvec(rig.arkit_rotation(head.arkit_map, joint) @ weights_FA[frame])
            whole = by_sliders * Rotation.from_rotvec(own_F53[frame, row])
            np.testing.assert_allclose(whole.as_rotvec(), pose_F53[frame, row], atol=1e-9)


def _performed(head: HeadReply, seen: list[int]) -> Performed:
    count = len(seen)
    expression_FE = np.zeros((count, 50), np.float32)
    expression_FE[:, 0] = np.arange(count)
    pose_F53 = np.zeros((count, 5, 3), np.float32)
    pose_F53[:, 0, 1] = 0.01 * np.arange(count)
    reply = PerformanceReply(
        head=head.name,
        head_hash=head.hash,
        rate=10.0,
        times=2 + np.arange(count) / 10.0,
        seen=np.array(seen, np.uint8),
        expression=expression_FE,
        pose=pose_F53,
        error=np.zeros(count, np.float32),
        has_audio=False,
    )
    return Performed("clip.mp4", head, performance=reply)


def test_a_video_at_the_scenes_frames(head: HeadReply) -> None:
    done = _performed(head, [1] * 11)
    frames_N, take = capture.take_of_video(done, CaptureOptions(smoothing=0, start=2.0), head.hash, True, 20.0)
    assert frames_N.tolist() == list(range(21)) and set(take.sliders) == set(rig.EXPRESSION_KEYS)
    np.testing.assert_allclose(take.sliders["exp_000"], frames_N / 2, atol=1e-6)
    np.testing.assert_allclose(take.joints["root"][:, 1], 0.005 * frames_N, atol=1e-6)
    assert set(take.joints) == {"root", "jaw", "eye_l", "eye_r"}


def test_heads_of_another_model_move_by_arkit(head: HeadReply) -> None:
    done = _performed(head, [1] * 5)
    _, take = capture.take_of_video(done, CaptureOptions(turn="NECK"), "another", True, 10.0)
    assert set(take.sliders) == set(head.arkit_names) and "neck" in take.joints and "root" not in take.joints
    with pytest.raises(CaptureError, match="another openhead"):
        capture.take_of_video(done, CaptureOptions(), "another", False, 10.0)
    with pytest.raises(CaptureError, match="no ARKit sliders"):
        capture.take_of_video(replace(done), CaptureOptions(sliders="ARKIT"), head.hash, False, 10.0)


def test_frames_without_a_face_are_told() -> None:
    seen = np.array([0, 1, 1, 0, 0, 1, 0], np.uint8)
    assert capture.told_gaps(seen, np.arange(7) / 2) == [(0.0, 0.0, 1), (1.5, 2.0, 2), (3.0, 3.0, 1)]
    assert capture.told_gaps(np.ones(3, np.uint8), np.arange(3.0)) == []
