"""The rig's evaluated vertices equal FLAME's forward model."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from mathutils import Matrix

from deca_blender import registration
from deca_blender.core import moving_joints, rig
from deca_blender.scene import armature
from deca_blender.scene.head import rig_of, show_neutral, show_photo, straighten
from deca_blender.scene.import_face import import_face

TOLERANCE = 1e-5  # metres, the promise; the measured error is printed
HEAD = case.head_reply()


def difference(obj: bpy.types.Object, expected: np.ndarray) -> float:
    return float(np.abs(case.evaluated_verts(obj) - expected).max())


def test_imported_head_stands_as_on_the_photo() -> None:
    for seed in range(3):
        face = case.face_reply(HEAD, seed)
        obj = import_face(bpy.context, HEAD, face)
        error = difference(obj, case.posed_verts(HEAD, face.shape, face.expression, face.pose))
        print(f"photo pose, seed {seed}: {error:.2e} m")
        assert error < TOLERANCE


def test_expression_arkit_and_bones_together() -> None:
    random = np.random.default_rng(7)
    face = case.face_reply(HEAD, 7)
    obj = import_face(bpy.context, HEAD, face)
    keys = obj.data.shape_keys.key_blocks
    worst = 0.0
    for step in range(12):
        expression = random.normal(scale=1.2, size=50).clip(-4, 4)
        pose = random.normal(scale=0.35, size=(5, 3))
        arkit = random.uniform(0, 1, 52) * (random.uniform(size=52) < 0.4)
        if step % 3 == 0:
            arkit[HEAD.arkit_names.index("jawOpen")] = 1.0
        for index, value in enumerate(expression):
            keys[rig.expression_key(index)].value = value
        for name, value in zip(HEAD.arkit_names, arkit, strict=True):
            keys[name].value = value
        armature.set_pose(rig_of(obj), dict(zip(rig.JOINTS, pose, strict=True)))
        worst = max(worst, difference(obj, case.posed_verts(HEAD, face.shape, expression, pose, arkit)))
    print(f"12 random expressions, ARKit weights and poses: {worst:.2e} m")
    assert worst < TOLERANCE


def test_each_joint_and_each_arkit_shape_alone() -> None:
    face = case.face_reply(HEAD, 3)
    obj = import_face(bpy.context, HEAD, face)
    keys = obj.data.shape_keys.key_blocks
    rest, none = np.zeros((5, 3)), np.zeros(50)
    show_neutral(obj)
    straighten(obj)
    assert difference(obj, case.posed_verts(HEAD, face.shape, none, rest)) < TOLERANCE
    for index, joint in enumerate(rig.JOINTS):
        pose = rest.copy()
        pose[index] = (-0.3, 0.4, 0.2)
        armature.set_pose(rig_of(obj), {joint: pose[index]})
        assert difference(obj, case.posed_verts(HEAD, face.shape, none, pose)) < TOLERANCE, joint
        armature.set_pose(rig_of(obj), {joint: np.zeros(3)})
    for index, name in enumerate(HEAD.arkit_names):
        keys[name].value = 1.0
        weights = np.eye(52)[index]
        assert difference(obj, case.posed_verts(HEAD, face.shape, none, rest, weights)) < TOLERANCE, name
        keys[name].value = 0.0


def test_sliders_move_what_they_are_named_after() -> None:
    """Not against the oracle: jawOpen lowers the chin, eyeLookUpLeft turns the pupil of the left eye (+x) up."""
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD, 1))
    show_neutral(obj)
    straighten(obj)
    keys = obj.data.shape_keys.key_blocks
    before = case.evaluated_verts(obj)
    keys["jawOpen"].value = 1.0
    lower_teeth = HEAD.part == 4
    drop = (case.evaluated_verts(obj) - before)[lower_teeth, 1].mean()
    assert drop < -0.01, drop
    keys["jawOpen"].value = 0.0
    keys["eyeLookUpLeft"].value = 1.0
    moved = case.evaluated_verts(obj) - before
    eye = np.flatnonzero(HEAD.part == 1)
    front = eye[before[eye, 2].argmax()]
    assert before[eye, 0].mean() > 0
    assert moved[front, 1] > 0.001
    assert np.abs(moved[HEAD.part == 2]).max() < 1e-6


def test_drivers_need_no_scripts() -> None:
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD))
    drivers = [*obj.data.shape_keys.animation_data.drivers, *rig_of(obj).animation_data.drivers]
    own_values = f'["{moving_joints.GROUP}"]'
    assert len([curve for curve in drivers if not curve.data_path.startswith(own_values)]) == 36 + 12 + 9
    for curve in drivers:
        assert curve.driver.is_simple_expression and curve.driver.is_valid, curve.driver.expression


def test_saved_file_works_without_the_add_on(folder: Path) -> None:
    face = case.face_reply(HEAD, 5)
    obj = import_face(bpy.context, HEAD, face)
    name = obj.name
    path = folder / "Zoë.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    registration.unregister()
    try:
        bpy.context.preferences.filepaths.use_scripts_auto_execute = False
        bpy.ops.wm.open_mainfile(filepath=str(path), use_scripts=False)
        obj = bpy.data.objects[name]
        jaw_open = np.eye(52)[HEAD.arkit_names.index("jawOpen")]
        obj.data.shape_keys.key_blocks["jawOpen"].value = 1.0
        expected = case.posed_verts(HEAD, face.shape, face.expression, face.pose, jaw_open)
        assert difference(obj, expected) < TOLERANCE
    finally:
        registration.register()


def test_reset_goes_to_neutral_and_back_to_the_photo() -> None:
    face = case.face_reply(HEAD, 9, expression=np.full(50, -6.5, np.float32))
    obj = import_face(bpy.context, HEAD, face)
    obj.data.shape_keys.key_blocks["jawOpen"].value = 0.5
    show_neutral(obj)
    pose = np.zeros((5, 3))
    pose[:2] = face.pose[:2]  # the head keeps facing where it faces
    assert difference(obj, case.posed_verts(HEAD, face.shape, np.zeros(50), pose)) < TOLERANCE
    show_photo(obj)
    assert difference(obj, case.posed_verts(HEAD, face.shape, face.expression, face.pose)) < TOLERANCE


def world_verts(obj: bpy.types.Object) -> np.ndarray:
    verts = case.evaluated_verts(obj)
    return verts @ np.array(obj.matrix_world)[:3, :3].T + obj.matrix_world.translation


def upright(verts: np.ndarray) -> np.ndarray:
    """Head space as Blender's artists see it: y up becomes z up, z forward becomes -y."""
    return verts[:, [0, 2, 1]] * [1, -1, 1]


