"""From what a photo, a video or a phone saw of a face to a take for a head's sliders and joints.

Shape suffixes: F frames, S shape coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..client import ClientError, Job, RequestCancelled, Session
from ..protocol.messages import DescribeHead, HeadReply, PerformanceReply, TrackPerformance
from . import rig, takes
from .arkit_fit import arkit_weights
from .reconstruction import Outcome, reconstruct_photos
from .takes import SMOOTHING_S, Take


class CaptureError(Exception):
    """What was seen cannot be put onto the head; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """How a face moves a head.

    Attributes:
        sliders: `COEFFICIENTS` for the head model's own, which keep all that was seen, or `ARKIT` for the named ones,
            which come near it.
        turn: Joint that turns the head: `ROOT`, `NECK`, or `NONE`.
        smoothing: Standard deviation of the smoothing's window, seconds; 0 for none.
        start: Seconds of the video that are left out at its beginning.
        end: Second at which it is left; 0 for its end.
        neutral: Second of the video at which the face is at rest, so that what the head shows is relative to it;
            negative to take the expression as it is seen.
        face: Which of several faces, the most prominent first.
        is_other_person: Fit the identity to the video, for somebody else than the head.
        use_mirror: Swap left and right.
    """

    sliders: str = "COEFFICIENTS"
    turn: str = "ROOT"
    smoothing: float = SMOOTHING_S
    start: float = 0.0
    end: float = 0.0
    neutral: float = -1.0
    face: int = 0
    is_other_person: bool = False
    use_mirror: bool = False


@dataclass(frozen=True, eq=False)
class Performed(Outcome):
    """What became of a video.

    Attributes:
        performance: What its face does; None when there is an error.
    """

    performance: PerformanceReply | None = None


def see_photo(
    session: Session, photo: str, head: str, weights: str, options: CaptureOptions
) -> Iterator[Job | Outcome]:
    """Has the backend look at a photo; yields as `core.reconstruction.reconstruct_photos`, for `take_of_photo`.

    Args:
        session: The line to the backend.
        photo: The picture file, on the backend's machine.
        head: Name of the head's model, or the path of its file.
        weights: Weights file; "" for the built-in ones, if any.
        options: Which face.
    """
    faces = options.face + 1
    return reconstruct_photos(session, [photo], 0, faces, weights=weights, head=head, picture_size=0)


def track_video(
    session: Session,
    path: str,
    shape_S: NDArray[np.floating] | None,
    head: str,
    model_hash: str,
    rate: float,
    options: CaptureOptions,
) -> Iterator[Job | Outcome]:
    """Has the backend follow the face of a video; a failure is an outcome.

    Yields are those of `core.reconstruction.reconstruct_photos`, with one `Performed` in all.

    Args:
        session: The line to the backend.
        path: The video, or numbered pictures, on the backend's machine.
        shape_S: The identity of the head; None where it is not known.
        head: Name of its head model, or the path of its file.
        model_hash: Hash of the head model that the identity belongs to; it says nothing to another.
        rate: Frames per second of numbered pictures.
        options: Which part, which face, whose identity.

    Raises:
        RequestCancelled: A job that had been yielded was cancelled.
    """
    try:
        asked = session.submit(DescribeHead(head))
        yield asked
        model = asked.result()
        is_known = shape_S is not None and model.hash == model_hash and not options.is_other_person
        request = TrackPerformance(
            path,
            np.asarray(shape_S, np.float32) if is_known else None,
            head,
            rate=rate,
            start=options.start,
            end=options.end,
            face=options.face,
        )
        job = session.submit(request)
        yield job
        reply = job.result()
        yield Performed(path, model, notices=reply.notices, performance=reply)
    except RequestCancelled:
        raise
    except ClientError as error:
        yield Performed(path, error=error)


