"""What other photos of a person teach a shape estimate: against the normal equations, fits, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deca.head import load_head
from deca.reconstruct.fit import LandmarkSolver
from deca.reconstruct.fit_result import HELD, Guess
from deca.reconstruct.noise import interior_landmarks
from deca_training.cross_photo import Directions, Evidence, average_shape, common_offset, joint_ridge, of_others

PHOTO = (640, 640)


@pytest.fixture(scope="module")
def solver() -> LandmarkSolver:
    return LandmarkSolver(load_head())


def photographed(solver: LandmarkSolver, shape_S: np.ndarray, turn: float) -> np.ndarray:
    """Landmarks (478, 2) of a head that smiles a little, turned to the side by some radians."""
    codes_1K = np.concatenate((shape_S, 0.5 * np.ones(3), np.zeros(47)))[None]
    points_L3 = solver.reduced.positions(codes_1K, np.zeros((1, 7)))[0]
    cos, sin = np.cos(turn), np.sin(turn)
    turned_L3 = points_L3 @ np.array([(cos, 0, -sin), (0, 1, 0), (sin, 0, cos)])
    return 320 + 2200 * turned_L3[:, :2] * (1, -1)


def test_evidence_is_what_other_shapes_change(solver: LandmarkSolver) -> None:
    """Against fits that hold another shape, of most people (landmarks that lose their weight bend it for some); and
    that the outline counts a little beside the landmarks inside."""
    inside, left = interior_landmarks(), []
    for seed in range(7):
        rng = np.random.default_rng(seed)
        landmarks_1L2 = photographed(solver, rng.normal(0, 0.5, 100), 0.2)[None]
        residual_1L2, response_1L2S = solver.evidence(landmarks_1L2, PHOTO, np.zeros((1, 100)))
        offset_S = rng.normal(0, 0.1, 100)
        found_1L2 = solver.evidence(landmarks_1L2, PHOTO, offset_S[None])[0]
        told_1L2 = residual_1L2 + response_1L2S @ offset_S
        off, moved = (np.linalg.norm(found_1L2[0, inside] - other[0, inside]) for other in (told_1L2, residual_1L2))
        left.append(off / moved)
        evidence, there = Evidence.of(residual_1L2, response_1L2S), Evidence.of(told_1L2, response_1L2S)
        pushed_NS = evidence.square_NSS @ offset_S
        np.testing.assert_allclose(evidence.slope_NS + pushed_NS, there.slope_NS, rtol=1e-3, atol=1e-3)
        squared_N = evidence.squared_N + (2 * evidence.slope_NS + pushed_NS) @ offset_S
        np.testing.assert_allclose(squared_N, there.squared_N, rtol=1e-3)
        squares = 1e4 * (residual_1L2[0, inside] ** 2).sum() / len(inside)
        plain = Evidence.of(residual_1L2, response_1L2S * 0 + residual_1L2[..., None])  # along the residual itself
        assert 0 < plain.slope_NS[0, 0] - squares < 0.2 * squares
    assert np.median(left) < 0.2


def test_the_common_offset_is_where_the_mean_slope_ends() -> None:
    """By hand: H = 2 and 4, g = -1 and -5, and a prior of 1 give 3 / (3 + 1)."""
    evidence = Evidence(np.array([2.0, 4.0]).reshape(2, 1, 1), np.array([[-1.0], [-5.0]]), np.ones(2, np.float32))
    assert common_offset(evidence, 1.0) == pytest.approx([0.75])


def test_the_average_is_what_people_have_in_common(solver: LandmarkSolver) -> None:
    """People around one head, photographed from several sides: held by a fit, it misses them less than others do."""
    rng = np.random.default_rng(0)
    common_S = rng.normal(0, 0.7, 100) * (np.arange(100) < 20)
    shape_NS = common_S + rng.normal(0, 0.3, (12, 100)) * (np.arange(100) < 20)
    landmarks_NL2 = np.stack([photographed(solver, shape_S, rng.uniform(-0.3, 0.3)) for shape_S in shape_NS])
    average_S = average_shape(solver, landmarks_NL2, np.tile(PHOTO, (12, 1)))

    def missed(shape_S: np.ndarray) -> float:
        guess = Guess(np.tile(shape_S, (12, 1)), np.zeros((12, 0)), np.zeros((12, 3)), HELD)
        return float(solver.fit(landmarks_NL2, PHOTO, guess=guess).error_B.mean())

    assert missed(average_S) < 0.8 * missed(np.zeros(100)) and missed(average_S) < 1.1 * missed(shape_NS.mean(0))


def test_evidence_of_others_leaves_the_photo_itself_out() -> None:
    values = np.arange(5.0)
    evidence = Evidence(values.reshape(5, 1, 1), 10 * values[:, None], values)
    rows, others = of_others(evidence, ["a", "b", "a", "c", "a"])
    assert rows.tolist() == [0, 2, 4]
    np.testing.assert_allclose(others.square_NSS[:, 0, 0], [3.0, 2.0, 1.0])
    np.testing.assert_allclose(others.slope_NS[:, 0], [30.0, 20.0, 10.0])


def test_directions_make_both_squares_sums() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 4))
    metric, square = np.diag([1.0, 2.0, 3.0, 4.0]), root.T @ root
    found = Directions.of(square, metric)
    np.testing.assert_allclose(found.dirs_SI.T @ square @ found.dirs_SI, np.diag(found.weight_I), atol=1e-9)
    np.testing.assert_allclose(found.dirs_SI @ found.read_IS, np.eye(4), atol=1e-9)
    assert (np.diff(found.weight_I) < 0).all() and found.weight_I[3] == pytest.approx(0, abs=1e-9)


def test_joint_ridge_equals_the_normal_equations() -> None:
    """In the primal form, with more inputs than photos, and with one direction of which the photos say nothing."""
    rng = np.random.default_rng(0)
    seen, kept, slope, wanted = (rng.normal(size=size) for size in ((6, 12), (4, 12), (6, 3), (4, 3)))
    weight, keep, ridge = np.array([2.0, 0.5, 0.0]), 0.3, 0.1
    slope[:, 2] = 0
    found = joint_ridge(seen, slope, weight, kept, wanted, keep, ridge)
    for column in range(3):
        square = weight[column] * seen.T @ seen / 6 + keep * kept.T @ kept / 4 + ridge * np.eye(12)
        asked = -seen.T @ slope[:, column] / 6 + keep * kept.T @ wanted[:, column] / 4
        np.testing.assert_allclose(found[:, column], np.linalg.solve(square, asked), atol=1e-5)
