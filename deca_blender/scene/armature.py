"""The armature of a head: FLAME's joints as bones, and the bones that ARKit sliders turn and expression moves."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector
from numpy.typing import NDArray

from ..core import moving_joints, rig
from ..core.identity import joint_motions
from ..protocol.messages import HeadReply
from .shape_keys import add_driver, add_values

BONE_LENGTH = 0.04
"""Metres of the bones of new heads, which point upwards from their joints."""
_DRIVER_BONES = "Driven"

UPRIGHT = Matrix(((1, 0, 0, 0), (0, 0, -1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
"""From head space, y up, to the armature's, z up as Blender's. What hangs on the armature in head space has this as
its inverse parent matrix, so that nobody's rotation carries the turn and Clear Rotation tips nothing over."""


def build_armature(context: bpy.types.Context, obj: bpy.types.Object, joints_J3: NDArray, head: HeadReply) -> None:
    """Fills an armature object that is in the view layer.

    Bones stand at the joints along head space's +y with roll 0, so that each bone's own axes are head space's, and a
    bone's axis-angle is the joint's axis-angle in head space.

    Args:
        context: Blender's context.
        obj: Armature object with an empty armature.
        joints_J3: Joint positions of the person in neutral, metres, head space.
        head: The head model (parents, ARKit map, joints' rule).
    """
    armature = obj.data
    assert isinstance(armature, bpy.types.Armature)
    context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    hidden = armature.collections.new(_DRIVER_BONES)
    shown = armature.collections.new("Joints")
    for index, joint in enumerate(rig.JOINTS):
        parent = armature.edit_bones.get(rig.JOINTS[head.parents[index]]) if head.parents[index] >= 0 else None
        if head.arkit_map is not None and joint in rig.ARKIT_JOINTS:
            parent = add_bone(armature, rig.arkit_bone(joint), joints_J3[index], parent, hidden)
            parent.use_deform = False
        bone = add_bone(armature, joint, joints_J3[index], parent, shown)
        if head.joints_follow_expression:
            bone.use_deform = False
            add_bone(armature, moving_joints.deform_bone(joint), joints_J3[index], bone, hidden)
    bpy.ops.object.mode_set(mode="OBJECT")
    hidden.is_visible = False
    armature.display_type = "STICK"
    obj.show_in_front = True
    for bone in obj.pose.bones:
        bone.rotation_mode = "AXIS_ANGLE"
        bone.lock_location = bone.lock_scale = (True, True, True)
    set_pose(obj, dict.fromkeys(rig.JOINTS, np.zeros(3)))


def size_of(obj: bpy.types.Object) -> float:
    """How large a head's armature is beside that of the import: 10 when a scale of 10 has been applied."""
    bones = obj.data.bones
    return next((bones[joint].length / BONE_LENGTH for joint in rig.JOINTS if joint in bones), 1.0)


def add_bone(
    armature: bpy.types.Armature,
    name: str,
    position_3: NDArray,
    parent: bpy.types.EditBone | None,
    collection: bpy.types.BoneCollection | None = None,
) -> bpy.types.EditBone:
    """Adds a bone at a joint (metres, head space) to an armature in edit mode; its own axes are head space's."""
    bone = armature.edit_bones.new(name)
    head = Vector(position_3.tolist())
    bone.head = UPRIGHT @ head
    bone.tail = UPRIGHT @ (head + Vector((0.0, BONE_LENGTH, 0.0)))
    bone.align_roll(UPRIGHT @ Vector((0.0, 0.0, 1.0)))
    bone.parent = parent
    if collection is not None:
        collection.assign(bone)
    return bone


def move_bones(context: bpy.types.Context, obj: bpy.types.Object, moves: Mapping[str, NDArray]) -> None:
    """Moves bones at rest, by metres in head space; poses stay as they are.

    Args:
        context: Blender's context, in object mode.
        obj: Armature object of a head.
        moves: By bones' names; names of no bone are passed over.
    """
    armature = obj.data
    assert isinstance(armature, bpy.types.Armature)
    active, was_hidden = context.view_layer.objects.active, obj.hide_get()
    obj.hide_set(False)
    context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    for name, move_3 in moves.items():
        bone = armature.edit_bones.get(name)
        if bone is not None:
            bone.translate(UPRIGHT @ Vector(move_3.tolist()))
    bpy.ops.object.mode_set(mode="OBJECT")
    obj.hide_set(was_hidden)
    context.view_layer.objects.active = active