def test_straighten_holds_the_head_upright_and_keeps_the_expression() -> None:
    """In whatever way the bones' rotations are written; As on Photo brings the photo's pose back."""
    face = case.face_reply(HEAD, 11)
    for mode in ("AXIS_ANGLE", "QUATERNION", "XYZ", "ZYX"):
        obj = import_face(bpy.context, HEAD, face)
        at = np.array(rig_of(obj).location)
        for bone in rig_of(obj).pose.bones:
            bone.rotation_mode = mode if not bone.name.endswith("_arkit") else "AXIS_ANGLE"
        assert bpy.ops.deca.straighten() == {"FINISHED"}
        straight = face.pose * [[0], [0], [1], [1], [1]]
        expected = case.posed_verts(HEAD, face.shape, face.expression, straight)
        assert np.abs(world_verts(obj) - at - upright(expected)).max() < TOLERANCE, mode
        assert bpy.ops.deca.apply_preset(preset="Neutral") == {"FINISHED"}
        neutral = case.posed_verts(HEAD, face.shape, np.zeros(50), np.zeros((5, 3)))
        assert np.abs(world_verts(obj) - at - upright(neutral)).max() < TOLERANCE, mode
        bpy.ops.deca.reset_expression(target="PHOTO")
        expected = case.posed_verts(HEAD, face.shape, face.expression, face.pose)
        assert np.abs(world_verts(obj) - at - upright(expected)).max() < TOLERANCE, mode


