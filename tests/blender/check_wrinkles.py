"""Wrinkles in real Blender with the real backend and random weights: every map is what F_d says when asked directly.

Skipped where the interpreter of the backend (`.venv` of the checkout) is missing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from live_case import assert_right, settle
from wrinkle_case import HEAD, PATIENCE_S, decoded, real_session, shown_map, wrinkled_head

from deca_blender.client.errors import BackendDied
from deca_blender.protocol.messages import Ping
from deca_blender.scene import live, wrinkles
from deca_blender.scene.import_face import import_face


def test_import_has_the_modifiers_and_the_map_of_the_photo() -> None:
    obj = wrinkled_head()
    assert [modifier.type for modifier in obj.modifiers] == ["ARMATURE", "SUBSURF", "NODES", "DISPLACE"]
    subdivision, displace = obj.modifiers[1], obj.modifiers[3]
    assert (subdivision.levels, subdivision.render_levels) == (1, 2)
    assert bpy.ops.deca.update_wrinkles() == {"FINISHED"}
    assert_right(obj)
    image = wrinkles.map_image(obj)
    assert image.is_float and image.colorspace_settings.name == "Non-Color" and displace.strength == 1


def test_a_head_without_detail_has_no_wrinkles() -> None:
    obj = import_face(bpy.context, HEAD, case.face_reply(HEAD))
    assert [modifier.type for modifier in obj.modifiers] == ["ARMATURE"]
    assert not live.update_now(obj) and not live.is_behind(obj)


def subdivided(obj: bpy.types.Object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, vertex normals and one texture coordinate per vertex (with the spread of all) of what Blender shows."""
    bpy.context.view_layer.update()
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    count, loops = len(mesh.vertices), len(mesh.loops)
    verts, normals, uv = (
        np.empty(3 * count, np.float32),
        np.empty(3 * count, np.float32),
        np.empty(2 * loops, np.float32),
    )
    corner = np.empty(loops, np.int32)
    mesh.vertices.foreach_get("co", verts)
    mesh.vertex_normals.foreach_get("vector", normals)
    mesh.uv_layers.active.uv.foreach_get("vector", uv)
    mesh.loops.foreach_get("vertex_index", corner)
    evaluated.to_mesh_clear()
    low, high = np.full((count, 2), 9.0), np.full((count, 2), -9.0)
    np.minimum.at(low, corner, uv.reshape(-1, 2))
    np.maximum.at(high, corner, uv.reshape(-1, 2))
    return verts.reshape(-1, 3).astype(float), normals.reshape(-1, 3).astype(float), np.stack([low, high], 1)


def test_displaced_vertices_equal_a_numpy_reference() -> None:
    obj = wrinkled_head()
    live.update_now(obj)
    obj.deca.wrinkle_strength = 2.0
    bpy.context.view_layer.update()
    moved, _, _ = subdivided(obj)
    displace = obj.modifiers["Wrinkles"]
    assert displace.strength == 1.25
    displace.show_viewport = False
    verts, normals, uv = subdivided(obj)
    assert len(verts) > 3 * len(HEAD.verts)
    seamless = np.abs(uv[:, 0] - uv[:, 1]).max(1) < 1e-6
    assert seamless.mean() > 0.9
    at = uv[seamless, 0] * 256 - 0.5
    rows = shown_map(obj)[::-1].astype(float)
    low = np.floor(at).astype(int)
    part = at - low
    (x0, y0), (x1, y1) = np.clip(low, 0, 255).T, np.clip(low + 1, 0, 255).T
    (fx, fy) = part.T
    depth = rows[y0, x0] * (1 - fx) * (1 - fy) + rows[y0, x1] * fx * (1 - fy)
    depth += rows[y1, x0] * (1 - fx) * fy + rows[y1, x1] * fx * fy
    expected = verts[seamless] + 1.25 * depth[:, None] * normals[seamless]
    error = np.abs(moved[seamless] - expected).max()
    assert np.abs(depth).max() > 1e-4 and error < 1e-5, error


