"""The expression of a head in the scene: its ARKit sliders as weights, and keyframes of everything that poses it."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from ..core import rig
from .head import arkit_names, rig_of, slider_names

_ROTATION_PATHS = {"AXIS_ANGLE": "rotation_axis_angle", "QUATERNION": "rotation_quaternion"}


def arkit_weights(head_object: bpy.types.Object) -> dict[str, float]:
    """Values of the ARKit sliders by name; empty for a head model without them."""
    keys = head_object.data.shape_keys
    return {name: keys.key_blocks[name].value for name in arkit_names(head_object)}


def set_arkit_weights(head_object: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Sets all ARKit sliders; those that are not named go to rest."""
    keys = head_object.data.shape_keys
    for name in arkit_names(head_object):
        keys.key_blocks[name].value = weights.get(name, 0.0)


def key_pose(head_object: bpy.types.Object, frame: int) -> None:
    """Sets a keyframe on every slider of ours and on the rotation of every bone that the user turns."""
    keys = head_object.data.shape_keys
    for name in slider_names(head_object):
        keys.key_blocks[name].keyframe_insert("value", frame=frame)
    rig_object = rig_of(head_object)
    if rig_object is None:
        return
    for joint in rig.JOINTS:
        bone = rig_object.pose.bones.get(joint)
        if bone is not None:
            bone.keyframe_insert(rotation_path(bone), frame=frame)


def rotation_path(bone: bpy.types.PoseBone) -> str:
    """The property that holds a bone's rotation."""
    return _ROTATION_PATHS.get(bone.rotation_mode, "rotation_euler")
