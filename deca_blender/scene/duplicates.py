"""Linked duplicates of heads (Alt D): they share the mesh, and with it the sliders and the correctives' drivers."""

from __future__ import annotations

from typing import Any

import bpy

from .head import rig_of


def sharing(head_object: bpy.types.Object) -> list[bpy.types.Object]:
    """The other heads that have this head's sliders, because they show the same mesh or hang on the same armature."""
    rig_object = rig_of(head_object)
    return [
        obj
        for obj in bpy.data.objects
        if obj != head_object
        and obj.type == "MESH"
        and obj.deca.is_head
        and (obj.data == head_object.data or (rig_object is not None and obj.parent == rig_object))
    ]


def make_independent(head_object: bpy.types.Object) -> None:
    """Gives a head a mesh and an armature of its own, with drivers between these two; it looks as before.

    Correctives follow the bones of one armature, so that a linked duplicate with another one is only right afterwards.
    """
    rig_object = rig_of(head_object)
    mesh = head_object.data
    assert isinstance(mesh, bpy.types.Mesh)
    if mesh.users > 1:
        head_object.data = mesh.copy()
    if rig_object is not None:
        if any(other.parent == rig_object for other in sharing(head_object)):
            rig_object = _own_rig(head_object, rig_object)
        keys = head_object.data.shape_keys
        _retarget(keys, rig_object)
        _retarget(rig_object, keys)
    _retarget(head_object, head_object.data.shape_keys)  # which wrinkles read
    head_object.update_tag(refresh={"OBJECT", "DATA"})


def _own_rig(head_object: bpy.types.Object, shared: bpy.types.Object) -> bpy.types.Object:
    rig_object: Any = shared.copy()
    for collection in head_object.users_collection:
        collection.objects.link(rig_object)
    inverse = head_object.matrix_parent_inverse.copy()
    head_object.parent = rig_object  # which resets it
    head_object.matrix_parent_inverse = inverse
    for modifier in head_object.modifiers:
        if modifier.type == "ARMATURE" and modifier.object == shared:
            modifier.object = rig_object
    return rig_object


def _retarget(owner: bpy.types.ID | None, target: bpy.types.ID | None) -> None:
    """Points the drivers of one datablock that read another of the target's kind at the target."""
    if owner is None or target is None or owner.animation_data is None:
        return
    for curve in owner.animation_data.drivers:
        for variable in curve.driver.variables:
            for end in variable.targets:
                if end.id is not None and end.id.bl_rna == target.bl_rna:
                    end.id = target
