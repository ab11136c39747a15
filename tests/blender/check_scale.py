"""Wrinkles under scales of a head, applied or not: their depth is its size's, and folds stay folds."""

from __future__ import annotations

import blender_case as case
import bpy
import numpy as np
from numpy.typing import NDArray

from deca_blender.core import wrinkle_rig
from deca_blender.scene import wrinkles
from deca_blender.scene.baked_frames import show_packed
from deca_blender.scene.baked_rig import show_rig
from deca_blender.scene.import_face import ImportOptions, import_face

HEAD = case.head_reply()
MAP = (1e-3 * np.random.default_rng(0).uniform(0.2, 1, (256, 256))).astype(np.float32)
"""Outwards everywhere."""


def wrinkled_head() -> bpy.types.Object:
    face = case.face_reply(HEAD, 1, name="Zoë", detail=np.ones(128, np.float32), weights_hash="w1")
    obj = import_face(bpy.context, HEAD, face, ImportOptions(use_camera=False))
    obj.deca.wrinkles_live = False
    obj.modifiers["Wrinkle Subdivision"].levels = 0
    wrinkles.apply_map(obj, MAP)
    return obj


def live(obj: bpy.types.Object) -> str:
    return "Wrinkles"


def packed_frames(obj: bpy.types.Object) -> str:
    show_packed(obj, {frame: MAP for frame in (1, 2)}, 1, 2)
    return "Baked Wrinkles"


def baked_rig(obj: bpy.types.Object) -> str:
    nothing = np.zeros((53, 1), np.float32)
    show_rig(obj, wrinkle_rig.WrinkleRig(MAP, np.zeros((1, 256, 256), np.float32), nothing, nothing))
    return "Baked Wrinkles"


def world(obj: bpy.types.Object) -> NDArray[np.float64]:
    verts, matrix = case.evaluated_verts(obj), np.array(obj.matrix_world)
    return verts @ matrix[:3, :3].T + matrix[:3, 3]


def displaced(obj: bpy.types.Object, modifier: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vertices in the world without wrinkles, and how these move them."""
    shown = world(obj)
    obj.modifiers[modifier].show_viewport = False
    flat = world(obj)
    obj.modifiers[modifier].show_viewport = True
    return flat, shown - flat


def outwards(verts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normals from the head model's triangles, turned so that they point out of the head, also of a mirrored one."""
    triangles = verts[HEAD.faces]
    crosses = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals = np.zeros_like(verts)
    for corner in range(3):
        np.add.at(normals, HEAD.faces[:, corner], crosses)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    volume = np.einsum("fc,fc->f", triangles[:, 0] - verts.mean(axis=0), crosses).sum()
    return normals * np.sign(volume)


def scale(obj: bpy.types.Object, factors: tuple[float, float, float], apply: bool) -> None:
    """As a user does: the armature with all that hangs on it; and once more the mesh, which Blender lets jump back."""
    for part in (obj.parent, obj):
        bpy.ops.object.select_all(action="DESELECT")
        part.select_set(True)
        bpy.context.view_layer.objects.active = part
        part.scale = factors
        if not apply:
            return
        bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)


def assert_scaled(obj: bpy.types.Object, modifier: str, before: NDArray, factor: float) -> None:
    flat, offsets = displaced(obj, modifier)
    depth, old_depth = (np.linalg.norm(moved, axis=1) for moved in (offsets, before))
    assert old_depth.mean() > 3e-4
    assert np.abs(depth - factor * old_depth).max() < 1e-3 * factor * old_depth.mean(), (depth / old_depth)[:9]
    assert np.median(np.einsum("vc,vc->v", offsets, outwards(flat)) / depth) > 0.99


def test_ten_times_the_head_has_ten_times_the_depth() -> None:
    for show in (live, packed_frames, baked_rig):
        for factors in ((10.0,) * 3, (-0.1, 0.1, 0.1), (-2.0,) * 3):
            for apply in (False, True):
                bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
                obj = wrinkled_head()
                modifier = show(obj)
                _, before = displaced(obj, modifier)
                scale(obj, factors, apply)
                assert_scaled(obj, modifier, before, abs(factors[0]))


case.main(globals())
