"""What an import leaves in the file, and what a failed one does not."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np

from deca_blender.scene import head_mesh
from deca_blender.scene import import_face as module
from deca_blender.scene.head import arkit_names, find_head, rig_of
from deca_blender.scene.import_face import ImportFaceError, import_face

HEAD = case.head_reply()


def all_data() -> dict[str, list[str]]:
    """Names of everything in the file."""
    found = {}
    for name in dir(bpy.data):
        blocks = getattr(bpy.data, name)
        if isinstance(blocks, bpy.types.bpy_prop_collection):
            found[name] = sorted(block.name for block in blocks)
    return found


def scene_state() -> tuple:
    scene = bpy.context.scene
    render = scene.render
    return (
        scene.camera,
        (render.resolution_x, render.resolution_y, render.resolution_percentage),
        (render.pixel_aspect_x, render.pixel_aspect_y, render.use_lock_interface),
        bpy.context.view_layer.objects.active,
        [obj.name for obj in bpy.context.selected_objects],
        bpy.context.mode,
        [collection.name for collection in scene.collection.children],
    )


def must_fail(head, face, kind: type[Exception]) -> Exception:
    try:
        import_face(bpy.context, head, face)
    except kind as error:
        return error
    raise AssertionError("the import did not fail")


def test_mesh_is_the_head_model_in_neutral() -> None:
    face = case.face_reply(HEAD)
    obj = import_face(bpy.context, HEAD, face)
    mesh = obj.data
    basis = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.shape_keys.key_blocks["Basis"].points.foreach_get("co", basis)
    neutral = case.posed_verts(HEAD, face.shape, np.zeros(50), np.zeros((5, 3)))
    assert np.abs(basis.reshape(-1, 3) - neutral).max() < 1e-6
    corners = [list(polygon.vertices) for polygon in mesh.polygons]
    assert corners == [[vertex for vertex in polygon if vertex >= 0] for polygon in HEAD.polygons.tolist()]
    assert np.mean([len(polygon) == 4 for polygon in corners]) > 0.9
    mesh.calc_loop_triangles()
    shown = {tuple(sorted(triangle.vertices)) for triangle in mesh.loop_triangles}
    cut_alike = shown & set(map(tuple, np.sort(case.triangles_of(HEAD.polygons)).tolist()))
    assert len(cut_alike) > 0.99 * len(shown)  # Blender cuts the few that are folded the other way
    uv = np.empty(2 * len(mesh.loops), np.float32)
    mesh.uv_layers.active.uv.foreach_get("vector", uv)
    assert np.array_equal(uv.reshape(-1, 2), HEAD.uv[HEAD.uv_polygons[HEAD.polygons >= 0]])
    assert not mesh.validate(), "Blender had to repair the mesh"
    names = [slot.name.rsplit(" ", 1)[1] for slot in obj.material_slots]
    assert names == ["Skin", "Eyes", "Mouth"]
    for part, name in ((0, "Skin"), (1, "Eyes"), (2, "Eyes"), (3, "Mouth"), (5, "Mouth")):
        polygon = int(np.flatnonzero((HEAD.part[HEAD.polygons] == part).all(axis=1))[0])
        assert names[mesh.polygons[polygon].material_index] == name


def test_teeth_keep_their_height_under_subdivision() -> None:
    """Each tooth's tip and gum line, of which an average over their neighbours would take two millimetres."""
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD))
    obj.parent.data.pose_position = "REST"

    def teeth(part: int) -> np.ndarray:
        bpy.context.view_layer.update()
        mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
        verts, parts = np.empty(3 * len(mesh.vertices), np.float32), np.empty(len(mesh.vertices), np.int8)
        mesh.vertices.foreach_get("co", verts)
        mesh.attributes[head_mesh.PART].data.foreach_get("value", parts)
        return verts.reshape(-1, 3)[parts == part]

    before = [np.ptp(teeth(part)[:, 1]) for part in (3, 4)]
    obj.modifiers.new("Subdivision", "SUBSURF").levels = 2
    after = [np.ptp(teeth(part)[:, 1]) for part in (3, 4)]
    assert np.abs(np.array(after) - before).max() < 2e-4, (before, after)


def test_keys_have_the_promised_names_and_ranges() -> None:
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD))
    keys = obj.data.shape_keys.key_blocks
    assert [key.name for key in keys[1:51]] == [f"exp_{index:03d}" for index in range(50)]
    assert arkit_names(obj) == HEAD.arkit_names and len(HEAD.arkit_names) == 52
    named = [key.name for key in keys if key.name.startswith("shape_")]
    assert len(named) == len(HEAD.named_shape_keys) == 22
    assert len(keys) == 1 + 50 + 52 + 36 + 22 + (HEAD.age_direction is not None)
    assert all(key.slider_min <= -3 and key.slider_max >= 3 for key in keys if key.name.startswith(("exp_", "corr_")))


def test_textures_are_packed_and_unchanged() -> None:
    face = case.face_reply(HEAD)
    obj = import_face(bpy.context, HEAD, face)
    for slot in obj.material_slots:
        nodes = slot.material.node_tree.nodes
        for name, texture in (("Albedo", face.albedo), ("As Photographed", face.photographed)):
            image = nodes[name].image
            assert image.packed_file is not None and image.colorspace_settings.name == "sRGB"
            assert np.array_equal(np.rint(case.shown(image)).astype(np.uint8), texture)


