"""Takes: gaps, smoothing without lag, frames of the scene; rotations against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import savgol_filter
from scipy.spatial.transform import Rotation

from deca_blender.core import rotations, takes
from deca_blender.core.takes import Take

RATE = 30.0


def _take(values_F: np.ndarray, seen_F: np.ndarray | None = None) -> Take:
    times_F = np.arange(len(values_F)) / RATE
    turns_F3 = np.stack([0.5 * values_F, np.zeros_like(values_F), np.zeros_like(values_F)], axis=1)
    return Take(times_F, {"exp_000": values_F}, {"root": turns_F3}, seen_F)


def test_rotations_are_scipys() -> None:
    random = np.random.default_rng(1)
    turns_F3 = np.concatenate([random.normal(0, 1, (20, 3)), np.zeros((1, 3)), [[1e-13, 0, 0]]])
    expected = Rotation.from_rotvec(turns_F3)
    got_F4 = rotations.quaternions(turns_F3)
    same = np.abs((got_F4 * expected.as_quat(scalar_first=True)).sum(1))
    np.testing.assert_allclose(same, 1, atol=1e-12)
    assert ((got_F4[1:] * got_F4[:-1]).sum(1) >= 0).all()
    np.testing.assert_allclose(rotations.axis_angles(3 * got_F4), expected.as_rotvec(), atol=1e-9)
    other = Rotation.from_rotvec(random.normal(0, 1, turns_F3.shape))
    product_F4 = rotations.product(got_F4, other.as_quat(scalar_first=True))
    np.testing.assert_allclose(rotations.axis_angles(product_F4), (expected * other).as_rotvec(), atol=1e-9)
    angles_F3 = random.normal(0, 0.7, (10, 3))
    np.testing.assert_allclose(
        rotations.from_euler(angles_F3, "yxz"), Rotation.from_euler("YXZ", angles_F3).as_rotvec(), atol=1e-9
    )


def test_axes_do_not_jump() -> None:
    turns_F3 = np.stack([np.full(9, 1e-3), np.linspace(0.3, 0.4, 9), np.zeros(9)], axis=1)
    turns_F3[5:, 0] *= -1
    channels_F4 = rotations.angle_and_axis(turns_F3)
    np.testing.assert_allclose(channels_F4[:, :1] * channels_F4[:, 1:], turns_F3, atol=1e-12)
    assert np.abs(np.diff(channels_F4, axis=0)).max() < 0.05
    rest_F4 = rotations.angle_and_axis(np.zeros((2, 3)))
    np.testing.assert_array_equal(rest_F4, [[0, 1, 0, 0]] * 2)


def test_smoothing_has_no_lag_and_keeps_slow_movements() -> None:
    times_F = np.arange(120) / RATE
    slow_F = np.sin(2 * np.pi * times_F)
    noisy_F = slow_F + np.random.default_rng(0).normal(0, 0.05, 120)
    smooth_F = takes.smoothed(_take(noisy_F), 0.08).sliders["exp_000"]
    assert np.std(smooth_F - slow_F) < 0.7 * np.std(noisy_F - slow_F)
    assert np.abs(takes.smoothed(_take(slow_F), 0.08).sliders["exp_000"] - slow_F).max() < 0.02
    shifted = [np.std(smooth_F[5 + lag : 115 + lag] - slow_F[5:115]) for lag in range(-3, 4)]
    assert int(np.argmin(shifted)) == 3
    backwards_F = takes.smoothed(_take(noisy_F[::-1]), 0.08).sliders["exp_000"]
    np.testing.assert_allclose(backwards_F[::-1], smooth_F, atol=1e-9)


def test_a_parabola_stays_a_parabola() -> None:
    """As Savitzky and Golay's filter of that degree has it, whose ends are parabolas too."""
    values_F = (np.arange(40) / RATE - 0.4) ** 2
    assert np.allclose(savgol_filter(values_F, 11, 2), values_F)
    np.testing.assert_allclose(takes.smoothed(_take(values_F), 0.1).sliders["exp_000"], values_F, atol=1e-6)


