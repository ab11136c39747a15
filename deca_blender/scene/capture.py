"""Expressions of photos, performances of videos and recordings of phones on a head in the scene."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.capture import (
    CaptureError,
    CaptureOptions,
    Performed,
    take_of_photo,
    take_of_recording,
    take_of_video,
)
from ..core.reconstruction import Outcome
from ..core.recordings import RecordingError, calibrated, gaze_by, read_recording
from ..properties.head import SHAPE
from .expression import key_pose
from .head import arkit_names
from .takes import TakeKeys, key_take, scene_rate, show_take


def shape_of(head_object: bpy.types.Object) -> NDArray[np.float64] | None:
    """The identity that a head was made with; None where identity data was stripped."""
    stored = head_object.get(SHAPE)
    return None if stored is None else np.asarray(stored, np.float64)


def show_expression(
    head_object: bpy.types.Object, outcome: Outcome, options: CaptureOptions, frame: int | None = None
) -> None:
    """Puts the expression of a photo onto a head.

    Args:
        head_object: The head; its identity stays.
        outcome: From `core.reconstruction.reconstruct_photos`.
        options: How the face moves the head.
        frame: Sets keyframes there.

    Raises:
        CaptureError: The head cannot show it.
    """
    take = take_of_photo(outcome, options, head_object.deca.model_hash, bool(arkit_names(head_object)))
    show_take(head_object, take)
    if frame is not None:
        key_pose(head_object, frame)


def key_performance(
    scene: bpy.types.Scene, head_object: bpy.types.Object, outcome: Performed, options: CaptureOptions, start: int
) -> TakeKeys:
    """Keys what the face of a video does, from a frame on.

    Args:
        scene: The scene, whose frame rate counts.
        head_object: The head; its identity stays.
        outcome: From `core.capture.track_video`.
        options: How the face moves the head.
        start: Frame of the video's beginning, or of the part that was asked for.

    Raises:
        CaptureError: The head cannot show it.
    """
    has_arkit, rate = bool(arkit_names(head_object)), scene_rate(scene)
    frames, take = take_of_video(outcome, options, head_object.deca.model_hash, has_arkit, rate)
    return key_take(scene, head_object, frames, take, start)


def key_recording(
    scene: bpy.types.Scene,
    head_object: bpy.types.Object,
    path: str | Path,
    options: CaptureOptions,
    start: int,
    *,
    neutral: str | Path | None = None,
    rate: float = 0.0,
    is_gaze_by_bones: bool = False,
) -> TakeKeys:
    """Keys a phone's recording, from a frame on.

    Args:
        scene, head_object, options, start: As in `key_performance`.
        path: File of Live Link Face or Face Cap.
        neutral: A recording of the same face at rest, which is taken off; None for none.
        rate: Frames per second that its timecodes count in; 0 to see from the file.
        is_gaze_by_bones: As `core.recordings.gaze_by` has it.

    Raises:
        CaptureError: The head has no ARKit sliders, or the file is damaged.
        OSError: It cannot be read.
    """
    if not arkit_names(head_object):
        raise CaptureError("The head has no ARKit sliders, which recordings of phones move.")
    try:
        take = read_recording(path, rate)
        if neutral is not None:
            take = calibrated(take, read_recording(neutral, rate))
    except RecordingError as error:
        raise CaptureError(str(error)) from error
    frames, take = take_of_recording(gaze_by(take, is_gaze_by_bones), options, scene_rate(scene))
    return key_take(scene, head_object, frames, take, start)