def set_pose(obj: bpy.types.Object, pose: Mapping[str, NDArray]) -> None:
    """Rotates the joints' own bones, whichever way of writing a rotation each of them is set to.

    Args:
        obj: Armature object of a head.
        pose: Axis-angle in radians by joint name; joints that are not named, or whose bone was deleted, stay.
    """
    for joint, axis_angle in pose.items():
        bone = obj.pose.bones.get(joint)
        if bone is None:
            continue
        angle, axis = rig.axis_angle_parts(axis_angle)
        rotation = Quaternion(axis, angle)
        if bone.rotation_mode == "AXIS_ANGLE":
            bone.rotation_axis_angle = (angle, *axis)
        elif bone.rotation_mode == "QUATERNION":
            bone.rotation_quaternion = rotation
        else:
            bone.rotation_euler = rotation.to_euler(bone.rotation_mode)


def drive_arkit_bones(obj: bpy.types.Object, keys: bpy.types.Key, head: HeadReply) -> None:
    """Lets jawOpen and the eyeLook shapes turn their bones; works with scripts disabled."""
    if head.arkit_map is None:
        return
    for joint in rig.ARKIT_JOINTS:
        bone = obj.pose.bones[rig.arkit_bone(joint)]
        for index, spec in enumerate(rig.arkit_rotation_drivers(head.arkit_map, head.arkit_names, joint)):
            add_driver(bone, "rotation_axis_angle", index, spec, keys)


def drive_joints(obj: bpy.types.Object, keys: bpy.types.Key, head: HeadReply) -> None:
    """Lets the joints follow the expression where the head model says so, else the named shapes; needs no scripts."""
    motion_J3E = joint_motions(head)
    if motion_J3E is None:
        if moving_joints.driven_motions(head).any():
            add_values(obj, moving_joints.GROUP, moving_joints.named_shape_drivers(head), keys)
            for joint in rig.ARKIT_JOINTS:
                for axis, spec in enumerate(moving_joints.follow_drivers(joint, BONE_LENGTH)):
                    add_driver(obj.pose.bones[rig.arkit_bone(joint)], "location", axis, spec, obj)
        return
    drivers = moving_joints.motion_drivers(motion_J3E, head.arkit_names, head.arkit_map)
    add_values(obj, moving_joints.GROUP, drivers, keys)
    for joint, parent in zip(rig.JOINTS, head.parents, strict=True):
        topmost = obj.pose.bones.get(rig.arkit_bone(joint)) or obj.pose.bones[joint]
        there, back = moving_joints.shift_drivers(joint, rig.JOINTS[parent] if parent >= 0 else None)
        for bone, specs in ((topmost, there), (obj.pose.bones[moving_joints.deform_bone(joint)], back)):
            for axis, spec in enumerate(specs):
                add_driver(bone, "location", axis, spec, obj)


def skin_groups(head: HeadReply) -> list[str]:
    """The bone, and vertex group, on which the skin of each joint hangs."""
    return [moving_joints.deform_bone(joint) if head.joints_follow_expression else joint for joint in rig.JOINTS]


def skin_to(mesh_object: bpy.types.Object, rig_object: bpy.types.Object) -> None:
    """Parents the mesh to the armature and deforms it by plain linear blend skinning."""
    hang_on(mesh_object, rig_object)
    modifier = mesh_object.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig_object
    modifier.use_deform_preserve_volume = False
    modifier.use_bone_envelopes = False


def hang_on(obj: bpy.types.Object, rig_object: bpy.types.Object) -> None:
    """Parents an object whose own space is head space to the armature."""
    obj.parent = rig_object
    obj.matrix_parent_inverse = UPRIGHT
