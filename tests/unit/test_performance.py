"""Videos: what is read of them, whom the tracker follows, and what the face is seen to do."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deca.errors import AssetError, NoFaceError
from deca.head import HeadModel, load_head
from deca.reconstruct.acted_units import ActedUnits
from deca.reconstruct.fit import solver_of
from deca.reconstruct.fit_result import FitResult
from deca.reconstruct.geometry import rotation
from deca.reconstruct.held_fit import HeldSolver
from deca.reconstruct.performance import track_performance
from deca.vision import tracking
from deca.vision.tracking import FaceTracker
from deca.vision.video import MAX_SIDE, VideoError, open_video
from tests.performances import RATE, Acted, act, faceless, frames_of, routine, write_video

COUNT = 9


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def acted(head: HeadModel) -> Acted:
    return act(head, COUNT)


@pytest.fixture(scope="module")
def pictures(head: HeadModel, acted: Acted) -> list[np.ndarray]:
    return frames_of(head, acted, size=160)


def _shades(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames that tell which way up and which they are: brighter with each, black in their upper left."""
    frames = [np.full((height, width, 3), 60 + 20 * index, np.uint8) for index in range(count)]
    for frame in frames:
        frame[: height // 2, : width // 2] = 0
    return frames


# ---- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi"])
def test_frames_of_a_file(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"Käse 映画{suffix}", _shades(6))
    video = open_video(path)
    frames = list(video.frames())
    assert video.rate == pytest.approx(RATE) and not video.has_audio and video.duration == pytest.approx(0.4, abs=0.05)
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(6) / RATE, atol=2e-3)
    for index, frame in enumerate(frames):
        assert frame.pixels is not None and frame.pixels.shape == (48, 64, 3)
        assert abs(int(frame.pixels[40, 50, 0]) - (60 + 20 * index)) < 12 and frame.pixels[5, 5].max() < 40


def test_phones_say_how_to_turn_their_frames(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "a.mp4", _shades(2), rotation=90))
    (pixels, *_) = [frame.pixels for frame in video.frames()]
    assert pixels is not None and pixels.shape == (64, 48, 3)
    assert pixels[-5, 5].max() < 40 and pixels[5, 5].min() > 40  # upper left, turned counter-clockwise


def test_a_part_of_a_file(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "a.mp4", _shades(8)))
    times = [frame.time for frame in video.frames(3 / RATE, 5 / RATE + 0.01)]
    np.testing.assert_allclose(times, np.array([3, 4, 5]) / RATE, atol=2e-3)


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "a.mp4", _shades(1, 1920, 1080)))
    (frame,) = video.frames()
    assert frame.pixels is not None and frame.pixels.shape == (720, MAX_SIDE, 3)


def test_numbered_pictures(tmp_path: Path) -> None:
    for number, shade in zip((8, 9, 11), _shades(3), strict=True):
        Image.fromarray(shade).save(tmp_path / f"shot_{number}.png")
    (tmp_path / "shot_10.png").write_bytes(b"no picture")
    Image.fromarray(_shades(1)[0]).save(tmp_path / "other_7.png")
    video = open_video(tmp_path / "shot_9.png", rate=25)
    frames = list(video.frames())
    assert [round(frame.time * 25) for frame in frames] == [0, 1, 2, 3] and video.duration == pytest.approx(4 / 25)
    assert [frame.pixels is not None for frame in frames] == [True, True, False, True]
    assert len(open_video(tmp_path).files) == 5


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.mp4", None, "could not be read"),
        ("text.mp4", b"no video", "could not be read"),
        ("empty.mov", b"", "could not be read"),
        ("folder", "", "no numbered pictures"),
    ],
)
def test_what_is_no_video_is_told(tmp_path: Path, name: str, content: bytes | str | None, told: str) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=told):
        list(open_video(path).frames())


def test_a_file_that_is_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.avi", [np.random.default_rng(i).integers(0, 255, (96, 96, 3), np.uint8) for i in range(12)]
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < len(list(open_video(path).frames())) < 12


def test_without_pyav_numbered_pictures_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    Image.fromarray(_shades(1)[0]).save(tmp_path / "1.png")
    assert len(list(open_video(tmp_path).frames())) == 1
    with pytest.raises(AssetError, match="PyAV"):
        open_video(tmp_path / "a.mp4")


