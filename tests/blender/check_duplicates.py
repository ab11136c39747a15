"""Duplicates of heads: what linked ones share, and that each can be made independent."""

from __future__ import annotations

import blender_case as case
import bpy
import numpy as np

from deca_blender.scene.duplicates import sharing
from deca_blender.scene.head import find_head, rig_of
from deca_blender.scene.import_face import import_face

HEAD = case.head_reply()
FACE = case.face_reply(HEAD, 1, expression=np.zeros(50, np.float32), pose=np.zeros((5, 3), np.float32))


def new_head() -> bpy.types.Object:
    return import_face(bpy.context, HEAD, FACE)


def duplicate(*objects: bpy.types.Object, linked: bool) -> bpy.types.Object:
    """The head among the duplicates, active."""
    bpy.ops.object.select_all(action="DESELECT")
    for obj in objects:
        obj.select_set(True)
    bpy.context.view_layer.objects.active = objects[0]
    bpy.ops.object.duplicate(linked=linked)
    (copy,) = [obj for obj in bpy.context.selected_objects if obj.type == "MESH"]
    bpy.context.view_layer.objects.active = copy
    return copy


def pose(head: bpy.types.Object, jaw: float, **sliders: float) -> None:
    rig_of(head).pose.bones["jaw"].rotation_axis_angle = (jaw, 1, 0, 0)
    for name, value in sliders.items():
        head.data.shape_keys.key_blocks[name].value = value


def error(head: bpy.types.Object, jaw: float, **sliders: float) -> float:
    """Largest distance, metres, of what Blender shows to the forward model."""
    turned = np.zeros((5, 3))
    turned[2, 0] = jaw
    arkit = np.array([sliders.get(name, 0.0) for name in HEAD.arkit_names])
    return float(
        np.abs(case.evaluated_verts(head) - case.posed_verts(HEAD, FACE.shape, np.zeros(50), turned, arkit)).max()
    )


def test_an_ordinary_duplicate_is_a_head_of_its_own() -> None:
    head = new_head()
    copy = duplicate(head, rig_of(head), linked=False)
    assert not sharing(copy) and not bpy.ops.deca.make_independent.poll()
    pose(head, 0.1, jawOpen=0.2)
    pose(copy, 0.4, jawOpen=0.6, mouthSmileLeft=0.5)
    assert error(head, 0.1, jawOpen=0.2) < 1e-5
    assert error(copy, 0.4, jawOpen=0.6, mouthSmileLeft=0.5) < 1e-5


def test_a_linked_duplicate_shares_the_sliders_until_it_is_made_independent() -> None:
    head = new_head()
    copy = duplicate(head, rig_of(head), linked=True)
    assert copy.data == head.data and rig_of(copy) != rig_of(head)
    assert sharing(copy) == [head] and sharing(head) == [copy]
    bpy.ops.deca.apply_preset(preset="Smile")
    assert head.data.shape_keys.key_blocks["mouthSmileLeft"].value > 0.5
    bpy.ops.deca.reset_expression(target="NEUTRAL")
    pose(copy, 0.0)
    pose(head, 0.0, jawOpen=0.3)
    assert error(head, 0.0, jawOpen=0.3) < 1e-5 and error(copy, 0.0, jawOpen=0.3) < 1e-5

    assert bpy.ops.deca.make_independent() == {"FINISHED"}
    assert not sharing(copy) and not sharing(head)
    pose(copy, 0.4, jawOpen=0.6)
    assert error(head, 0.0, jawOpen=0.3) < 1e-5 and error(copy, 0.4, jawOpen=0.6) < 1e-5
    bpy.data.objects.remove(rig_of(head))
    bpy.data.objects.remove(head)
    assert error(copy, 0.4, jawOpen=0.6) < 1e-5


def test_a_linked_mesh_on_the_same_armature() -> None:
    head = new_head()
    copy = duplicate(head, linked=True)
    assert rig_of(copy) == rig_of(head) and find_head(copy) == copy and sharing(copy) == [head]
    assert bpy.ops.deca.make_independent() == {"FINISHED"}
    assert rig_of(copy) != rig_of(head) and not sharing(copy)
    pose(head, 0.1, jawOpen=0.2)
    pose(copy, 0.4, jawOpen=0.6)
    assert error(head, 0.1, jawOpen=0.2) < 1e-5 and error(copy, 0.4, jawOpen=0.6) < 1e-5


def test_undo_brings_the_sharing_back() -> None:
    head = new_head()
    copy = duplicate(head, rig_of(head), linked=True)
    names = head.name, copy.name
    bpy.ops.ed.undo_push(message="duplicated")
    bpy.ops.deca.make_independent()
    bpy.ops.ed.undo_push(message="independent")
    bpy.ops.ed.undo()
    head, copy = (bpy.data.objects[name] for name in names)
    assert sharing(copy) == [head]


case.main(globals())
