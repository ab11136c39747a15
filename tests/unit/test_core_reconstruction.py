"""The steps of a reconstruction and the camera of its photo: pure logic of the add-on."""

from __future__ import annotations

import numpy as np
import pytest

from deca_blender.client import BackendDied, RequestCancelled, RequestFailed
from deca_blender.core.photo_camera import photo_camera
from deca_blender.core.reconstruction import reconstruct_photos, wait_for_outcomes
from deca_blender.protocol.camera import photo_matrix


class Job:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def wait(self) -> object:
        return self.result()

    def result(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Reply:
    def __init__(self, *faces: str) -> None:
        self.faces, self.notices, self.picture, self.sheet = faces, ("told",), "picture", None


class Session:
    """Answers from a list, in order; remembers what was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers, self.asked = list(answers), []

    def submit(self, request: object) -> Job:
        self.asked.append(request)
        return Job(self.answers.pop(0))


def test_photos_follow_one_another_past_failures() -> None:
    failure = RequestFailed("NoFaceError", "No face.")
    session = Session("head", Reply("a"), failure, Reply("c", "d"))
    outcomes = list(wait_for_outcomes(reconstruct_photos(session, ["1", "2", "3"], 512, 4)))  # type: ignore[arg-type]
    assert [outcome.photo for outcome in outcomes] == ["1", "2", "3"]
    assert [outcome.faces for outcome in outcomes] == [("a",), (), ("c", "d")]
    assert [outcome.error for outcome in outcomes] == [None, failure, None]
    assert [outcome.notices for outcome in outcomes] == [("told",), (), ("told",)]
    assert [outcome.picture for outcome in outcomes] == ["picture", None, "picture"]
    assert [type(request).__name__ for request in session.asked] == ["DescribeHead"] + 3 * ["ReconstructPhoto"]
    assert (session.asked[1].texture_size, session.asked[1].max_faces) == (512, 4)


def test_head_is_asked_for_again_after_the_backend_died() -> None:
    session = Session(BackendDied("gone"), "head", Reply("b"))
    first, second = wait_for_outcomes(reconstruct_photos(session, ["1", "2"]))  # type: ignore[arg-type]
    assert "gone" in str(first.error) and second.error is None and second.faces == ("b",)


def test_a_head_that_is_known_is_not_asked_for() -> None:
    session = Session(Reply("a"))
    (outcome,) = wait_for_outcomes(reconstruct_photos(session, ["1"], described="head"))  # type: ignore[arg-type]
    assert outcome.head == "head" and outcome.faces == ("a",) and len(session.asked) == 1


def test_cancelling_ends_the_batch() -> None:
    session = Session("head", RequestCancelled("Cancelled."))
    with pytest.raises(RequestCancelled):
        list(wait_for_outcomes(reconstruct_photos(session, ["1", "2"])))  # type: ignore[arg-type]
    assert len(session.asked) == 2


def test_camera_shows_points_where_the_photo_has_them() -> None:
    """The camera's picture, computed from its matrix and scale alone, against the projection."""
    angle = 0.4
    crop = np.array([[0.3 * np.cos(angle), -0.3 * np.sin(angle), 9], [0.3 * np.sin(angle), 0.3 * np.cos(angle), -4]])
    crop = np.vstack([crop, [0, 0, 1]])
    deca = np.array([8.0, 0.01, -0.02])
    points = np.c_[np.random.default_rng(0).normal(scale=0.1, size=(50, 3)), np.ones(50)]
    for width, height in ((640, 480), (480, 640)):
        camera = photo_camera(deca, crop, (width, height))
        assert np.allclose(camera.matrix[:3, :3] @ camera.matrix[:3, :3].T, np.eye(3))
        assert np.linalg.det(camera.matrix[:3, :3]) == pytest.approx(1)
        seen = points @ np.linalg.inv(camera.matrix).T
        pixels = seen[:, :2] * [1, -1] / camera.metres_per_pixel + [width / 2, height / 2]
        assert np.abs(pixels - points @ photo_matrix(deca, crop).T).max() < 1e-9
        assert seen[:, 2].max() < 0, "points lie in front of the camera"


@pytest.mark.parametrize("crop", [np.diag([1.0, 2.0, 1.0]), np.diag([-1.0, 1.0, 1.0]), np.eye(3)[[1, 0, 2]]])
def test_crop_that_no_camera_shows_is_refused(crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match="crop"):
        photo_camera(np.array([8.0, 0, 0]), crop, (100, 100))
