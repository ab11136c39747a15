"""Pins: the solver against a dense solver on another forward model, and what users ask of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from deca_blender.core import pins as core
from deca_blender.core.photo_camera import metres_per_pixel, ortho_scale_driver, photo_camera
from deca_blender.core.pins import PinFit, PinRig, Pins, PinView, Sliders, posed_landmarks, projected

E, N, P, L = 6, 4, 12, 10


def rig_of(seed: int = 0) -> PinRig:
    random = np.random.default_rng(seed)
    joint_dirs = 1e-3 * random.normal(size=(N, 5, 3))
    joint_dirs[:, :2] = 0.0  # root and neck rest
    mix = np.eye(N) + 0.3 * random.normal(size=(N, N))
    return PinRig(
        corners_L3=random.integers(0, P, (L, 3)),
        bary_L3=random.dirichlet(np.ones(3), L),
        weights_PJ=random.dirichlet(np.ones(5), P),
        joints_J3=random.normal(scale=0.03, size=(5, 3)),
        parents=(-1, 0, 1, 1, 1),
        expression_EP3=random.normal(scale=2e-3, size=(E, P, 3)),
        shape_NP3=random.normal(scale=3e-3, size=(N, P, 3)),
        shape_prior_NN=mix @ mix.T,
        joint_dirs_NJ3=joint_dirs,
        correctives_CP3=random.normal(scale=1e-3, size=(36, P, 3)),
    )


def view_of(seed: int = 1) -> PinView:
    random = np.random.default_rng(seed)
    rotations = Rotation.from_rotvec(random.normal(scale=0.2, size=(5, 3))).as_matrix()
    start = Sliders(random.normal(size=E), np.array([0.1, 0.02, -0.01]), 0.3 * random.normal(size=N))
    projection = 4000 * np.c_[np.diag([1.0, -1.0]), np.zeros(2), [0.08, 0.06]]
    return PinView(random.normal(scale=0.05, size=(P, 3)), rotations, start, projection)


def oracle_landmarks(rig: PinRig, view: PinView, x: np.ndarray) -> np.ndarray:
    """Skinning by homogeneous matrices, one point after the other."""
    expression, jaw, shape = x[:E], x[E : E + 3], x[E + 3 :]
    turns = [Rotation.from_matrix(matrix) for matrix in view.rotations_J33]
    turns[2] = turns[2] * Rotation.from_rotvec(jaw)
    features = np.concatenate([(turn.as_matrix() - np.eye(3)).ravel() for turn in turns[1:]])
    worlds: list[np.ndarray] = []
    for joint, parent in enumerate(rig.parents):
        place = rig.joints_J3[joint]
        back, turned, there = np.eye(4), np.eye(4), np.eye(4)
        back[:3, 3], turned[:3, :3] = -place, turns[joint].as_matrix()
        there[:3, 3] = place + sum(shape[n] * rig.joint_dirs_NJ3[n, joint] for n in range(N))
        worlds.append((worlds[parent] if parent >= 0 else np.eye(4)) @ there @ turned @ back)
    points = []
    for p in range(P):
        point = view.rest_P3[p] + sum(expression[e] * rig.expression_EP3[e, p] for e in range(E))
        point = point + sum(shape[n] * rig.shape_NP3[n, p] for n in range(N))
        point = point + features @ rig.correctives_CP3[:, p]
        points.append(sum(rig.weights_PJ[p, j] * (worlds[j] @ np.append(point, 1))[:3] for j in range(5)))
    return np.array([rig.bary_L3[k] @ np.array(points)[rig.corners_L3[k]] for k in range(L)])


def oracle_residuals(x: np.ndarray, rig: PinRig, view: PinView, pins: Pins, free: np.ndarray) -> np.ndarray:
    start = view.sliders.flat()
    whole = start.copy()
    whole[free] = x
    marks, before = oracle_landmarks(rig, view, whole), oracle_landmarks(rig, view, start)
    off = marks[pins.landmarks_I] @ view.projection_24[:, :3].T + view.projection_24[:, 3] - pins.places_I2
    sigma = np.r_[np.ones(E), core.JAW_SIGMA]
    shape = np.linalg.cholesky(rig.shape_prior_NN).T @ (whole - start)[E + 3 :]
    return np.concatenate(
        [
            off.ravel() / 4000 / core.PIN_SIGMA,
            ((marks - before) / core.HOLD_SIGMA).ravel(),
            (whole - start)[: E + 3] / sigma,
            shape,
        ]
    )


def dragged(rig: PinRig, view: PinView, landmarks: list[int], by: float) -> Pins:
    places = projected(view, posed_landmarks(rig, view, view.sliders))[landmarks]
    return Pins(np.array(landmarks), places + by * np.random.default_rng(7).normal(size=places.shape))


def test_landmarks_are_those_of_skinning() -> None:
    rig, view = rig_of(), view_of()
    x = view.sliders.flat() + np.random.default_rng(5).normal(scale=0.3, size=E + 3 + N)
    found = posed_landmarks(rig, view, Sliders.of(x, E))
    assert np.abs(found - oracle_landmarks(rig, view, x)).max() < 1e-12


@pytest.mark.parametrize("moves", [(True, False), (False, True), (True, True)])
def test_solver_finds_the_minimum(moves: tuple[bool, bool]) -> None:
    rig, view = rig_of(), view_of()
    pins = dragged(rig, view, [2, 7], 4.0)
    free = np.flatnonzero(np.r_[np.full(E + 3, moves[0]), np.full(N, moves[1])])
    found = PinFit(rig, view, *moves)(pins).flat()
    arguments = (rig, view, pins, free)
    oracle = least_squares(oracle_residuals, view.sliders.flat()[free], args=arguments, xtol=1e-9)
    mine, best = (float((oracle_residuals(x, *arguments) ** 2).sum()) for x in (found[free], oracle.x))
    assert np.abs(oracle.x - view.sliders.flat()[free]).max() > 0.05  # there was something to do
    assert mine < 1.001 * best and np.abs(found[free] - oracle.x).max() < 0.02
    held = np.setdiff1d(np.arange(E + 3 + N), free)
    assert np.array_equal(found[held], view.sliders.flat()[held])


def test_pins_where_a_known_expression_puts_them_bring_the_face_there() -> None:
    rig, view = rig_of(), view_of()
    change = np.r_[0.8 * np.random.default_rng(2).normal(size=E), 0.1, 0.0, 0.0, np.zeros(N)]
    wanted = posed_landmarks(rig, view, Sliders.of(view.sliders.flat() + change, E))
    before = posed_landmarks(rig, view, view.sliders)
    pinned, others = np.arange(0, L, 2), np.arange(1, L, 2)
    found = PinFit(rig, view)(Pins(pinned, projected(view, wanted)[pinned]))
    after = posed_landmarks(rig, view, found)
    assert np.abs(projected(view, after - wanted)[pinned] - projected(view, 0 * after)[pinned]).max() < 1.5  # pixels
    assert np.linalg.norm((after - wanted)[others]) < 0.5 * np.linalg.norm((before - wanted)[others])


def test_answer_depends_on_the_pins_alone_and_goes_back_without_them() -> None:
    rig, view = rig_of(), view_of()
    fit, pins = PinFit(rig, view, True, True), dragged(rig, view, [3], 5.0)
    first = fit(pins).flat()
    fit(Pins(pins.landmarks_I, pins.places_I2 + 40))
    assert np.array_equal(fit(pins).flat(), first)
    none = Pins(np.zeros(0, np.intp), np.zeros((0, 2)))
    assert np.array_equal(fit(none).flat(), view.sliders.flat())


def test_sliders_stay_within_their_ends() -> None:
    rig, view = rig_of(), view_of()
    found = PinFit(rig, view, True, True)(dragged(rig, view, [0, 5], 800.0))
    assert np.abs(found.expression_E).max() <= core.EXPRESSION_LIMIT and np.abs(found.shape_N).max() <= 3.0
    assert np.abs(found.shape_N).max() == 3.0  # they were asked for more
    assert np.isfinite(found.flat()).all()


def test_shape_suits_the_pins_of_all_photos() -> None:
    rig, view, other = rig_of(), view_of(), view_of(9)
    truth = view.sliders.shape_N + np.array([0.8, -0.6, 0.5, 0.7])
    at = [1, 4, 8]

    def pins_on(photo: PinView, at: list[int]) -> Pins:
        sliders = Sliders(photo.sliders.expression_E, photo.sliders.jaw_3, truth)
        return Pins(np.array(at), projected(photo, posed_landmarks(rig, photo, sliders))[at])

    def error(shape: np.ndarray) -> float:
        there = Sliders(other.sliders.expression_E, other.sliders.jaw_3, shape)
        return float(
            np.linalg.norm(projected(other, posed_landmarks(rig, other, there))[at] - pins_on(other, at).places_I2)
        )

    alone = PinFit(rig, view, False, True)(pins_on(view, [1]))
    both = PinFit(rig, view, False, True, [(other, pins_on(other, at))])(pins_on(view, [1]))
    assert error(both.shape_N) < 0.5 * error(alone.shape_N)


def test_size_of_a_pixel_is_told_by_the_cameras_scale() -> None:
    spec = photo_camera(np.array([7.5, 0.01, -0.02]), np.array([[0.4, 0, 20.0], [0, 0.4, -35], [0, 0, 1]]), (640, 480))
    driver = ortho_scale_driver(spec)
    for x, y, p, q in ((1920, 1080, 1.0, 1.0), (480, 640, 1.0, 1.0), (100, 1000, 1.0, 2.0), (720, 576, 1.5, 1.0)):
        scale = eval(driver.expression, {"max": max, "x": x, "y": y, "p": p, "q": q})
        assert metres_per_pixel(scale, (640, 480), (x, y), (p, q)) == pytest.approx(spec.metres_per_pixel, rel=1e-6)
