"""The landmark fit: exactness on known heads, derivatives, outliers, batches, symmetry, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.head.model import Part
from deca.reconstruct import priors
from deca.reconstruct.fit import Guess, LandmarkError, LandmarkSolver, fit_landmarks
from deca.reconstruct.fit_result import HELD
from deca.reconstruct.geometry import rotation, rotation_derivatives, turn, view_angles
from deca.reconstruct.landmark_head import LandmarkHead
from deca.reconstruct.noise import FACE_OVAL, LandmarkNoise, interior_landmarks, yaw_weights

SIZE = (400, 400)
SCALE, OFFSET = 900.0, np.array([210.0, 190.0])
FAR = 1e5  # focal length in pixels at which the perspective vanishes


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def exact(head: HeadModel) -> LandmarkSolver:
    """A solver for landmarks that are where the surface points are, to a tenth of a millimetre."""
    return LandmarkSolver(head, noise=LandmarkNoise.plain(478, 151, sigma=1e-4, contour_sigma=1e-4))


def codes(rng: np.random.Generator, count: int) -> tuple[NDArray, NDArray, NDArray]:
    shape = np.clip(rng.normal(0, 1, (count, 100)), -2.5, 2.5)
    pose = np.zeros((count, 5, 3))
    pose[:, 0] = rng.normal(0, (0.1, 0.3, 0.1), (count, 3))
    pose[:, 2, 0] = rng.uniform(0.05, 0.35, count)
    pose[:, 3:, :2] = rng.normal(0, 0.1, (count, 1, 2))
    return shape, rng.normal(0, 0.4, (count, 50)), pose


def vertices(head: HeadModel, shape: NDArray, expression: NDArray, pose: NDArray) -> NDArray:
    layer = HeadLayer(head)
    with torch.no_grad():
        return layer(*(torch.as_tensor(x, dtype=torch.float32) for x in (shape, expression, pose))).numpy()


def photographed(head: HeadModel, verts_BV3: NDArray) -> NDArray:
    """Landmarks (B, 478, 2) on an orthographic photo."""
    points = np.stack([head.landmarks_478.positions(v, head.faces_F3) for v in verts_BV3]).astype(np.float64)
    return SCALE * points[..., :2] * (1, -1) + OFFSET


def found(head: HeadModel, verts_BV3: NDArray, pose_B53: NDArray) -> NDArray:
    """The same as the network finds them: with its bias, which turns with the head's roll."""
    roll_B, yaw_B, pitch_B = view_angles(rotation(pose_B53[:, 0]))
    bias_BL2 = LandmarkSolver(head).noise.bias(yaw_B, pitch_B) @ turn(roll_B).transpose(0, 2, 1)
    return photographed(head, verts_BV3) + SCALE * bias_BL2 * (1, -1)


@pytest.mark.parametrize("joints_follow_expression", [False, True])
def test_reduced_head_equals_the_whole_head(head: HeadModel, joints_follow_expression: bool) -> None:
    head = replace(head, joints_follow_expression=joints_follow_expression)
    shape, expression, pose = codes(np.random.default_rng(0), 3)
    reduced = LandmarkHead(head, head.landmarks_478)
    small_pose = np.hstack((pose[:, 2], pose[:, 3, :2], pose[:, 4, :2]))
    rest = reduced.positions(np.hstack((shape, expression)), small_pose)
    root = reduced.root_3 + np.hstack((shape, expression)) @ reduced.root_dirs_K3
    points = rest @ rotation(pose[:, 0]).transpose(0, 2, 1) + root[:, None]
    verts = vertices(head, shape, expression, pose)
    expected = np.stack([head.landmarks_478.positions(v, head.faces_F3) for v in verts])
    np.testing.assert_allclose(points, expected, atol=2e-6)


def test_derivatives_of_rotations() -> None:
    axis = np.vstack((np.zeros(3), np.random.default_rng(1).normal(0, 1, (4, 3))))
    derivative = rotation_derivatives(axis, rotation(axis))
    for i in range(3):
        step = 1e-6 * np.eye(3)[i]
        expected = (rotation(axis + step) - rotation(axis - step)) / 2e-6
        np.testing.assert_allclose(derivative[:, i], expected, atol=1e-8)