def test_clearing_and_applying_transforms_tips_nothing_over() -> None:
    """Alt R and Alt G on the objects, Apply All Transforms, and clearing the pose of all bones."""
    face = case.face_reply(HEAD, 12)
    posed = upright(case.posed_verts(HEAD, face.shape, face.expression, face.pose))
    for mode in ("CLEAR", "APPLY"):
        obj = import_face(bpy.context, HEAD, face)
        members = [obj, rig_of(obj)]
        at = np.array(rig_of(obj).location)
        for member in members:
            member.select_set(True)
        bpy.context.view_layer.objects.active = rig_of(obj)
        if mode == "CLEAR":
            rig_of(obj).rotation_euler = (0.3, -0.2, 1.1)
            bpy.ops.object.rotation_clear()
            bpy.ops.object.location_clear()
            at = np.zeros(3)
        else:
            bpy.ops.object.transform_apply(location=True, rotation=True, scale=True)
        assert np.abs(world_verts(obj) - at - posed).max() < TOLERANCE, mode
        bpy.ops.object.mode_set(mode="POSE")
        bpy.ops.pose.select_all(action="SELECT")
        bpy.ops.pose.transforms_clear()
        bpy.ops.object.mode_set(mode="OBJECT")
        rest = upright(case.posed_verts(HEAD, face.shape, face.expression, np.zeros((5, 3))))
        assert np.abs(world_verts(obj) - at - rest).max() < TOLERANCE, mode


def test_rigs_of_earlier_files_keep_working() -> None:
    """They carry the turn to z up on the armature object, and bones that stand along y."""
    face = case.face_reply(HEAD, 13)
    obj = import_face(bpy.context, HEAD, face)
    rig_object = rig_of(obj)
    rig_object.data.transform(armature.UPRIGHT.inverted())
    rig_object.data.update_tag()
    rig_object.rotation_euler = (np.pi / 2, 0, 0)
    obj.matrix_parent_inverse = Matrix()
    assert np.abs(np.array(rig_object.data.bones["jaw"].matrix_local.to_3x3()) - np.eye(3)).max() < 1e-6
    posed = case.posed_verts(HEAD, face.shape, face.expression, face.pose)
    assert np.abs(world_verts(obj) - upright(posed)).max() < TOLERANCE
    straighten(obj)
    show_neutral(obj)
    obj.data.shape_keys.key_blocks["jawOpen"].value = 1.0
    jaw_open = np.eye(52)[HEAD.arkit_names.index("jawOpen")]
    open_ = case.posed_verts(HEAD, face.shape, np.zeros(50), np.zeros((5, 3)), jaw_open)
    assert np.abs(world_verts(obj) - upright(open_)).max() < TOLERANCE


def test_animation_of_sliders_and_bones_is_followed() -> None:
    face = case.face_reply(HEAD, 2)
    obj = import_face(bpy.context, HEAD, face)
    show_neutral(obj)
    key, bone = obj.data.shape_keys.key_blocks["jawOpen"], rig_of(obj).pose.bones["jaw"]
    straighten(obj)
    armature.set_pose(rig_of(obj), {"jaw": np.array([0.1, 0, 0])})
    for frame, value in ((1, 0.0), (11, 1.0)):
        key.value = value
        key.keyframe_insert("value", frame=frame)
    bone.keyframe_insert("rotation_axis_angle", frame=1)
    for frame in (1, 6, 11):
        bpy.context.scene.frame_set(frame)
        weights = np.eye(52)[HEAD.arkit_names.index("jawOpen")] * key.value
        pose = np.zeros((5, 3))
        pose[2, 0] = 0.1
        assert abs(key.value - {1: 0, 6: 0.5, 11: 1}[frame]) < 1e-6
        assert difference(obj, case.posed_verts(HEAD, face.shape, np.zeros(50), pose, weights)) < TOLERANCE


case.main(globals())
