"""From a video to what its face does: expression, jaw, gaze and head turn of every frame, on one identity.

One pass of the landmark network per frame, one fit of the frames' landmarks with the identity held; nothing is done to
skin, relief or texture. Nothing is smoothed here: whoever takes the numbers knows at which frames they are wanted.

Shape suffixes: F frames, L landmarks, S shape and E expression coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deca.errors import NoFaceError
from deca.head import HeadModel
from deca.reconstruct.held_fit import HeldSolver
from deca.reconstruct.joint_fit import Marks, joint_solver
from deca.vision.tracking import FaceTracker
from deca.vision.video import DEFAULT_RATE, Video, open_video

Progress = Callable[[float, str], None]

ACTOR_FRAMES = 12
"""Frames, evenly spread, that somebody's own identity is fitted to."""
_CUT_SHORT_S = 1.0
"""A video that ends by so much before the length that its file says is damaged."""

_TRACKING = 0.8  # its part of the time


@dataclass(frozen=True, eq=False)
class Performance:
    """What a face does in a video.

    Attributes:
        rate: Frames per second of the video.
        times_F: Seconds from the video's beginning.
        seen_F: Where there is a face; the rest of a frame without one is zero.
        expression_FE: Expression coefficients.
        pose_F53: Axis-angle of root, neck (zero), jaw, left and right eye, radians.
        error_F: Mean distance of the interior landmarks from the head's, in outer-eye distances.
        shape_S: The identity that the frames were fitted with.
        has_audio: Whether the video has sound.
        notices: What the user should know, a sentence or two each.
    """

    rate: float
    times_F: NDArray[np.float64]
    seen_F: NDArray[np.bool_]
    expression_FE: NDArray[np.float32]
    pose_F53: NDArray[np.float32]
    error_F: NDArray[np.float32]
    shape_S: NDArray[np.float32]
    has_audio: bool
    notices: tuple[str, ...] = ()


def track_performance(
    path: str | Path,
    head: HeadModel,
    shape_S: ArrayLike | None,
    *,
    rate: float = DEFAULT_RATE,
    start: float = 0.0,
    end: float = 0.0,
    face: int = 0,
    device: str = "cpu",
    progress: Progress = lambda fraction, text: None,
) -> Performance:
    """Follows one face through a video.

    Args:
        path: A video, or numbered pictures, as `open_video` takes them.
        head: The head model.
        shape_S: The identity; None to fit it to the video, for somebody of whom there is no head.
        rate: Frames per second of pictures.
        start, end: Which part, seconds; an `end` of 0 is the video's.
        face: Which of several faces, the most prominent first.
        device: Torch device of the networks.
        progress: Called per frame with a fraction in [0, 1] and what is being done; may raise to cancel.

    Raises:
        VideoError: The video cannot be read.
        NoFaceError: There is no face in it.
        AssetError: A network is missing or damaged, or the head model has no MediaPipe landmarks.
    """
    video = open_video(path, rate)
    times, marks, size = _tracked(video, start, end, FaceTracker(face, device), progress)
    seen_F = np.array([points is not None for points in marks], bool)
    if not seen_F.any() or size is None:
        raise NoFaceError(
            f"No face was found in {video.path}.", "Choose the part that shows a face, not turned past profile."
        )
    found_FL2 = np.stack([points for points in marks if points is not None])
    progress(_TRACKING, "Fitting the head")
    notices: tuple[str, ...] = ()
    if shape_S is None:
        rows = np.unique(np.linspace(0, len(found_FL2) - 1, ACTOR_FRAMES).round().astype(int))
        person_S = joint_solver(head).fit_shape([Marks(found_FL2[row], size) for row in rows])
    else:
        person_S = np.asarray(shape_S, np.float64)

    def fitted(fraction: float) -> None:
        progress(_TRACKING + (1 - _TRACKING) * fraction, "Fitting the head")

    fit = HeldSolver(head, person_S).follow(found_FL2, size, fitted)
    if not end and times[-1] < video.duration - _CUT_SHORT_S:
        notices = (f"The video ends after {times[-1]:.1f} of {video.duration:.1f} seconds: its file may be damaged.",)

    def rows_of(name: str, *shape: int) -> NDArray[np.float32]:
        out = np.zeros((len(times), *shape), np.float32)
        out[seen_F] = getattr(fit, name)
        return out

    expression_FE = rows_of("expression_BE", fit.expression_BE.shape[1])
    return Performance(
        rate=video.rate,
        times_F=np.array(times),
        seen_F=seen_F,
        expression_FE=expression_FE,
        pose_F53=rows_of("pose_B53", 5, 3),
        error_F=rows_of("error_B"),
        shape_S=np.asarray(person_S, np.float32),
        has_audio=video.has_audio,
        notices=notices,
    )


def _tracked(
    video: Video, start: float, end: float, tracker: FaceTracker, progress: Progress
) -> tuple[list[float], list[NDArray[np.float32] | None], tuple[int, int] | None]:
    """Each frame's time and landmarks (478, 2), None without a face; the frames' width and height."""
    times: list[float] = []
    marks: list[NDArray[np.float32] | None] = []
    size: tuple[int, int] | None = None
    length = max((end or video.duration) - start, 1 / video.rate)
    for frame in video.frames(start, end):
        done = min((frame.time - start) / length, 1.0)
        progress(_TRACKING * done, f"Following the face: frame {len(times) + 1}")
        points_L3 = None
        if frame.pixels is not None:
            points_L3 = tracker.follow(frame.pixels, frame.time)
            height, width = frame.pixels.shape[:2]
            size = size or (width, height)
            if points_L3 is not None and (width, height) != size:  # numbered pictures may differ
                points_L3 = points_L3 * (size[0] / width)
        times.append(frame.time)
        marks.append(None if points_L3 is None else points_L3[:, :2])
    return times, marks, size
