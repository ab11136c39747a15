"""What the coefficients cannot say: the surface moved to landmarks; such a face still blinks and shuts its mouth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.head.model import Part
from deca.reconstruct import likeness
from deca.reconstruct.face import Face
from deca.reconstruct.fit_result import FitResult
from deca.reconstruct.joint_fit import Marks
from deca.reconstruct.likeness import LikenessSolver
from deca.reconstruct.models import Models
from deca.reconstruct.noise import LandmarkNoise

SCALE, FAR = 1500.0, 1e6
"""Pixels per metre, and a focal length in pixels at which the perspective vanishes."""
VIEWS = ((0.0, 0.0), (0.5, 0.1), (-0.5, -0.1), (0.2, 0.3))


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def solver(head: HeadModel) -> LikenessSolver:
    return LikenessSolver(head, noise=LandmarkNoise.plain(478, 151))  # the landmarks here do not err


@pytest.fixture(scope="module")
def chin_V3(head: HeadModel) -> NDArray:
    """A longer, broader chin, which no code is asked for: 4 mm down, 3 mm to the sides, metres."""
    x, y, _ = head.template_V3.T.astype(np.float64)
    share_V = 1 / (1 + np.exp((y + 0.055) / 0.008)) * (head.parts_V == Part.SKIN)
    return np.stack((0.003 * np.tanh(x / 0.02) * share_V, -0.004 * share_V, 0 * y), 1)


def photographed(head: HeadModel, verts_V3: NDArray) -> list[Marks]:
    """A neutral head from several sides."""
    assert head.landmarks_478 is not None
    points_L3 = head.landmarks_478.positions(verts_V3, head.faces_F3)
    photos = []
    for yaw, pitch in VIEWS:
        turned_L3 = points_L3 @ Rotation.from_euler("yx", (yaw, pitch)).as_matrix().T
        photos.append(Marks(SCALE * turned_L3[:, :2] * (1, -1) + 250, (500, 500), FAR))
    return photos


def held(solver: LikenessSolver, photos: list[Marks]) -> FitResult:
    """The mean head on the photos."""
    shapes = np.zeros(solver.reduced.num_shape)
    return solver.fit_held(photos, shapes, np.zeros((len(photos), 0)), np.zeros((len(photos), 3)))


def test_a_chin_that_all_photos_show_is_found(head: HeadModel, solver: LikenessSolver, chin_V3: NDArray) -> None:
    photos = photographed(head, head.template_V3 + chin_V3)
    fit = held(solver, photos)
    moved_V3 = solver.displacement(photos, fit)
    assert (moved_V3 * chin_V3).sum() / np.sqrt((moved_V3**2).sum() * (chin_V3**2).sum()) > 0.4
    chin_V = chin_V3[:, 1] < -0.003
    assert (moved_V3[chin_V, 1] < 0).mean() > 0.9 and np.linalg.norm(moved_V3, axis=1).max() < likeness.LIMIT
    assert solver.fit_moved(photos, fit, moved_V3).error_B.mean() < 0.95 * fit.error_B.mean()
    # One photo is trusted less than several.
    one_V3 = solver.displacement(photos[:1], fit.take(np.array([0])))
    assert 0 < np.abs(one_V3[chin_V, 1].mean()) < np.abs(moved_V3[chin_V, 1].mean())


def test_the_field_is_that_of_dense_regression(head: HeadModel, solver: LikenessSolver, chin_V3: NDArray) -> None:
    """Oracle: the posterior mean by the covariance of landmarks and vertices, without modes: K_vl (K_ll + N)^-1 d,
    with landmarks that tell all three coordinates alike."""
    assert head.landmarks_478 is not None
    places_V3 = head.template_V3.astype(np.float64)
    asked_V = np.flatnonzero(head.parts_V == Part.SKIN)[::40]
    marks_L3 = head.landmarks_478.positions(places_V3, head.faces_F3)
    target_L3 = head.landmarks_478.positions(chin_V3, head.faces_F3)
    modes_V3K, modes_L3K = solver.modes
    noise = 0.002
    flat_NK = modes_L3K.reshape(-1, modes_L3K.shape[2])
    square_KK = np.eye(flat_NK.shape[1]) + flat_NK.T @ flat_NK / noise**2
    ours_V3 = modes_V3K[asked_V] @ np.linalg.solve(square_KK, flat_NK.T @ target_L3.ravel() / noise**2)

    def covariance(first_N3: NDArray, second_M3: NDArray, axis: int) -> NDArray:
        total = np.zeros((len(first_N3), len(second_M3)))
        for sign in (1, -1):
            distance = np.linalg.norm(first_N3[:, None] - second_M3 * (sign, 1, 1), axis=2)
            both = sum(a**2 * np.exp(-0.5 * (distance / reach) ** 2) for reach, a in likeness.SCALES)
            mirrored = (1 if axis else -1) if sign < 0 else 1  # a symmetric field: x changes its sign
            total += both * mirrored + likeness.LOPSIDED**2 * both * (mirrored if sign > 0 else -mirrored)
        return total

    eyes_V = np.isin(head.parts_V, (Part.EYE_L, Part.EYE_R))
    still_N3 = places_V3[eyes_V][::12]
    still_N3 = np.concatenate((still_N3, still_N3 * (-1, 1, 1)))
    known_N3 = np.concatenate((marks_L3, still_N3))
    noise_N = np.r_[np.full(len(marks_L3), noise**2), np.full(len(still_N3), 0.0003**2 * (1 + likeness.LOPSIDED**2))]
    for axis in (0, 1):
        matrix_NN = covariance(known_N3, known_N3, axis) + np.diag(noise_N)
        goal_N = np.r_[target_L3[:, axis], np.zeros(len(still_N3))]
        dense_V = covariance(places_V3[asked_V], known_N3, axis) @ np.linalg.solve(matrix_NN, goal_N)
        assert np.abs(ours_V3[:, axis] - dense_V).max() < 3e-4, axis
        assert np.abs(dense_V).max() > 1e-3


def test_what_is_told_of_the_field_is_the_slope_of_the_residuals(
    head: HeadModel, solver: LikenessSolver, chin_V3: NDArray
) -> None:
    """Where the surface moves along a mode, the cost of the landmarks changes as slope and square say (differences of
    the fit itself, in which expression, pose and camera follow)."""
    photos = photographed(head, head.template_V3 + chin_V3)[:1]
    fit = held(solver, photos)
    square_KK, slope_K = solver._told_by(photos[0], fit)
    assert np.abs(square_KK - square_KK.T).max() < 1e-6 * np.abs(square_KK).max()
    assert np.linalg.eigvalsh(square_KK).min() > -1e-6 * np.abs(square_KK).max()
    code_K = np.linalg.solve(np.eye(len(slope_K)) + square_KK, -slope_K)
    before = fit.error_B[0]
    errors = [solver.fit_moved(photos, fit, solver.modes[0] @ (step * code_K)).error_B[0] for step in (0.5, 1.0, -1.0)]
    assert errors[1] < errors[0] < before < errors[2]


def test_eyes_stay_and_lids_and_lips_still_meet(head: HeadModel, solver: LikenessSolver) -> None:
    """Random displacements of twice the size that photos give: lids cover the eyeball in a blink as without them, and
    lips that touch go on touching."""
    rng = np.random.default_rng(0)
    modes_V3K, _ = solver.modes
    eyes_V = np.isin(head.parts_V, (Part.EYE_L, Part.EYE_R))
    names = [head.arkit_names.index(f"eyeBlink{side}") for side in ("Left", "Right")]
    assert head.arkit_map_K52 is not None and head.landmarks_478 is not None
    blink_E = torch.zeros(1, 100)
    blink_E[0, :51] = torch.from_numpy(head.arkit_map_K52[:51, names].sum(1))
    layer = HeadLayer(head, 10, 100)
    near_V = np.flatnonzero(
        (head.parts_V == Part.SKIN) & (KDTree(head.template_V3[eyes_V]).query(head.template_V3)[0] < 0.003)
    )
    for _ in range(3):
        offset_V3 = modes_V3K @ rng.normal(0, 1.0, modes_V3K.shape[2])
        offset_V3 *= 0.0012 / np.sqrt((offset_V3[head.parts_V == Part.SKIN] ** 2).sum(1).mean())
        assert not offset_V3[eyes_V].any()
        assert np.linalg.norm(offset_V3[near_V], axis=1).max() < 0.0008
        with torch.no_grad():
            rest = [
                layer(torch.zeros(1, 10), blink_E, torch.zeros(1, 5, 3), offset)[0].numpy()
                for offset in (None, torch.from_numpy(offset_V3.astype(np.float32))[None])
            ]
        upper_L3, lower_L3 = (
            [head.landmarks_478.positions(verts, head.faces_F3)[rows] for verts in rest]
            for rows in ([159, 158, 160, 386, 385, 387], [145, 153, 144, 374, 380, 373])
        )
        gap = [upper_L3[k][:, 1] - lower_L3[k][:, 1] for k in range(2)]
        assert np.abs(gap[1] - gap[0]).max() < 0.0004
        lips = head.landmarks_478.positions(offset_V3, head.faces_F3)[[13, 14, 82, 87, 312, 317]].reshape(3, 2, 3)
        assert np.linalg.norm(lips[:, 0] - lips[:, 1], axis=1).max() < 0.0005


def test_a_face_wears_its_likeness_and_is_as_before_without(head: HeadModel, chin_V3: NDArray) -> None:
    rng = np.random.default_rng(3)
    pose_53 = np.zeros((5, 3), np.float32)
    pose_53[2, 0] = 0.2
    plain = Face(
        *(Path("a.jpg"), 0, head),
        *(rng.normal(size=100).astype(np.float32), rng.normal(size=50).astype(np.float32), pose_53),
        *(np.array([8, 0, 0], np.float32), np.eye(3), (224, 224), (0, 0, 1, 1)),
        *(np.zeros((478, 2), np.float32), 0.0),
    )
    moved = replace(plain, likeness_V3=chin_V3.astype(np.float32))
    assert plain.to_json()["likeness"] is None and np.shape(moved.to_json()["likeness"]) == head.template_V3.shape
    far_V = np.linalg.norm(chin_V3, axis=1) < 1e-9
    difference_V3 = moved.vertices() - plain.vertices()
    assert np.abs(difference_V3[far_V]).max() < 1e-6
    # The jaw turns what moves.
    down_V = head.skin_weights_VJ[:, 2] > 0.99
    turned_V3 = chin_V3 @ Rotation.from_rotvec((0.2, 0, 0)).as_matrix().T
    assert np.abs(difference_V3 - turned_V3)[down_V].max() < 2e-5 and np.abs(chin_V3[down_V]).max() > 0.002
    models = Models(head)
    np.testing.assert_allclose(models.decode_face(moved).verts_BV3[0].numpy(), moved.vertices(), atol=1e-6)
