"""A head that gets another identity: mesh, shape keys and bones move; what the user made of them stays."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core import moving_joints, rig
from ..core.identity import joint_positions, neutral_verts
from ..protocol.messages import HeadReply
from . import armature, shape_keys, wrinkles
from .head import rig_of


def reshape(
    context: bpy.types.Context, head_object: bpy.types.Object, head: HeadReply, from_S: NDArray, to_S: NDArray
) -> None:
    """Moves a head by the difference of two identities.

    Args:
        context: Blender's context, in object mode.
        head_object: A head whose mesh has the model's vertices.
        head: The head model.
        from_S: Shape coefficients that it has.
        to_S: Those that it gets.
    """
    before_V3, after_V3 = neutral_verts(head, from_S), neutral_verts(head, to_S)
    size = wrinkles.size_of(head_object)  # a scale that the user has applied
    move_V3 = size * (after_V3 - before_V3)
    mesh: Any = head_object.data
    keys = mesh.shape_keys.key_blocks if mesh.shape_keys is not None else ()
    for block in (mesh.vertices, *(key.points for key in keys)):
        points_V3 = np.empty((len(block), 3), np.float32)
        block.foreach_get("co", points_V3.ravel())
        block.foreach_set("co", (points_V3 + move_V3).astype(np.float32).ravel())
    mesh.update()
    wrinkles.drive_size_again(head_object, size)
    rig_object = rig_of(head_object)
    if rig_object is not None:
        moves_J3 = size * (joint_positions(head, after_V3) - joint_positions(head, before_V3))
        names = [(joint, rig.arkit_bone(joint), moving_joints.deform_bone(joint)) for joint in rig.JOINTS]
        moves = {name: move_3 for of_joint, move_3 in zip(names, moves_J3, strict=True) for name in of_joint}
        armature.move_bones(context, rig_object, moves)


def change_likeness(head_object: bpy.types.Object, likeness_V3: NDArray | None) -> None:
    """Gives a head another likeness (metres, None for none); whether it is turned on stays.

    Args:
        head_object: A head whose mesh has the model's vertices.
        likeness_V3: What its neutral head has beyond the shape coefficients.
    """
    mesh: Any = head_object.data
    if mesh.shape_keys is None:  # the user has applied them
        return
    key = mesh.shape_keys.key_blocks.get(rig.LIKENESS_KEY)
    basis_V3 = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.shape_keys.reference_key.points.foreach_get("co", basis_V3.ravel())
    moved_V3 = np.zeros_like(basis_V3) if likeness_V3 is None else wrinkles.size_of(head_object) * likeness_V3
    if key is not None:
        key.points.foreach_set("co", (basis_V3 + moved_V3).astype(np.float32).ravel())
        mesh.update()
    elif likeness_V3 is not None:
        shape_keys.add_likeness(head_object, basis_V3, moved_V3)