def test_jacobian_equals_finite_differences(head: HeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the residuals with respect to every parameter, with perspective and the calibrated noise, mid-fit."""
    solver = LandmarkSolver(head)
    seen: dict = {}

    def spy(self, state, data, *args):
        seen.update(state=state, data=data)
        return original(self, state, data, *args)

    original = LandmarkSolver._step
    monkeypatch.setattr(LandmarkSolver, "_step", spy)
    landmarks = photographed(head, vertices(head, *codes(np.random.default_rng(2), 1)))
    solver.fit(landmarks, SIZE, focal_px=600.0, trace=False)
    state, data = seen["state"], seen["data"]
    jacobian = solver.jacobian(state, data)
    for parameter in range(jacobian.shape[-1]):
        step = np.zeros((1, jacobian.shape[-1]))
        step[0, parameter] = 1e-5
        ahead, behind = (solver._residuals(state.stepped(sign * step), data) for sign in (1, -1))
        expected = (ahead - behind) / 2e-5
        bound = 1e-5 * max(np.abs(expected).max(), 1.0)
        np.testing.assert_allclose(jacobian[..., parameter], expected, atol=bound, err_msg=f"parameter {parameter}")


@pytest.fixture(scope="module")
def nodding(head: HeadModel) -> HeadModel:
    """A head that turns about a point of its lower lip, which goes where the expression moves it."""
    regressor_JV = head.joint_regressor_JV.copy()
    regressor_JV[0] = 0
    regressor_JV[0, head.faces_F3[head.landmarks_478.faces[17], 0]] = 1
    return replace(head, joint_regressor_JV=regressor_JV, joints_follow_expression=True)


@pytest.mark.parametrize("kind", ["head", "nodding"])
def test_finds_known_heads_again(kind: str, request: pytest.FixtureRequest) -> None:
    head = request.getfixturevalue(kind)
    solver = LandmarkSolver(head, noise=LandmarkNoise.plain(478, 151, sigma=1e-4, contour_sigma=1e-4))
    shape, expression, pose = codes(np.random.default_rng(3), 4)
    truth = vertices(head, shape, expression, pose)
    landmarks = photographed(head, truth)
    fit = solver.fit(landmarks, SIZE, focal_px=FAR, max_iterations=40, trace=False)
    assert fit.error_B.max() < 2e-3
    np.testing.assert_allclose(fit.pose_B53[:, 0], pose[:, 0], atol=0.02)
    np.testing.assert_allclose(fit.pose_B53[:, 2, 0], pose[:, 2, 0], atol=0.02)
    np.testing.assert_allclose(fit.pose_B53[:, 3:], pose[:, 3:], atol=0.03)
    assert not fit.pose_B53[:, 1].any()
    fitted = vertices(head, fit.shape_BS, fit.expression_BE, fit.pose_B53)
    skin = np.unique(head.faces_F3[head.landmarks_478.faces[interior_landmarks()]])
    photo = fit.scale_B[:, None, None] * fitted[:, skin, :2] * (1, -1) + fit.offset_B2[:, None]
    expected = SCALE * truth[:, skin, :2] * (1, -1) + OFFSET
    assert np.linalg.norm(photo - expected, axis=2).mean() < 0.5e-3 * SCALE


def test_perspective_is_undone(head: HeadModel, exact: LandmarkSolver) -> None:
    """A head photographed from 0.6 m: knowing the lens gives a nearer shape than taking it for far away."""
    shape, expression, pose = codes(np.random.default_rng(4), 4)
    truth = vertices(head, shape, 0 * expression, pose)
    points = np.stack([head.landmarks_478.positions(v, head.faces_F3) for v in truth]).astype(np.float64)
    focal, distance = 540.0, 0.6
    landmarks = focal * points[..., :2] * (1, -1) / (distance - points[..., 2:]) + 200
    errors = []
    for lens in (focal, FAR):
        fit = exact.fit(landmarks, SIZE, focal_px=lens, max_iterations=40, trace=False)
        errors.append(np.linalg.norm(fit.shape_BS[:, :20] - shape[:, :20], axis=1).mean())
    assert errors[0] < 0.5 * errors[1]


def test_one_landmark_in_five_may_be_wrong(head: HeadModel) -> None:
    rng = np.random.default_rng(5)
    shape, expression, pose = codes(rng, 4)
    landmarks = photographed(head, vertices(head, shape, expression, pose)) + rng.normal(0, 0.5, (4, 478, 2))
    wrong = landmarks.copy()
    chosen = rng.choice(478, 478 // 5, replace=False)
    wrong[:, chosen] += rng.normal(0, 40, (4, len(chosen), 2))
    solver = LandmarkSolver(head, noise=LandmarkNoise.plain(478, 151))
    good, robust = (solver.fit(points, SIZE, focal_px=FAR) for points in (landmarks, wrong))
    drift = np.linalg.norm(photographed_with(head, robust) - photographed_with(head, good), axis=2)
    assert drift.mean() < 0.002 * SCALE  # two millimetres
    assert np.abs(robust.pose_B53[:, 0] - good.pose_B53[:, 0]).max() < np.radians(4)


def photographed_with(head: HeadModel, fit) -> NDArray:
    verts = vertices(head, fit.shape_BS, fit.expression_BE, fit.pose_B53)
    return fit.scale_B[:, None, None] * verts[..., :2] * (1, -1) + fit.offset_B2[:, None]


def test_untrusted_landmarks_do_not_matter(head: HeadModel) -> None:
    landmarks = photographed(head, vertices(head, *codes(np.random.default_rng(6), 1)))
    confidence = np.ones((1, 478))
    confidence[:, 100:150] = 0
    moved = landmarks.copy()
    moved[:, 100:150] += 37.0
    one, other = (fit_landmarks(points, SIZE, head, confidence_BL=confidence) for points in (landmarks, moved))
    np.testing.assert_allclose(one.shape_BS, other.shape_BS, atol=1e-6)


def test_a_batch_equals_its_faces_alone(head: HeadModel) -> None:
    landmarks = photographed(head, vertices(head, *codes(np.random.default_rng(7), 3)))
    together = fit_landmarks(landmarks, SIZE, head)
    for i in range(3):
        alone = fit_landmarks(landmarks[i : i + 1], SIZE, head)
        for name in ("shape_BS", "expression_BE", "pose_B53", "scale_B", "offset_B2", "error_B"):
            np.testing.assert_allclose(getattr(together, name)[i], getattr(alone, name)[0], atol=1e-4, rtol=1e-5)


def test_the_joint_opens_the_mouth(head: HeadModel) -> None:
    """An open mouth is a turn of the jaw, not an expression."""
    pose = np.zeros((2, 5, 3))
    pose[:, 2, 0] = np.radians([8, 18])
    landmarks = photographed(head, vertices(head, np.zeros((2, 100)), np.zeros((2, 50)), pose))
    fit = fit_landmarks(landmarks, SIZE, head, focal_px=FAR)
    np.testing.assert_allclose(np.degrees(fit.pose_B53[:, 2, 0]), [8, 18], atol=4)


def test_the_jaw_hardly_slides(head: HeadModel) -> None:
    """People of the priors push their lower teeth about by a millimetre, not by the half centimetre of free codes."""
    reduced = LandmarkHead(head, head.landmarks_478)
    expression = slice(reduced.num_shape, reduced.num_codes)
    lower_V = head.parts_V == Part.TEETH_LOWER
    moved_V3E = 1000 * head.expression_dirs_V3E[lower_V][..., : reduced.num_expression]
    spread_EE = np.linalg.inv(priors.precision(reduced)[expression, expression])
    codes_BE = np.random.default_rng(3).multivariate_normal(np.zeros(len(spread_EE)), spread_EE, 2000)
    by_prior_B3, free_B3 = ((moved_V3E @ codes.T).mean(0).T for codes in (codes_BE, np.eye(len(spread_EE))))
    assert by_prior_B3.std(0).max() < 1.0
    assert np.linalg.norm(free_B3, axis=0).max() > 2.0


def test_moves_and_turns_with_the_photo(head: HeadModel) -> None:
    """Shifting, scaling and rolling the landmarks changes the camera and the root, not the person."""
    landmarks = photographed(head, vertices(head, *codes(np.random.default_rng(8), 1)))
    angle = 0.6
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = 3.0 * (landmarks - 200) @ turn.T + (500, 700)
    one = fit_landmarks(landmarks, SIZE, head)
    other = fit_landmarks(moved, (1200, 1400), head)
    np.testing.assert_allclose(other.shape_BS, one.shape_BS, atol=5e-3)
    np.testing.assert_allclose(other.scale_B, 3.0 * one.scale_B, rtol=1e-3)
    roll = [view_angles(rotation(fit.pose_B53[:, 0]))[0][0] for fit in (one, other)]
    assert roll[0] - roll[1] == pytest.approx(angle, abs=1e-3)  # clockwise on the screen is negative roll


def test_coefficients_stay_human(head: HeadModel) -> None:
    """Landmarks of no head on earth still give coefficients within the soft limits."""
    landmarks = photographed(head, vertices(head, np.full((1, 100), 0.0), np.zeros((1, 50)), np.zeros((1, 5, 3))))
    landmarks = (landmarks - 200) * (1.25, 0.85) + 200
    fit = fit_landmarks(landmarks, SIZE, head)
    assert np.abs(fit.shape_BS).max() <= 3.0
    assert np.abs(fit.expression_BE).max() <= 4.0


def test_a_disturbed_guess_reaches_the_landmarks_as_the_fit_does(head: HeadModel) -> None:
    rng = np.random.default_rng(10)
    shape, expression, pose = codes(rng, 3)
    landmarks = photographed(head, vertices(head, shape, expression, pose)) + rng.normal(0, 0.4, (3, 478, 2))
    alone = fit_landmarks(landmarks, SIZE, head)
    for strength in (0.0, 0.5, 1.0):
        guess = Guess(
            shape + rng.normal(0, strength, shape.shape),
            expression + rng.normal(0, strength, expression.shape),
            pose[:, 2] + rng.normal(0, 0.1 * strength, (3, 3)),
        )
        refined = fit_landmarks(landmarks, SIZE, head, guess=guess)
        assert (refined.error_B < alone.error_B + 0.002).all(), strength
        assert np.abs(refined.expression_BE).max() <= 4.0 and np.abs(refined.shape_BS).max() <= 3.0


def test_the_identity_stays_near_the_guess(head: HeadModel) -> None:
    """Where a guess knows the person, the fit keeps that: it ends nearer to the truth than the landmarks alone."""
    rng = np.random.default_rng(11)
    shape, expression, pose = codes(rng, 3)
    landmarks = found(head, vertices(head, shape, expression, pose), pose) + rng.normal(0, 0.4, (3, 478, 2))
    seen = shape + rng.normal(0, 0.3, shape.shape)
    wrong_expression, wrong_jaw = 0 * expression, pose[:, 2] + (0.1, 0, 0)
    refined = fit_landmarks(landmarks, SIZE, head, guess=Guess(seen, wrong_expression, wrong_jaw))
    alone = fit_landmarks(landmarks, SIZE, head)

    def miss(fit) -> NDArray:
        return np.linalg.norm(fit.shape_BS - shape, axis=1)

    assert (miss(refined) < 0.6 * miss(alone)).all()
    other = fit_landmarks(landmarks, SIZE, head, guess=Guess(-seen, wrong_expression, wrong_jaw))
    assert ((refined.shape_BS * seen).sum(1) > 0.5 * (seen**2).sum(1)).all()
    assert ((other.shape_BS * seen).sum(1) < (refined.shape_BS * seen).sum(1)).all()


def test_the_bias_of_landmarks_is_no_expression(head: HeadModel) -> None:
    """Neutral heads whose landmarks are where the network puts them stay neutral; without its bias they would not."""
    rng = np.random.default_rng(12)
    shape, expression, pose = codes(rng, 3)
    expression[:], pose[:, 1:] = 0, 0
    verts = vertices(head, shape, expression, pose)
    guess = Guess(shape, expression, pose[:, 2], HELD)
    biased, exact = (
        fit_landmarks(at, SIZE, head, guess=guess) for at in (found(head, verts, pose), photographed(head, verts))
    )
    assert (biased.error_B < 0.6 * exact.error_B).all(), (biased.error_B, exact.error_B)
    sizes = [np.linalg.norm(fit.expression_BE, axis=1) for fit in (biased, exact)]
    assert sizes[0].mean() < 0.5 * sizes[1].mean(), sizes


def test_an_impossible_guess_becomes_a_possible_head(head: HeadModel) -> None:
    """The fit keeps the identity near the guess: it must start within what people look like."""
    landmarks = photographed(head, vertices(head, *codes(np.random.default_rng(14), 1)))
    sign = np.random.default_rng(0).choice((-1, 1), 100)[None]
    guess = Guess(40.0 * sign, np.full((1, 50), -40.0), np.array([[3.0, 2.0, -2.0]]))
    fit = fit_landmarks(landmarks, SIZE, head, guess=guess)
    assert np.abs(fit.shape_BS).max() <= 3.5 and np.abs(fit.expression_BE).max() <= 4.5
    assert np.abs(fit.pose_B53[:, 2]).max() < 1


def test_a_short_guess_is_filled_up(head: HeadModel) -> None:
    landmarks = photographed(head, vertices(head, *codes(np.random.default_rng(12), 1)))
    short = Guess(np.ones((1, 20)), np.zeros((1, 10)), np.zeros((1, 3)))
    long = Guess(np.r_[np.ones(20), np.zeros(80)][None], np.zeros((1, 50)), np.zeros((1, 3)))
    np.testing.assert_array_equal(
        *(fit_landmarks(landmarks, SIZE, head, guess=guess).shape_BS for guess in (short, long))
    )


def test_single_faces_can_be_replaced(head: HeadModel) -> None:
    landmarks = photographed(head, vertices(head, *codes(np.random.default_rng(13), 3)))
    one = fit_landmarks(landmarks, SIZE, head)
    other = fit_landmarks(landmarks[:1] + 5.0, SIZE, head)
    mixed = one.replaced(np.array([1]), other)
    np.testing.assert_array_equal(mixed.offset_B2, [one.offset_B2[0], other.offset_B2[0], one.offset_B2[2]])
    np.testing.assert_array_equal(mixed.take(np.array([False, True, False])).shape_BS, other.shape_BS)
    assert not (one.offset_B2[1] == other.offset_B2[0]).any()


def test_no_faces(head: HeadModel) -> None:
    fit = fit_landmarks(np.zeros((0, 478, 2)), SIZE, head)
    assert fit.shape_BS.shape == (0, 100) and fit.pose_B53.shape == (0, 5, 3)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda lm: lm[:, :468], "shape"),
        (lambda lm: np.where(np.arange(478)[:, None] == 7, np.nan, lm), "finite"),
        (lambda lm: np.full_like(lm, 5.0), "within one pixel"),
    ],
)
def test_bad_landmarks(head: HeadModel, spoil, words: str) -> None:
    landmarks = photographed(head, head.template_V3[None])
    with pytest.raises(LandmarkError, match=words):
        fit_landmarks(spoil(landmarks), SIZE, head)


@pytest.mark.parametrize("options", [{"focal_px": -3.0}, {"confidence_BL": np.zeros((1, 478))}, {"confidence_BL": 1.0}])
def test_bad_options(head: HeadModel, options: dict) -> None:
    with pytest.raises(LandmarkError):
        fit_landmarks(photographed(head, head.template_V3[None]), SIZE, head, **options)


def test_noise_of_another_head_is_refused(head: HeadModel, tmp_path) -> None:
    from deca.assets import asset

    path = asset("openhead/landmark_noise.safetensors")
    assert LandmarkNoise.load(path, head).bias_FL2.shape == (6, 478, 2)
    with pytest.raises(AssetError, match="was made for openhead"):
        LandmarkNoise.load(path, replace(head, name="other"))
    (tmp_path / "broken.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(AssetError, match="could not be read"):
        LandmarkNoise.load(tmp_path / "broken.safetensors")


def test_noise_is_a_covariance(head: HeadModel) -> None:
    from deca.assets import asset

    noise = LandmarkNoise.load(asset("openhead/landmark_noise.safetensors"), head)
    assert np.linalg.eigvalsh(noise.covariance_YL22).min() > 0
    whitening = noise.whitening(np.array([0.0]))[0]
    product = whitening @ noise.covariance_YL22[2] @ whitening.transpose(0, 2, 1)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(2), product.shape), atol=1e-6)
    np.testing.assert_allclose(yaw_weights(np.linspace(-2, 2, 9)).sum(1), 1)
    assert not np.isin(FACE_OVAL, interior_landmarks()).any()