def test_a_blink_keeps_most_of_its_height() -> None:
    times_F = np.arange(90) / RATE
    blink_F = np.exp(-((times_F - 1.5) ** 2) / (2 * 0.07**2))  # a fifth of a second wide
    smooth_F = takes.smoothed(_take(blink_F)).sliders["exp_000"]
    assert smooth_F.argmax() == blink_F.argmax() and smooth_F.max() > 0.75


def test_short_gaps_are_filled_and_long_ones_told() -> None:
    seen_F = np.ones(90, bool)
    seen_F[[0, 1, 89]] = False
    seen_F[10:14] = seen_F[40:70] = False
    values_F = np.where(seen_F, np.arange(90) / RATE, 99.0)
    take = takes.filled(_take(values_F, seen_F))
    assert take.seen_F is None and len(take) == 90 - 3 - 30
    np.testing.assert_allclose(take.sliders["exp_000"], take.times_F, atol=1e-9)  # on the line, nothing of the 99s
    np.testing.assert_allclose(take.joints["root"][:, 0], take.times_F / 2, atol=1e-5)  # by quaternions
    assert take.gaps == ((39 / RATE, 70 / RATE),)
    frames_N, shown = takes.at_frames(take, 24.0)
    assert set(range(32, 56)).isdisjoint(frames_N.tolist()) and {31, 56} <= set(frames_N.tolist())
    np.testing.assert_allclose(shown.sliders["exp_000"], frames_N / 24, atol=1e-9)


def test_nothing_is_smoothed_across_a_gap() -> None:
    seen_F = np.ones(90, bool)
    seen_F[30:60] = False
    values_F = np.where(np.arange(90) < 45, 0.0, 1.0)
    take = takes.smoothed(takes.filled(_take(values_F, seen_F)), 0.2)
    np.testing.assert_allclose(take.sliders["exp_000"][:30], 0.0, atol=1e-6)
    np.testing.assert_allclose(take.sliders["exp_000"][30:], 1.0, atol=1e-6)


def test_a_take_without_a_face_is_an_error() -> None:
    with pytest.raises(ValueError, match="No frame"):
        takes.filled(_take(np.zeros(5), np.zeros(5, bool)))


def test_single_frames_stay() -> None:
    frames_N, take = takes.at_frames(takes.smoothed(_take(np.array([0.4]))), 24.0)
    assert frames_N.tolist() == [0] and take.sliders["exp_000"].tolist() == [0.4]


def test_the_mirror_swaps_sides() -> None:
    take = Take(
        np.zeros(1),
        {"eyeBlinkLeft": np.array([0.7]), "jawOpen": np.array([0.2])},
        {"eye_l": np.array([[0.1, 0.2, 0.3]]), "root": np.array([[0.1, 0.2, 0.3]])},
    )
    other = takes.mirrored(take)
    assert other.sliders["eyeBlinkRight"] == [0.7] and "eyeBlinkLeft" not in other.sliders
    np.testing.assert_allclose(other.joints["eye_r"], [[0.1, -0.2, -0.3]])
    flip = np.diag([-1.0, 1.0, 1.0])
    expected = flip @ Rotation.from_rotvec(take.joints["root"][0]).as_matrix() @ flip
    np.testing.assert_allclose(Rotation.from_rotvec(other.joints["root"][0]).as_matrix(), expected, atol=1e-12)
    assert set(takes.turning(other, "neck").joints) == {"eye_r", "neck"}
    assert set(takes.turning(other, None).joints) == {"eye_r"}


def test_a_face_at_rest_is_taken_off() -> None:
    times_F = np.arange(60) / RATE
    jaw_F3 = np.stack([0.1 + 0.2 * times_F, np.zeros(60), np.zeros(60)], axis=1)
    take = Take(times_F, {"exp_000": 1 + times_F}, {"jaw": jaw_F3, "root": jaw_F3})
    relative = takes.relative_to(take, 1.0, ("jaw",))
    np.testing.assert_allclose(relative.sliders["exp_000"], times_F - 1, atol=1e-9)
    np.testing.assert_allclose(relative.joints["jaw"][:, 0], 0.2 * (times_F - 1), atol=1e-9)
    np.testing.assert_array_equal(relative.joints["root"], jaw_F3)
