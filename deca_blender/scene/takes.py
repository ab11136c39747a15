"""Puts what a face does over time onto a head: at once, or as keyframes. Its identity stays.

Shape suffixes: N frames of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Quaternion
from numpy.typing import NDArray

from ..core import rig
from ..core.rotations import angle_and_axis, quaternions
from ..core.takes import Take
from . import armature, shape_keys
from .channels import curves_of, set_keys
from .head import rig_of, slider_names

_EXPRESSIVE = rig.JOINTS[2:]
"""Jaw and eyes go to rest where a take does not turn them; root and neck stay as they are."""


@dataclass(frozen=True)
class TakeKeys:
    """What became of a take.

    Attributes:
        first, last: Its frames in the scene.
        num_keys: Frames with keyframes.
        gaps: First and last frame of where the face was not seen for long, and nothing is keyed.
    """

    first: int
    last: int
    num_keys: int
    gaps: tuple[tuple[int, int], ...]


def show_take(head_object: bpy.types.Object, take: Take) -> None:
    """Puts sliders and bones to a take's first frame; jaw, eyes and sliders that it does not have go to rest."""
    keys, rig_object = head_object.data.shape_keys, rig_of(head_object)
    if keys is not None:
        _make_room(keys, take)
        for name in slider_names(head_object):
            keys.key_blocks[name].value = float(take.sliders[name][0]) if name in take.sliders else 0.0
    if rig_object is not None:
        turns = {joint: np.zeros(3) for joint in _EXPRESSIVE} | {name: turn[0] for name, turn in take.joints.items()}
        armature.set_pose(rig_object, turns)


def key_take(
    scene: bpy.types.Scene, head_object: bpy.types.Object, frames_N: NDArray[np.int64], take: Take, start: int
) -> TakeKeys:
    """Keys a take; keyframes that are there meanwhile are replaced.

    Args:
        scene: The scene, which shows its current frame again in the end.
        head_object: The head.
        frames_N, take: As `core.takes.at_frames` gives them.
        start: Frame of the take's beginning.
    """
    keys, rig_object = head_object.data.shape_keys, rig_of(head_object)
    frames_N = frames_N + start
    ends_2 = frames_N[[0, -1]] if len(frames_N) > 1 else frames_N[:1]
    if keys is not None:
        _make_room(keys, take)
        moved = {curve.data_path for curve in curves_of(keys)}
        for name in slider_names(head_object):
            path = rig.slider(name)
            if name in take.sliders:
                set_keys(keys, path, 0, frames_N, take.sliders[name])
            elif path in moved:
                set_keys(keys, path, 0, ends_2, np.zeros(len(ends_2)))
            else:
                keys.key_blocks[name].value = 0.0
    if rig_object is not None:
        rest = {joint: np.zeros((len(frames_N), 3)) for joint in _EXPRESSIVE}
        for joint, turns_N3 in (rest | dict(take.joints)).items():
            _key_bone(rig_object, joint, frames_N, turns_N3)
    scene.frame_set(scene.frame_current, subframe=scene.frame_subframe)
    rate = scene_rate(scene)
    gaps = tuple((start + int(np.floor(a * rate)) + 1, start + int(np.ceil(b * rate)) - 1) for a, b in take.gaps)
    return TakeKeys(int(frames_N[0]), int(frames_N[-1]), len(frames_N), tuple(gap for gap in gaps if gap[0] <= gap[1]))


def scene_rate(scene: bpy.types.Scene) -> float:
    """Frames per second of a scene."""
    return scene.render.fps / scene.render.fps_base


def use_rate(scene: bpy.types.Scene, rate: float) -> None:
    """Makes a video's frame rate the scene's, 29.97 as 30 / 1.001."""
    whole = max(1, min(round(rate), 32767))
    scene.render.fps, scene.render.fps_base = whole, whole / rate


def add_sound(scene: bpy.types.Scene, path: str, start: float, offset: float = 0.0) -> str:
    """Adds a video's sound to the sequencer.

    Args:
        scene: The scene.
        path: The video.
        start: Frame of the take's beginning.
        offset: Seconds of the video that come before it.

    Returns:
        Why there is none, or "".
    """
    editor: Any = scene.sequence_editor or scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences  # until Blender 4.3
    used = {strip.channel for strip in strips}
    channel = next((number for number in range(1, 128) if number not in used), 128)
    try:
        strip = strips.new_sound(Path(path).stem, path, channel, round(start))
    except RuntimeError as error:  # how Blender tells that it finds no sound
        return str(error).strip()
    if offset > 0:
        strip.frame_offset_start = round(offset * scene_rate(scene))
        strip.frame_start = round(start) - strip.frame_offset_start
    return ""


def _make_room(keys: bpy.types.Key, take: Take) -> None:
    """Lengthens the sliders of the coefficients to what the take reaches."""
    reach_E = [float(np.abs(take.sliders.get(name, np.zeros(1))).max()) for name in rig.EXPRESSION_KEYS]
    shape_keys.make_room(keys, reach_E)


def _key_bone(rig_object: bpy.types.Object, joint: str, frames_N: NDArray, turns_N3: NDArray) -> None:
    bone = rig_object.pose.bones.get(joint)
    if bone is None:
        return
    if bone.rotation_mode == "AXIS_ANGLE":
        name, values_NC = "rotation_axis_angle", angle_and_axis(turns_N3)
    elif bone.rotation_mode == "QUATERNION":
        name, values_NC = "rotation_quaternion", quaternions(turns_N3)
    else:
        name, values_NC = "rotation_euler", _eulers(turns_N3, bone.rotation_mode)
    path = f'pose.bones["{joint}"].{name}'
    for index, values_N in enumerate(values_NC.T):
        set_keys(rig_object, path, index, frames_N, values_N)


def _eulers(turns_N3: NDArray, order: Any) -> NDArray[np.float64]:
    """Euler angles (N, 3) without jumps of a whole turn."""
    rows, last = [], None
    for quaternion_4 in quaternions(turns_N3):
        turn = Quaternion(quaternion_4.tolist())
        last = turn.to_euler(order) if last is None else turn.to_euler(order, last)
        rows.append((last.x, last.y, last.z))
    return np.array(rows)
