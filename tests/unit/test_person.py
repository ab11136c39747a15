"""One identity of several photos: the joint fit, who the person is, what photos are merged to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from deca.appearance.merge import toned
from deca.errors import NoFaceError
from deca.head import HeadModel, load_head
from deca.reconstruct import priors
from deca.reconstruct.geometry import rotation
from deca.reconstruct.joint_fit import JointSolver, Marks, PersonGuess
from deca.reconstruct.landmark_head import NUM_POSE
from deca.reconstruct.merged_relief import merge_reliefs
from deca.reconstruct.models import Models
from deca.reconstruct.moving_relief import MovingRelief
from deca.reconstruct.noise import LandmarkNoise
from deca.reconstruct.person import reconstruct_person
from deca.reconstruct.same_person import same_person

SHAPES, EXPRESSIONS, SIGMA, SCALE = 8, 4, 5e-4, 900.0
FAR = 1e6  # focal length in pixels at which the perspective vanishes


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def solver(head: HeadModel) -> JointSolver:
    noise = LandmarkNoise.plain(478, SHAPES + EXPRESSIONS + 1, SIGMA, SIGMA)
    return JointSolver(head, noise=noise, num_shape=SHAPES, num_expression=EXPRESSIONS)


def project(solver: JointSolver, codes_PK: NDArray, pose_P7: NDArray, view_P6: NDArray) -> NDArray:
    """Landmarks (P, 478, 2) of orthographic photos: root axis-angle, log of the pixels per metre, shift."""
    points_PL3 = solver.reduced.positions(codes_PK, pose_P7) @ rotation(view_P6[:, :3]).transpose(0, 2, 1)
    return np.exp(view_P6[:, 3, None, None]) * points_PL3[..., :2] * (1, -1) + view_P6[:, None, 4:]


def photographed(solver: JointSolver, shape_S: NDArray, count: int, seed: int) -> list[Marks]:
    """A person from several sides with several expressions, and landmarks that err."""
    rng = np.random.default_rng(seed)
    photos = []
    for yaw in np.linspace(-0.5, 0.5, count):
        codes_K = np.concatenate((shape_S, rng.normal(0, 0.5, EXPRESSIONS)))
        pose_7 = np.array([rng.uniform(0.02, 0.2), 0, 0, 0.05, 0.05, 0.05, 0.05])
        view_6 = np.array([rng.normal(0, 0.1), yaw, rng.normal(0, 0.1), np.log(SCALE), 210, 190])
        points_L2 = project(solver, codes_K[None], pose_7[None], view_6[None])[0]
        photos.append(Marks(points_L2 + rng.normal(0, SIGMA * SCALE, points_L2.shape), (400, 400), FAR))
    return photos


def dense_fit(solver: JointSolver, photos: list[Marks]) -> NDArray:
    """The shape by one least-squares problem over all parameters, in pixels, with numerical derivatives."""
    codes = priors.precision(solver.reduced)
    own = np.linalg.cholesky(codes[SHAPES:, SHAPES:]).T
    rest = EXPRESSIONS + NUM_POSE

    seen_PL2 = np.stack([np.asarray(photo.points_L2) for photo in photos])

    def residuals(x: NDArray) -> NDArray:
        mine = x[SHAPES:].reshape(len(photos), -1)
        codes_PK = np.hstack((np.tile(x[:SHAPES], (len(photos), 1)), mine[:, :EXPRESSIONS]))
        points_PL2 = project(solver, codes_PK, mine[:, EXPRESSIONS:rest], mine[:, rest:])
        difference_PL2 = (points_PL2 - seen_PL2)[:, solver._placed_L] / SCALE / SIGMA
        squared_PL1 = (difference_PL2**2).sum(2, keepdims=True)
        robust_PL2 = difference_PL2 / np.sqrt(1 + squared_PL1 / 16)  # Geman-McClure
        return np.concatenate((x[:SHAPES], robust_PL2.ravel(), (mine[:, :rest] @ own.T).ravel()))

    start = np.concatenate([np.zeros(rest), [0, 0, 0, np.log(SCALE), 210, 190]])
    yaws = np.linspace(-0.5, 0.5, len(photos))
    starts = [start + np.eye(rest + 6)[rest + 1] * yaw for yaw in yaws]
    return least_squares(residuals, np.concatenate([np.zeros(SHAPES), *starts]), method="trf").x[:SHAPES]


def test_joint_shape_is_that_of_one_dense_problem_and_beats_the_best_single_one(solver: JointSolver) -> None:
    shape_S = np.random.default_rng(0).normal(0, 1, SHAPES)
    photos = photographed(solver, shape_S, 4, 1)
    joint_S = solver.fit_shape(photos)
    np.testing.assert_allclose(joint_S, dense_fit(solver, photos), atol=0.003)

    def miss(found_S: NDArray) -> float:
        return float(np.linalg.norm(found_S - shape_S))

    singles = [miss(solver.fit_shape([photo])) for photo in photos]
    assert miss(joint_S) < 0.75 * min(singles), (miss(joint_S), singles)


def test_each_photo_keeps_the_joint_shape_and_its_own_pose(solver: JointSolver) -> None:
    shape_S = np.random.default_rng(2).normal(0, 1, SHAPES)
    photos = photographed(solver, shape_S, 3, 3)
    fit = solver.fit_held(photos, shape_S, np.zeros((3, 0)), np.zeros((3, 3)))
    assert (fit.shape_BS == shape_S).all() and (fit.error_B < 0.01).all()
    np.testing.assert_allclose(fit.pose_B53[:, 0, 1], (-0.5, 0, 0.5), atol=0.05)


def test_a_sure_guess_is_kept(solver: JointSolver) -> None:
    photos = photographed(solver, np.ones(SHAPES), 2, 4)
    guess = PersonGuess(np.zeros(SHAPES), np.zeros((2, 0)), np.zeros((2, 3)), sigma=1e-3)
    assert np.abs(solver.fit_shape(photos, guess)).max() < 0.01


def test_the_person_is_whom_most_photos_show() -> None:
    rng = np.random.default_rng(0)
    ann, bob, cid = np.eye(3, 8)  # 1.4 apart

    def seen(*people: NDArray) -> list[NDArray]:
        return [person + rng.normal(0, 0.05, 8) for person in people]

    assert same_person([seen(bob, ann), seen(ann), [], seen(cid), seen(bob, cid, ann)]) == [1, 0, None, None, 2]
    assert same_person([seen(ann), seen(bob)]) == [0, None]  # nobody in particular: the first photo's
    assert same_person([[], []]) == [None, None] and same_person([]) == []


def test_without_any_face_all_photos_are_named(head: HeadModel, tmp_path: Path) -> None:
    from PIL import Image

    broken, empty = tmp_path / "broken é.jpg", tmp_path / "nobody.png"
    broken.write_text("no picture")
    Image.fromarray(np.full((200, 200, 3), 127, np.uint8)).save(empty)
    with pytest.raises(NoFaceError) as caught:
        reconstruct_person([broken, empty, broken], models=Models(head))
    message = caught.value.message
    assert message.count("broken é.jpg is not a picture") == 1 and "No face was found on" in message


def relief(depth: float, certainty: float, activity: float) -> MovingRelief:
    cells = np.ones((64, 64), np.float32)
    return MovingRelief(np.full((256, 256), depth, np.float32), certainty * cells, activity * cells)


def test_the_relief_of_the_photo_that_knows_is_taken_as_it_is() -> None:
    sure, unsure = relief(1e-4, 0.9, 2e-4), relief(-3e-4, 0.1, 1e-4)
    merged = merge_reliefs([unsure, sure], [1.0, 1.0])
    np.testing.assert_allclose(merged.displacement_HW, 1e-4, rtol=0.01)
    np.testing.assert_allclose(merged.activity_PQ, 2e-4, rtol=0.01)
    assert merge_reliefs([sure], [0.5]) is sure


def test_reliefs_of_one_line_at_two_strengths_are_one_line() -> None:
    """The same skin, folded more on one photo: brought to one expression both say the same."""
    from deca.reconstruct.moving_relief import ACTIVITY_FLOOR

    weak, strong = 1e-4, 2e-4
    deeper = 1e-4 * ((strong + ACTIVITY_FLOOR) / (weak + ACTIVITY_FLOOR))
    merged = merge_reliefs([relief(1e-4, 0.5, weak), relief(deeper, 0.5, strong)], [1.0, 1.0])
    at = float(merged.activity_PQ[0, 0])
    expected = 1e-4 * ((at + ACTIVITY_FLOOR) / (weak + ACTIVITY_FLOOR))
    np.testing.assert_allclose(merged.displacement_HW, expected, rtol=1e-3)


def test_tone_is_that_of_the_overlap_whatever_a_fifth_of_it_shows() -> None:
    rng = np.random.default_rng(0)
    skin = np.clip(0.5 + 0.05 * rng.normal(size=(64, 64, 3)), 0, 1).astype(np.float32)
    warm = skin * np.array([1.2, 1.0, 0.8], np.float32)
    overlap = np.zeros((64, 64), np.float32)
    overlap[:, :32] = 1
    spotted = warm.copy()
    spotted[::5, :32] = 1.0
    toned_HW3 = toned(spotted, skin, overlap)
    assert np.abs(toned_HW3[:, 40:] - skin[:, 40:]).mean() < 0.05 < np.abs(warm - skin).mean()
    assert toned(warm, skin, 0 * overlap) is warm