def take_of_photo(outcome: Outcome, options: CaptureOptions, model_hash: str, has_arkit: bool) -> Take:
    """The expression of a face on a photo, one frame.

    Args:
        outcome: From `core.reconstruction.reconstruct_photos`.
        options: How it moves the head.
        model_hash: Hash of the head's model.
        has_arkit: Whether the head has ARKit sliders.

    Raises:
        CaptureError: There is no such face, or the head can show neither the coefficients nor ARKit's weights.
    """
    assert outcome.head is not None
    if options.face >= len(outcome.faces):
        raise CaptureError(f"The photo shows {len(outcome.faces)} face(s); they are counted from 0.")
    face = outcome.faces[options.face]
    take = _take(np.zeros(1), face.expression[None], face.pose[None])
    return _for_head(take, outcome.head, options, model_hash, has_arkit)


def take_of_video(
    outcome: Performed, options: CaptureOptions, model_hash: str, has_arkit: bool, rate: float
) -> tuple[NDArray[np.int64], Take]:
    """What the face of a video does, smoothed, at the frames of a scene; the part that was asked for begins at 0.

    Args:
        outcome: From `track_video`.
        options, model_hash, has_arkit: As `take_of_photo` has them.
        rate: Frames per second of the scene.

    Raises:
        CaptureError: As `take_of_photo`.
    """
    reply = outcome.performance
    assert reply is not None and outcome.head is not None
    take = _take(reply.times - options.start, reply.expression, reply.pose)
    take = replace(take, seen_F=reply.seen.astype(bool))
    take = takes.filled(take)
    if options.neutral >= 0:
        take = takes.relative_to(take, options.neutral - options.start, ("jaw",))
    frames_N, take = takes.at_frames(takes.smoothed(take, options.smoothing), rate)
    return frames_N, _for_head(take, outcome.head, options, model_hash, has_arkit)


def take_of_recording(take: Take, options: CaptureOptions, rate: float) -> tuple[NDArray[np.int64], Take]:
    """A phone's recording (`core.recordings`) at the frames of a scene."""
    frames_N, take = takes.at_frames(takes.smoothed(take, options.smoothing), rate)
    if options.use_mirror:
        take = takes.mirrored(take)
    return frames_N, takes.turning(take, _joint(options))


def told_gaps(seen: NDArray[np.uint8], times_F: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """Where a video shows no face: first and last second, and how many frames."""
    edges = np.flatnonzero(np.diff(np.concatenate(([1], seen != 0, [1])).astype(int)))
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [(float(times_F[start]), float(times_F[end - 1]), int(end - start)) for start, end in pairs]


def _take(times_F: NDArray, expression_FE: NDArray, pose_F53: NDArray) -> Take:
    return takes.from_coefficients(times_F, expression_FE, pose_F53, rig.EXPRESSION_KEYS, rig.JOINTS)


def _for_head(take: Take, head: HeadReply, options: CaptureOptions, model_hash: str, has_arkit: bool) -> Take:
    """The take by the sliders that are wanted, or that the head has in common with the model that it was seen with."""
    is_same = head.hash == model_hash
    wants_arkit = options.sliders == "ARKIT" or not is_same or options.use_mirror
    if wants_arkit and not (has_arkit and head.arkit_map is not None):
        if not is_same:
            raise CaptureError(
                f"The head was made with another {head.name} ({model_hash}) than this one ({head.hash}), and has no"
                " ARKit sliders. Import its photo again."
            )
        raise CaptureError("This head model has no ARKit sliders. Choose the head model's own.")
    if wants_arkit:
        take = _by_arkit(take, head)
    if options.use_mirror:
        take = takes.mirrored(take)
    return takes.turning(take, _joint(options))


def _by_arkit(take: Take, head: HeadReply) -> Take:
    expression_FE = np.stack([take.sliders[name] for name in rig.EXPRESSION_KEYS if name in take.sliders], axis=1)
    pose_F53 = np.stack([take.joints[joint] for joint in rig.JOINTS], axis=1)
    weights_FA, own_F53 = arkit_weights(expression_FE, pose_F53, head)
    return replace(
        take,
        sliders=dict(zip(head.arkit_names, weights_FA.T, strict=True)),
        joints={joint: own_F53[:, index] for index, joint in enumerate(rig.JOINTS)},
    )


def _joint(options: CaptureOptions) -> str | None:
    return None if options.turn == "NONE" else options.turn.lower()
