"""Presets, random expressions, mirroring and keyframes on an imported head; what else the add-on registers."""

from __future__ import annotations

import blender_case as case
import bpy
import numpy as np

from deca_blender.core.expressions import PRESETS, mirrored, random_expression
from deca_blender.scene.expression import arkit_weights
from deca_blender.scene.head import rig_of
from deca_blender.scene.import_face import import_face

HEAD = case.head_reply()


def new_head() -> bpy.types.Object:
    return import_face(bpy.context, HEAD, case.face_reply(HEAD, expression=np.zeros(50, np.float32)))


def shown(head: bpy.types.Object) -> dict[str, float]:
    return {name: round(value, 6) for name, value in arkit_weights(head).items() if abs(value) > 1e-6}


def rounded(weights: dict[str, float]) -> dict[str, float]:
    return {name: round(float(np.float32(weight)), 6) for name, weight in weights.items() if weight > 1e-6}


def test_presets_move_the_mesh_as_the_map_says() -> None:
    head = new_head()
    pose = case.face_reply(HEAD).pose
    for preset in ("Smile", "Shout", "Wink"):
        assert bpy.ops.deca.apply_preset(preset=preset) == {"FINISHED"}
        assert shown(head) == rounded(PRESETS[preset])
        arkit = np.array([PRESETS[preset].get(name, 0.0) for name in HEAD.arkit_names])
        expected = case.posed_verts(HEAD, case.face_reply(HEAD).shape, np.zeros(50), pose, arkit)
        assert np.abs(case.evaluated_verts(head) - expected).max() < 1e-5
    bpy.ops.deca.apply_preset(preset="Smile", amount=0.5)
    assert np.isclose(arkit_weights(head)["mouthSmileLeft"], 0.3)


def test_neutral_is_one_click_and_one_step_of_undo() -> None:
    """Also what the photo showed: its expression keys, jaw and eyes; and by hand: sliders."""
    head = import_face(bpy.context, HEAD, case.face_reply(HEAD, 4))
    bpy.ops.deca.apply_preset(preset="Smile")
    name, before = head.name, case.evaluated_verts(head)
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.deca.apply_preset("EXEC_DEFAULT", True, preset="Neutral") == {"FINISHED"}
    face = case.face_reply(HEAD, 4)
    held = face.pose * [[1], [1], [0], [0], [0]]
    expected = case.posed_verts(HEAD, face.shape, np.zeros(50), held)
    assert np.abs(case.evaluated_verts(head) - expected).max() < 1e-5
    bpy.ops.ed.undo()
    assert np.abs(case.evaluated_verts(bpy.data.objects[name]) - before).max() < 1e-6


def test_random_and_mirrored() -> None:
    head = new_head()
    bpy.ops.deca.random_expression(seed=7)
    assert shown(head) == rounded(random_expression(7))
    bpy.ops.deca.apply_preset(preset="Wink")
    bpy.ops.deca.mirror_expression(mode="FLIP")
    assert shown(head) == rounded(mirrored(PRESETS["Wink"]))
    bpy.ops.deca.mirror_expression(mode="RIGHT")
    assert shown(head) == mirrored(shown(head)) and arkit_weights(head)["eyeBlinkRight"] == 1
    bpy.ops.deca.mirror_expression(mode="LEFT")
    assert shown(head) == mirrored(shown(head))


def test_keyframes_bring_the_expression_back() -> None:
    head = new_head()
    scene = bpy.context.scene
    jaw = rig_of(head).pose.bones["jaw"]
    for frame, preset, angle in ((1, "Smile", 0.1), (10, "Shout", 0.3)):
        scene.frame_set(frame)
        bpy.ops.deca.apply_preset(preset=preset)
        jaw.rotation_axis_angle[0] = angle
        bpy.ops.deca.key_expression()
    for frame, preset, angle in ((10, "Shout", 0.3), (1, "Smile", 0.1)):
        scene.frame_set(frame)
        assert shown(head) == rounded(PRESETS[preset])
        assert np.isclose(jaw.rotation_axis_angle[0], angle)
    scene.frame_set(5)
    assert 0 < arkit_weights(head)["jawOpen"] < PRESETS["Shout"]["jawOpen"]


def test_nothing_happens_without_a_head() -> None:
    for operator in ("apply_preset", "random_expression", "mirror_expression", "key_expression"):
        assert not getattr(bpy.ops.deca, operator).poll()


def test_drop_and_pie_are_there() -> None:
    handler = bpy.types.DECA_FH_photo
    assert handler.bl_import_operator == "deca.import_face" and ".jpg" in handler.bl_file_extensions.split(";")
    assert hasattr(bpy.types, "DECA_MT_expression_pie")


case.main(globals())