def test_head_remembers_how_it_was_made(folder: Path) -> None:
    face = case.face_reply(HEAD, 3)
    name = import_face(bpy.context, HEAD, face).name
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "a.blend"))
    obj = bpy.data.objects[name]
    deca = obj.deca
    assert deca.is_head and (deca.model, deca.model_hash) == (HEAD.name, HEAD.hash)
    assert deca.photo == face.photo and tuple(deca.image_size) == face.image_size
    assert np.allclose(obj["deca_shape"], face.shape) and np.allclose(obj["deca_expression"], face.expression)
    assert np.allclose(deca.pose, face.pose.ravel()) and np.allclose(deca.camera, face.camera)
    assert np.allclose(deca.crop, face.crop.ravel(), rtol=1e-6)


def test_names_follow_the_photo() -> None:
    for name in ("Zoë Müller 1", "王小明", "a" * 300, "Zoë Müller 1"):
        obj = import_face(bpy.context, HEAD, case.face_reply(HEAD, name=name))
        assert obj.name.startswith(name[:20])
        collection = obj.users_collection[0]
        assert collection.name.startswith(name[:20])
        assert {item.type for item in collection.objects} == {"MESH", "ARMATURE", "CAMERA"}
        for member in collection.objects:
            assert find_head(member) is obj
        assert rig_of(obj).type == "ARMATURE"
        assert case.evaluated_verts(obj).shape == HEAD.verts.shape
    assert len({collection.name for collection in bpy.data.collections}) == 4


def test_import_out_of_edit_mode() -> None:
    first = import_face(bpy.context, HEAD, case.face_reply(HEAD, 1))
    bpy.ops.object.mode_set(mode="EDIT")
    second = import_face(bpy.context, HEAD, case.face_reply(HEAD, 2))
    bpy.context.view_layer.update()
    assert bpy.context.mode == "OBJECT"
    assert bpy.context.view_layer.objects.active is second and bpy.context.selected_objects == [second]
    assert abs(second.matrix_world.translation.x - first.matrix_world.translation.x) > 0.3


def test_failure_leaves_nothing_behind() -> None:
    """At each step of the build in turn, with an empty file and with a head in it."""
    steps = [
        (module.armature, "drive_arkit_bones"),
        (module.head_mesh, "add_skin_weights"),
        (module.shape_keys, "drive_correctives"),
        (module.material, "add_materials"),
        (module, "show_photo"),
        (module.camera, "build_camera"),
        (module, "place"),
        (module.armature, "add_bone"),  # in edit mode
    ]

    def broken(*args, **kwargs):
        raise RuntimeError("disk full")

    wrinkled = case.face_reply(HEAD, 5, detail=np.zeros(128, np.float32), weights_hash="0123456789abcdef")
    for _ in range(2):
        data, state = all_data(), scene_state()
        for owner, name in steps:
            original = getattr(owner, name)
            setattr(owner, name, broken)
            try:
                must_fail(HEAD, wrinkled, RuntimeError)
            finally:
                setattr(owner, name, original)
            assert all_data() == data, f"{name}: {all_data()}"
            assert scene_state() == state, name
        import_face(bpy.context, HEAD, case.face_reply(HEAD, 6))


def test_coefficients_of_another_head_model_are_refused() -> None:
    data = all_data()
    error = must_fail(HEAD, case.face_reply(HEAD, head_hash="ffff"), ImportFaceError)
    assert "another" in str(error) or "belong" in str(error)
    too_many = np.zeros(case.NUM_SHAPE + 1, np.float32)
    must_fail(HEAD, case.face_reply(HEAD, shape=too_many), ImportFaceError)
    must_fail(HEAD, case.face_reply(HEAD, crop=np.diag([1.0, 2.0, 1.0])), ImportFaceError)
    must_fail(HEAD, case.face_reply(HEAD, crop=np.zeros((3, 3))), ImportFaceError)
    assert all_data() == data


def test_head_model_without_arkit_map() -> None:
    from dataclasses import replace

    head = replace(HEAD, arkit_map=None, arkit_names=())
    face = case.face_reply(head)
    obj = import_face(bpy.context, head, face)
    error = np.abs(case.evaluated_verts(obj) - case.posed_verts(HEAD, face.shape, face.expression, face.pose)).max()
    assert error < 1e-5
    assert arkit_names(obj) == ()


def test_undo_takes_the_import_back() -> None:
    bpy.ops.ed.undo_push(message="before")
    data = all_data()
    import_face(bpy.context, HEAD, case.face_reply(HEAD))
    bpy.ops.ed.undo_push(message="import")
    assert all_data() != data
    bpy.ops.ed.undo()
    assert all_data() == data
    bpy.ops.ed.redo()
    obj = find_head(bpy.data.objects["Zoë Müller 1"])
    face = case.face_reply(HEAD)
    expected = case.posed_verts(HEAD, face.shape, face.expression, face.pose)
    assert np.abs(case.evaluated_verts(obj) - expected).max() < 1e-5


case.main(globals())