def test_a_head_of_an_earlier_openhead_says_so_and_keeps_its_wrinkles() -> None:
    obj = wrinkled_head()
    live.update_now(obj)
    shown = shown_map(obj)
    obj.deca.model_hash = "0123456789abcdef"
    obj.data.shape_keys.key_blocks["exp_007"].value = 1.5
    try:
        bpy.ops.deca.update_wrinkles()
    except RuntimeError as error:
        assert "made with an earlier OpenHead" in str(error) and "import the photo again" in str(error)
    else:
        raise AssertionError("decoded by weights of another head")
    assert np.abs(shown).max() > 0 and np.array_equal(shown_map(obj), shown)


def test_whatever_moves_is_followed() -> None:
    obj = wrinkled_head()
    settle(obj)
    assert_right(obj)
    keys, bone = obj.data.shape_keys.key_blocks, obj.parent.pose.bones["jaw"]
    seen = [shown_map(obj)]
    keys["exp_007"].value = 1.5
    settle(obj)
    assert_right(obj)
    seen.append(shown_map(obj))
    keys["mouthSmileLeft"].value, keys["jawOpen"].value = 0.8, 0.6
    settle(obj)
    assert_right(obj)
    seen.append(shown_map(obj))
    for mode, path, value in (
        ("AXIS_ANGLE", "rotation_axis_angle", (0.3, 1.0, 0.2, 0.0)),
        ("XYZ", "rotation_euler", (0.4, 0.1, -0.1)),
        ("ZXY", "rotation_euler", (0.2, 0.3, -0.1)),
        ("QUATERNION", "rotation_quaternion", (0.98, 0.19, 0.05, 0.0)),
    ):
        bone.rotation_mode = mode
        setattr(bone, path, value)
        settle(obj)
        assert_right(obj)
        seen.append(shown_map(obj))
    assert all(np.abs(a - b).max() > 1e-5 for a, b in itertools.pairwise(seen))


def test_the_latest_of_many_moves_wins() -> None:
    obj = wrinkled_head()
    key = obj.data.shape_keys.key_blocks["exp_001"]
    for value in np.linspace(-2, 2, 40):
        key.value = value
        bpy.context.view_layer.update()
        live.tick()
    settle(obj)
    assert_right(obj)


def test_live_off_leaves_the_map_alone() -> None:
    obj = wrinkled_head()
    settle(obj)
    before = shown_map(obj)
    obj.deca.wrinkles_live = False
    obj.data.shape_keys.key_blocks["exp_001"].value = 2
    settle()
    time.sleep(0.2)
    settle()
    bpy.context.scene.frame_set(3)
    assert np.array_equal(shown_map(obj), before)


def test_two_heads_and_a_duplicate_have_their_own_maps() -> None:
    first, second = wrinkled_head(1), wrinkled_head(2)
    settle(first, second)
    bpy.ops.object.select_all(action="DESELECT")
    for obj in (first, first.parent):
        obj.select_set(True)
    bpy.ops.object.duplicate()
    (copy,) = [obj for obj in bpy.context.selected_objects if obj.type == "MESH"]
    assert copy.parent is not first.parent
    copy.data.shape_keys.key_blocks["exp_003"].value = -2
    copy.name, second.name = "renamed", "also renamed"
    second.parent.pose.bones["jaw"].rotation_axis_angle = (0.4, 1, 0, 0)
    settle(first, second, copy)
    for obj in (first, second, copy):
        assert_right(obj)
    assert len({wrinkles.map_image(obj).name for obj in (first, second, copy)}) == 3
    first.deca.wrinkle_strength = 0.5
    bpy.context.view_layer.update()
    strengths = [obj.modifiers["Wrinkles"].strength for obj in (first, second, copy)]
    assert np.allclose(strengths, [0.5, 1, 1]), strengths