# ---- the face ----------------------------------------------------------------------------------------------------


def _landmarks(head: HeadModel, acted: Acted) -> np.ndarray:
    """Where the landmarks of a performance exactly are, on frames of 512 pixels."""
    reduced, count = solver_of(head).reduced, len(acted.expression_FE)
    codes_FK = np.hstack((np.tile(acted.shape_S, (count, 1)), acted.expression_FE))
    pose_F7 = np.hstack((acted.pose_F53[:, 2], acted.pose_F53[:, 3:, :2].reshape(count, 4)))
    root_F33 = rotation(acted.pose_F53[:, 0])
    return (reduced.positions(codes_FK, pose_F7) @ root_F33.transpose(0, 2, 1))[..., :2] * (1000, -1000) + 256


def _moved(head: HeadModel, fit: FitResult | Acted) -> np.ndarray:
    """How far expression coefficients move the skin from where it is at most times, metres."""
    expression_FE = fit.expression_FE if isinstance(fit, Acted) else fit.expression_BE
    skin_FX = expression_FE @ head.expression_dirs_V3E[head.parts_V == 0, :, :50].reshape(-1, 50).T
    return skin_FX - np.median(skin_FX, axis=0)


def test_held_fit_finds_what_landmarks_do(head: HeadModel) -> None:
    """On exact landmarks of a known face; and in whatever order the frames come."""
    acted = routine(head, 20)
    landmarks_FL2 = _landmarks(head, acted)
    held = HeldSolver(head, acted.shape_S, is_acted=False).follow(landmarks_FL2, (512, 512))
    found_FX, acted_FX = _moved(head, held), _moved(head, acted)
    assert np.corrcoef(found_FX.ravel(), acted_FX.ravel())[0, 1] > 0.9
    assert 0.75 < np.vdot(found_FX, acted_FX) / np.vdot(acted_FX, acted_FX) < 1.1
    jaw_F, acted_jaw_F = held.pose_B53[:, 2, 0], acted.pose_F53[:, 2, 0]
    assert np.abs(jaw_F - acted_jaw_F).max() < 0.1 and np.corrcoef(jaw_F, acted_jaw_F)[0, 1] > 0.97
    np.testing.assert_allclose(held.shape_BS, np.tile(acted.shape_S, (len(jaw_F), 1)))
    turned = HeldSolver(head, acted.shape_S, is_acted=False).follow(landmarks_FL2[::-1], (512, 512))
    assert np.abs(_moved(head, turned)[::-1] - found_FX).max() < 1e-3


def test_what_a_face_always_looks_like_is_no_expression(head: HeadModel) -> None:
    """The network's error of one face is the same in all frames, and much larger than a brow moves."""
    acted = routine(head, 20)
    landmarks_FL2 = _landmarks(head, acted)
    error_L2 = np.random.default_rng(0).normal(0, 2.0, (478, 2))  # pixels, of 1 mm
    held = HeldSolver(head, acted.shape_S).follow(landmarks_FL2, (512, 512))
    other = HeldSolver(head, acted.shape_S).follow(landmarks_FL2 + error_L2, (512, 512))
    calm_F = np.max(list(acted.weights_F.values()), axis=0) < 0.02
    assert calm_F.sum() >= 3
    skin_VE = head.expression_dirs_V3E[head.parts_V == 0, :, :50]
    for fit in (held, other):
        assert np.linalg.norm(skin_VE @ fit.expression_BE[calm_F].T, axis=1).mean() < 4e-4
    assert np.corrcoef(_moved(head, held).ravel(), _moved(head, other).ravel())[0, 1] > 0.9


def test_lids_close_and_hide_the_gaze(head: HeadModel) -> None:
    """Blinks are found at their depth and nowhere else; irises drawn onto closed lids turn no eyes."""
    acted = routine(head, 20)
    landmarks_FL2, lids_F = _landmarks(head, acted), acted.weights_F["eyeBlinkLeft"]
    landmarks_FL2[lids_F > 0.6, 468:478, 1] += 8
    held = HeldSolver(head, acted.shape_S).follow(landmarks_FL2, (512, 512))
    units = ActedUnits.of(head, 50)
    assert units is not None
    weights_FU = held.expression_BE @ np.linalg.pinv(units.dirs_EU).T
    found_F = weights_FU[:, units.names.index("eyeBlinkLeft")]
    assert found_F[lids_F == 1].min() > 0.7 and found_F[lids_F == 0].max() < 0.2
    assert weights_FU.min() > -1e-3 and weights_FU.max() < 1 + 1e-3
    gaze_F = held.pose_B53[:, 3, 0]
    assert np.abs(gaze_F[lids_F > 0.6]).max() < np.abs(gaze_F[lids_F == 0]).max() + 1e-6


