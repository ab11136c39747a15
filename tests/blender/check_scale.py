"""Wrinkles under scales of a head, applied or not: their depth is its size's, and folds stay folds."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bmesh
import bpy
import numpy as np
from bake_case import elsewhere
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
    faces = case.triangles_of(HEAD.polygons)
    triangles = verts[faces]
    crosses = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals = np.zeros_like(verts)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], crosses)
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
    assert np.abs(depth - factor * old_depth).max() < 1e-3 * factor * old_depth.mean(), (
        (depth / old_depth)[:9],
        wrinkles.depth_of(obj),
        factor,
    )
    assert np.median(np.einsum("vc,vc->v", offsets, outwards(flat)) / depth) > 0.99


def test_ten_times_the_head_has_ten_times_the_depth() -> None:
    for show in (live, packed_frames, baked_rig):
        for factors, apply in (
            ((10.0,) * 3, True),
            ((-0.1, 0.1, 0.1), True),
            ((10.0,) * 3, False),
            ((-2.0,) * 3, False),
        ):
            bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
            obj = wrinkled_head()
            modifier = show(obj)
            _, before = displaced(obj, modifier)
            scale(obj, factors, apply)
            assert_scaled(obj, modifier, before, abs(factors[0]))


def test_what_is_baked_on_a_scaled_head_is_as_deep() -> None:
    for show in (packed_frames, baked_rig):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        obj = wrinkled_head()
        _, before = displaced(obj, "Wrinkles")
        scale(obj, (4.0,) * 3, apply=True)
        assert_scaled(obj, show(obj), before, 4.0)
        scale(obj, (0.5,) * 3, apply=True)
        assert_scaled(obj, "Baked Wrinkles", before, 2.0)


def test_a_baked_file_needs_no_add_on_to_be_scaled(folder: Path) -> None:
    for show in (packed_frames, baked_rig):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        obj = wrinkled_head()
        _, before = displaced(obj, show(obj))
        bpy.context.scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        bpy.context.scene.collection.objects.link(bpy.context.scene.camera)
        name, blend, out = obj.name, folder / "baked.blend", folder / "out.npz"
        bpy.ops.wm.save_as_mainfile(filepath=str(blend))
        elsewhere(blend, out, name, "scaled", 10)
        with np.load(out) as found:
            depth = np.linalg.norm(found["viewport_0"] - found["viewport_1"], axis=1)
        old_depth = np.linalg.norm(before, axis=1)
        assert np.abs(depth - 10 * old_depth).max() < 1e-2 * old_depth.mean()


def test_a_head_that_is_edited_keeps_its_depth() -> None:
    """Deleted vertices, which change the numbers of others; a duplicate; all shape keys applied."""
    obj = wrinkled_head()
    scale(obj, (10.0,) * 3, apply=True)
    obj.deca.wrinkle_strength = 1.5
    mesh = bmesh.new()
    mesh.from_mesh(obj.data)
    mesh.verts.ensure_lookup_table()
    low = [vertex for vertex in mesh.verts if vertex.co.y < np.quantile(HEAD.verts[:, 1], 0.1) * 10]
    bmesh.ops.delete(mesh, geom=low, context="VERTS")
    mesh.to_mesh(obj.data)
    mesh.free()
    assert len(obj.data.vertices) < 0.95 * len(HEAD.verts)
    bpy.ops.object.select_all(action="DESELECT")
    for part in (obj, obj.parent):
        part.select_set(True)
    bpy.ops.object.duplicate()
    (copy,) = [other for other in bpy.context.selected_objects if other.type == "MESH"]
    scale(copy, (0.5,) * 3, apply=True)
    bpy.context.view_layer.update()
    for head, depth in ((obj, 11.25), (copy, 5.625)):  # strength 1.5 moves by 1.125
        assert np.isclose(head.modifiers["Wrinkles"].strength, depth, rtol=1e-4), head.modifiers["Wrinkles"].strength
    fresh = wrinkled_head()
    fresh.shape_key_clear()
    for strength in (2.0, 0.5):
        fresh.deca.wrinkle_strength = strength
        bpy.context.view_layer.update()
        assert np.isclose(fresh.modifiers["Wrinkles"].strength, min(strength, 0.75 + 0.25 * strength))


def test_normals_that_are_turned_out_again_by_hand() -> None:
    """What users of Blender 4 do after a mirroring scale; Blender 5 does it itself."""
    obj = wrinkled_head()
    _, before = displaced(obj, "Wrinkles")
    scale(obj, (-1.0, 1.0, 1.0), apply=True)
    assert_scaled(obj, "Wrinkles", before, 1.0)
    if obj["wrinkle_side"] < 0:
        obj.data.flip_normals()
        assert_scaled(obj, "Wrinkles", before, 1.0)
    assert obj["wrinkle_side"] == 1


def test_the_rig_poses_a_scaled_head_alike() -> None:
    obj = wrinkled_head()
    obj.modifiers["Wrinkles"].show_viewport = False
    keys = obj.data.shape_keys.key_blocks
    keys["jawOpen"].value, keys["mouthSmileLeft"].value, keys["eyeLookUpLeft"].value = 0.6, 0.5, 1.0
    obj.parent.pose.bones["neck"].rotation_axis_angle = (0.3, 0.2, 1, 0)
    before = case.evaluated_verts(obj)
    scale(obj, (10.0,) * 3, apply=True)
    assert np.abs(case.evaluated_verts(obj) - 10 * before).max() < 1e-4


case.main(globals())