def test_a_linked_duplicate_has_its_own_map() -> None:
    """It shares the sliders, but its jaw is another."""
    first = wrinkled_head(1)
    settle(first)
    bpy.ops.object.select_all(action="DESELECT")
    for obj in (first, first.parent):
        obj.select_set(True)
    bpy.ops.object.duplicate(linked=True)
    (copy,) = [obj for obj in bpy.context.selected_objects if obj.type == "MESH"]
    assert copy.data == first.data and copy.parent is not first.parent
    copy.parent.pose.bones["jaw"].rotation_axis_angle = (0.4, 1, 0, 0)
    first.data.shape_keys.key_blocks["exp_003"].value = -2
    settle(first, copy)
    for obj in (first, copy):
        assert_right(obj)
    assert np.abs(shown_map(first) - shown_map(copy)).max() > 1e-6


def test_a_head_deleted_during_the_request_is_forgotten() -> None:
    first, second = wrinkled_head(1), wrinkled_head(2)
    settle(first, second)
    for obj in (first, second):
        obj.data.shape_keys.key_blocks["exp_003"].value = -1
    bpy.context.view_layer.update()
    live.tick()
    assert live.is_behind(first)
    bpy.data.objects.remove(first)
    settle(second)
    assert_right(second)
    time.sleep(0.1)
    live.tick()


def test_the_backend_killed_in_between_comes_back() -> None:
    obj = wrinkled_head()
    settle(obj)
    for value in (0.5, 1.0, 1.5):
        obj.data.shape_keys.key_blocks["exp_005"].value = value
        bpy.context.view_layer.update()
        live.tick()
        pid = real_session().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        settle(obj)
        assert_right(obj)


def test_undo_and_redo() -> None:
    obj = wrinkled_head()
    name = obj.name
    settle(obj)
    bpy.ops.ed.undo_push(message="import")
    obj.data.shape_keys.key_blocks["exp_004"].value = 2
    settle(obj)
    bpy.ops.ed.undo_push(message="move")
    changed = shown_map(obj)
    bpy.ops.ed.undo()
    obj = bpy.data.objects[name]
    settle(obj)
    assert abs(obj.data.shape_keys.key_blocks["exp_004"].value - 2) > 0.1
    assert_right(obj)
    assert np.abs(shown_map(obj) - changed).max() > 1e-5
    bpy.ops.ed.redo()
    obj = bpy.data.objects[name]
    settle(obj)
    assert np.abs(shown_map(obj) - changed).max() < 1e-6


