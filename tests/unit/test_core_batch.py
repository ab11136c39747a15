"""The plan of a batch, the steps of a reconstruction, photo orientation, requirements: pure logic of the add-on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deca_blender.client import BackendDied, RequestCancelled, RequestFailed
from deca_blender.core import batch
from deca_blender.core.exif import jpeg_orientation, turn_upright
from deca_blender.core.photo_camera import photo_camera, photo_matrix
from deca_blender.core.reconstruction import reconstruct_photos, wait_for_outcomes


def test_folders_are_expanded_by_name_and_reported_when_empty(tmp_path: Path) -> None:
    (tmp_path / "photos" / "sub.jpg").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("b.JPG", "ä 1.png", "notes.txt", "a.webp"):
        (tmp_path / "photos" / name).touch()
    (tmp_path / "photos" / "sub.jpg" / "c.jpg").touch()
    out = tmp_path / "out"
    planned, problems = batch.plan([tmp_path / "photos", tmp_path / "empty", tmp_path / "missing.jpg"], out)
    assert [item.photo.name for item in planned] == ["a.webp", "b.JPG", "ä 1.png", "missing.jpg"]
    assert planned[2].blend == out / "ä 1.blend"
    assert [problem.path for problem in problems] == [tmp_path / "empty"] and "holds no photo" in problems[0].message


def test_output_names_never_collide(tmp_path: Path) -> None:
    photos = [Path("a/x.jpg"), Path("b/X.png"), Path("x_2.jpg"), Path("x.bmp"), Path("x_2.png")]
    planned, _ = batch.plan(photos, tmp_path)
    names = [item.blend.name for item in planned]
    assert names[0] == "x.blend" and len({name.casefold() for name in names}) == len(photos)


def test_report_lines_are_json_of_one_line() -> None:
    item = batch.PlannedPhoto(Path("/p/é\n.jpg"), Path("/o/é.blend"))
    lines = [
        batch.success_line(item, 0.0123456, 1.239),
        batch.failure_line(item.photo, "a\nb"),
        batch.summary_line(2, 1),
    ]
    assert not any("\n" in line for line in lines)
    good, bad, summary = map(json.loads, lines)
    assert good == {"photo": "/p/é\n.jpg", "ok": True, "out": "/o/é.blend", "landmark_error": 0.01235, "seconds": 1.24}
    assert (bad["ok"], bad["error"]) == (False, "a\nb") and summary == {"summary": {"photos": 2, "failed": 1}}


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
        self.faces, self.notices = faces, ("told",)


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
    assert [type(request).__name__ for request in session.asked] == ["DescribeHead"] + 3 * ["ReconstructPhoto"]
    assert (session.asked[1].texture_size, session.asked[1].max_faces) == (512, 4)


def test_head_is_asked_for_again_after_the_backend_died() -> None:
    session = Session(BackendDied("gone"), "head", Reply("b"))
    first, second = wait_for_outcomes(reconstruct_photos(session, ["1", "2"]))  # type: ignore[arg-type]
    assert "gone" in str(first.error) and second.error is None and second.faces == ("b",)


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
        pixels = seen[:, :2] * [1, -1] * max(width, height) / camera.ortho_scale + [width / 2, height / 2]
        assert np.abs(pixels - points @ photo_matrix(deca, crop).T).max() < 1e-9
        assert seen[:, 2].max() < 0, "points lie in front of the camera"


@pytest.mark.parametrize("crop", [np.diag([1.0, 2.0, 1.0]), np.diag([-1.0, 1.0, 1.0]), np.eye(3)[[1, 0, 2]]])
def test_crop_that_no_camera_shows_is_refused(crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match="crop"):
        photo_camera(np.array([8.0, 0, 0]), crop, (100, 100))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_pillow(orientation: int, tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    ops = pytest.importorskip("PIL.ImageOps")
    stored = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    image = image_module.fromarray(stored)
    exif = image_module.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "é.jpg"
    image.save(path, exif=exif)
    assert jpeg_orientation(path) == orientation
    exact = image_module.fromarray(stored)
    exact.getexif()[0x0112] = orientation
    assert np.array_equal(turn_upright(stored, orientation), np.asarray(ops.exif_transpose(exact)))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\x00\x0aExif\0\0", b"\xff\xd8\xff\xe1\xff", b"PNG"]
)
def test_orientation_of_damaged_files_is_upright(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert jpeg_orientation(path) == 1
    assert jpeg_orientation(tmp_path / "missing.jpg") == 1
