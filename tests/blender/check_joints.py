"""Heads whose joints follow expression, as DECA's release has them for FLAME: Blender shows the forward model."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender import registration
from deca_blender.core import rig
from deca_blender.protocol.messages import HeadReply
from deca_blender.scene import armature
from deca_blender.scene.duplicates import make_independent
from deca_blender.scene.head import rig_of
from deca_blender.scene.import_face import import_face

TOLERANCE = 1e-5  # metres, the promise; the measured error is printed


def following_head(with_arkit: bool = False) -> HeadReply:
    """The bundled head with joints from a few vertices of the mouth and brows, which expressions move most."""
    head = case.head_reply()
    moving = np.linalg.norm(head.expression_dirs, axis=1).sum(1)
    regressor = np.zeros_like(head.joint_regressor)
    for joint, vertices in enumerate(np.argsort(-moving)[:200].reshape(-1, 5).T):
        regressor[joint, vertices] = 1 / len(vertices)
    arkit = {} if with_arkit else {"arkit_map": None, "arkit_names": ()}
    return replace(head, joint_regressor=regressor, joints_follow_expression=True, **arkit)


def strike(obj: bpy.types.Object, head: HeadReply, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives the head a strong random expression and pose, and ARKit shapes if it has any; returns these codes."""
    random = np.random.default_rng(seed)
    expression, pose = random.uniform(-4, 4, 50), random.normal(scale=0.5, size=(5, 3))
    arkit = random.uniform(0, 1, len(head.arkit_names))
    keys = obj.data.shape_keys.key_blocks
    names = [*map(rig.expression_key, range(50)), *head.arkit_names]
    for name, value in zip(names, (*expression, *arkit), strict=True):
        keys[name].value = value
    armature.set_pose(rig_of(obj), dict(zip(rig.JOINTS, pose, strict=True)))
    return expression, pose, arkit


def difference(obj: bpy.types.Object, expected: np.ndarray) -> float:
    return float(np.abs(case.evaluated_verts(obj) - expected).max())


def test_strong_expressions_and_poses() -> None:
    for with_arkit, seed in itertools.product((False, True), range(4)):
        head = following_head(with_arkit)
        face = case.face_reply(head, seed)
        obj = import_face(bpy.context, head, face)
        error = difference(obj, case.posed_verts(head, face.shape, face.expression, face.pose))
        codes = strike(obj, head, seed)
        error = max(error, difference(obj, case.posed_verts(head, face.shape, *codes)))
        fixed = replace(head, joints_follow_expression=False)
        rule = np.abs(case.posed_verts(fixed, face.shape, *codes) - case.posed_verts(head, face.shape, *codes)).max()
        print(f"{len(head.arkit_names)} ARKit keys, seed {seed}: {error:.2e} m; the rule itself moves {rule:.2e} m")
        assert error < TOLERANCE < 1e-3 < rule


def test_drivers_need_no_scripts_and_no_add_on(folder: Path) -> None:
    head = following_head(with_arkit=True)
    face = case.face_reply(head, 5)
    obj = import_face(bpy.context, head, face)
    for curve in [*obj.data.shape_keys.animation_data.drivers, *rig_of(obj).animation_data.drivers]:
        assert curve.driver.is_simple_expression and curve.driver.is_valid, curve.driver.expression
    name, path = obj.name, folder / "head.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    registration.unregister()
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path), use_scripts=False)
        obj = bpy.data.objects[name]
        keys = obj.data.shape_keys.key_blocks
        expression = np.random.default_rng(5).uniform(-4, 4, 50)
        for index, value in enumerate(expression):
            keys[rig.expression_key(index)].value = value
        assert difference(obj, case.posed_verts(head, face.shape, expression, face.pose)) < TOLERANCE
    finally:
        registration.register()


def test_duplicates_have_joints_of_their_own() -> None:
    head = following_head()
    face = case.face_reply(head, 2)
    obj = import_face(bpy.context, head, face)
    for linked in (False, True):
        bpy.ops.object.select_all(action="DESELECT")
        for part in (obj, rig_of(obj)) if not linked else (obj,):
            part.select_set(True)
        bpy.context.view_layer.objects.active = obj
        bpy.ops.object.duplicate(linked=linked)
        (copy,) = [found for found in bpy.context.selected_objects if found.type == "MESH"]
        if linked:
            make_independent(copy)
        codes, others = strike(obj, head, 1), strike(copy, head, 2)
        assert difference(obj, case.posed_verts(head, face.shape, *codes)) < TOLERANCE, linked
        assert difference(copy, case.posed_verts(head, face.shape, *others)) < TOLERANCE, linked


case.main(globals())