def test_a_saved_file_holds_the_map_and_goes_on(folder: Path) -> None:
    obj = wrinkled_head()
    name, strength = obj.name, 1.5
    obj.deca.wrinkle_strength = strength
    settle(obj)
    expected = shown_map(obj)
    path = str(folder / "head é.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    obj = bpy.data.objects[name]
    assert np.array_equal(shown_map(obj), expected)
    assert obj.modifiers["Wrinkles"].strength == wrinkles.moved_strength(strength)
    obj.data.shape_keys.key_blocks["exp_002"].value = 1.0
    settle(obj)
    assert_right(obj)
    bpy.ops.wm.save_as_mainfile(filepath=path)
    expected = shown_map(obj)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert np.array_equal(shown_map(bpy.data.objects[name]), expected)


def animate(obj: bpy.types.Object, frames: int) -> None:
    key, bone = obj.data.shape_keys.key_blocks["exp_000"], obj.parent.pose.bones["jaw"]
    for frame in range(1, frames + 1):
        key.value = 0.7 * frame - 2
        key.keyframe_insert("value", frame=frame)
        bone.rotation_axis_angle = (0.1 * frame, 1, 0, 0)
        bone.keyframe_insert("rotation_axis_angle", frame=frame)
    bpy.context.scene.frame_end = frames


def test_frames_in_background_have_their_own_maps() -> None:
    obj = wrinkled_head()
    animate(obj, 4)
    for frame in (3, 1, 4, 2):
        bpy.context.scene.frame_set(frame)
        assert abs(obj.data.shape_keys.key_blocks["exp_000"].value - (0.7 * frame - 2)) < 1e-6
        assert_right(obj, case.rotation(np.array([0.1 * frame, 0, 0])))


def test_every_rendered_frame_has_its_own_map(folder: Path) -> None:
    """Values come from the render's dependency graph; one kill on the way; pictures equal stills of the same frames."""
    import addon_utils

    addon_utils.enable("cycles")
    obj = wrinkled_head()
    animate(obj, 4)
    obj.deca.wrinkle_strength, obj.modifiers["Wrinkle Subdivision"].render_levels = 3, 1
    scene = bpy.context.scene
    light = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    light.rotation_euler = (1.0, 0.5, 0)
    scene.collection.objects.link(light)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x = scene.render.resolution_y = 96
    scene.render.resolution_percentage = 100
    scene.render.filepath = str(folder / "frame ")
    shown: dict[int, np.ndarray] = {}

    def note(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
        if depsgraph.mode == "RENDER":
            shown[scene.frame_current] = shown_map(obj)
            if scene.frame_current == 2:
                os.kill(real_session().pid or 0, signal.SIGKILL)

    bpy.app.handlers.frame_change_post.append(note)
    try:
        bpy.ops.render.render(animation=True)
    finally:
        bpy.app.handlers.frame_change_post.remove(note)
    assert sorted(shown) == [1, 2, 3, 4]
    with contextlib.suppress(BackendDied):  # where later maps were ready at the kill, the first to ask learns of it
        real_session().request(Ping(), timeout=PATIENCE_S)
    for frame in shown:
        expression = np.array([obj.data.shape_keys.key_blocks[f"exp_{index:03d}"].value for index in range(50)])
        expression[0] = 0.7 * frame - 2
        expected = decoded(obj["deca_detail"], expression, np.array([0.1 * frame, 0, 0]))
        assert np.abs(shown[frame] - expected).max() < 1e-6
    obj.deca.wrinkles_live = False
    for frame in (2, 4):
        scene.frame_set(frame)
        for displayed, same in ((shown[frame], True), (shown[1], False)):
            wrinkles.apply_map(obj, displayed)
            scene.render.filepath = str(folder / "still.png")
            bpy.ops.render.render(write_still=True)
            difference = np.abs(picture(folder / "still.png") - picture(folder / f"frame {frame:04d}.png")).max()
            assert (difference < 1 / 255) if same else (difference > 2 / 255), (frame, same, difference)


def test_frames_whose_wrinkles_fail_are_not_kept(folder: Path) -> None:
    import addon_utils

    addon_utils.enable("cycles")
    obj = wrinkled_head()
    live.update_now(obj)
    animate(obj, 2)
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x = scene.render.resolution_y = 16
    obj.modifiers["Wrinkle Subdivision"].render_levels = 0
    scene.render.filepath = str(folder / "frame ")
    older = [folder / name for name in ("frame .png", "still.png.png")]  # where stills of these names would be
    for path in older:
        path.write_bytes(b"rendered yesterday")
        os.utime(path, (time.time() - 86400,) * 2)
    right_hash, obj.deca.weights_hash = obj.deca.weights_hash, "0" * 16  # the backend refuses
    bpy.ops.render.render(animation=True)
    scene.render.filepath = str(folder / "still.png")
    bpy.ops.render.render(write_still=True)
    assert sorted(folder.iterdir()) == older and all(path.read_bytes() == b"rendered yesterday" for path in older)
    for path in older:
        path.unlink()
    obj.deca.weights_hash = right_hash
    scene.render.filepath = str(folder / "frame ")
    bpy.ops.render.render(animation=True)
    assert sorted(path.name for path in folder.iterdir()) == ["frame 0001.png", "frame 0002.png"]


def picture(path: Path) -> np.ndarray:
    image = bpy.data.images.load(str(path))
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels


case.main(globals())