def test_heads_without_arkit_units_move_by_their_coefficients(head: HeadModel) -> None:
    acted = act(head, 10)
    bare = replace(head, arkit_map_K52=None, arkit_names=())
    held = HeldSolver(bare, acted.shape_S).follow(_landmarks(head, acted), (512, 512))
    found_FX, acted_FX = _moved(head, held), _moved(head, acted)
    assert held.expression_BE.shape == (10, 50) and np.corrcoef(found_FX.ravel(), acted_FX.ravel())[0, 1] > 0.8


def test_a_performance_is_what_was_acted(
    head: HeadModel, acted: Acted, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    find_faces = tracking.find_faces
    monkeypatch.setattr(tracking, "find_faces", lambda *args: looks.append(1) or find_faces(*args))
    shown = [*pictures[:5], *faceless(2, 160), *pictures[5:]]
    path = write_video(tmp_path / "a.mp4", shown)
    steps: list[float] = []
    done = track_performance(path, head, acted.shape_S, progress=lambda fraction, _: steps.append(fraction))
    assert steps == sorted(steps) and 0 <= steps[0] and steps[-1] <= 1
    assert done.seen_F.tolist() == [True] * 5 + [False] * 2 + [True] * 4
    assert not done.expression_FE[5:7].any() and len(looks) <= 3  # found, lost, found again; never while it is followed
    pose_F53 = done.pose_F53[done.seen_F]
    yaw_F, jaw_F = pose_F53[:, 0, 1], pose_F53[:, 2, 0]
    assert np.corrcoef(yaw_F, acted.pose_F53[:, 0, 1])[0, 1] > 0.98
    assert np.abs(yaw_F - acted.pose_F53[:, 0, 1]).max() < np.radians(8)
    assert np.corrcoef(jaw_F, acted.pose_F53[:, 2, 0])[0, 1] > 0.9 and jaw_F.max() > 0.5 * acted.pose_F53[:, 2, 0].max()
    # The network takes renders for people with a slight expression of their own; how it changes is what counts.
    dirs_XE = head.expression_dirs_V3E[head.parts_V == 0, :, :50].reshape(-1, 50)
    seen_FX, acted_FX = (codes_FE @ dirs_XE.T for codes_FE in (done.expression_FE[done.seen_F], acted.expression_FE))
    change = [(moved_FX[-1] - moved_FX[0]) for moved_FX in (seen_FX, acted_FX)]
    assert np.corrcoef(*change)[0, 1] > 0.6


def test_somebody_elses_identity_is_fitted(head: HeadModel, acted: Acted, tmp_path: Path) -> None:
    unlike_anybody = replace(acted, shape_S=2.5 * acted.shape_S)
    for number, picture in enumerate(frames_of(head, unlike_anybody, size=160)[3:6]):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    own = track_performance(tmp_path, head, None)
    _, y, z = head.template_V3.T
    face_V = (head.parts_V == 0) & (z > 0.03) & (y > -0.11) & (y < 0.06)

    def missed(shape_S: np.ndarray) -> float:
        off_V3 = head.shape_dirs_V3S[face_V, :, :100] @ (shape_S - unlike_anybody.shape_S)
        return float(np.sqrt(((off_V3 - off_V3.mean(0)) ** 2).sum(1).mean()))

    assert missed(own.shape_S) < 0.8 * missed(np.zeros(100))


def test_a_video_without_a_face(head: HeadModel, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", faceless(3, 96))
    with pytest.raises(NoFaceError, match=r"No face was found in .*a\.mp4"):
        track_performance(path, head, np.zeros(100))


def test_while_nobody_is_there_the_detector_looks_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    monkeypatch.setattr(tracking, "find_faces", lambda *args: looks.append(1) or [])
    tracker = FaceTracker()
    for frame in range(30):
        assert tracker.follow(np.zeros((32, 32, 3), np.uint8), frame / 30) is None
    assert len(looks) <= 5
