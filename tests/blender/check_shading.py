"""What the material shows of wrinkles, rendered: normals against the slopes of a known surface; bakes against live."""

from __future__ import annotations

import json
import math
from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from numpy.typing import NDArray

from deca_blender.core import wrinkle_rig
from deca_blender.scene import material, shading, stand_in, wrinkles
from deca_blender.scene.baked_frames import SequenceFolder, show_packed, show_sequence
from deca_blender.scene.baked_rig import show_rig
from deca_blender.scene.import_face import ImportOptions, import_face

HEAD = case.head_reply()
SIDE_M, WAVES, DEEP_M = 0.128, 8, 0.4e-3
"""A sheet of one texel per half millimetre, as heads have, with waves 16 mm long and 0.4 mm high."""


def sheet() -> bpy.types.Object:
    """A square of 8 x 8 faces in the xy plane that carries the wrinkle modifiers of a head, and waves along x."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=8, y_subdivisions=8, size=SIDE_M)
    obj = bpy.context.object
    obj.data.uv_layers.active.name = "UVMap"
    obj.data.polygons.foreach_set("use_smooth", np.ones(len(obj.data.polygons), bool))
    obj.shape_key_add(name="Basis")
    material.add_materials(obj.data, "Sheet", {})
    wrinkles.add_wrinkles(obj)
    obj.modifiers["Wrinkle Subdivision"].subdivision_type = "SIMPLE"
    phase_N = 2 * math.pi * WAVES * (np.arange(256) + 0.5) / 256
    wrinkles.apply_map(obj, np.tile(DEEP_M * np.sin(phase_N), (256, 1)).astype(np.float32))
    return obj


def off(allowed: float, before_filter_width: float) -> float:
    """How far shading may be off: more in Blender 4.2, whose Bump node has no Filter Width (docs/releasing.md)."""
    tree = bpy.data.node_groups.new("Bump", "ShaderNodeTree")
    has_width = "Filter Width" in tree.nodes.new("ShaderNodeBump").inputs
    bpy.data.node_groups.remove(tree)
    return allowed if has_width else before_filter_width


def look(obj: bpy.types.Object, socket: str, size: float = SIDE_M, pixels: int = 128) -> NDArray[np.float64]:
    """What an output of the head's wrinkle group is where a camera from above sees it (H, W, 3), bottom row first."""
    bpy.ops.preferences.addon_enable(module="cycles")
    scene = bpy.context.scene
    tree = obj.material_slots[0].material.node_tree
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    glow, scaled = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeVectorMath")
    scaled.operation = "MULTIPLY_ADD"
    scaled.inputs[1].default_value = scaled.inputs[2].default_value = (0.5, 0.5, 0.5)
    tree.links.new(tree.nodes[shading.GROUP].outputs[socket], scaled.inputs[0])
    tree.links.new(scaled.outputs[0], glow.inputs["Color"])
    surface = output.inputs["Surface"].links[0].from_socket
    tree.links.new(glow.outputs[0], output.inputs["Surface"])
    camera = bpy.data.objects.new("Above", bpy.data.cameras.new("Above"))
    camera.data.type, camera.data.ortho_scale, camera.location = "ORTHO", size, (0, 0, 5)
    scene.collection.objects.link(camera)
    scene.camera, scene.render.engine = camera, "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.pixel_filter_type = 1, False, "BOX"
    scene.cycles.filter_width = 0.01  # middles of the pixels
    scene.render.resolution_x = scene.render.resolution_y = pixels
    scene.render.resolution_percentage, scene.view_settings.view_transform = 100, "Raw"
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth, settings.color_mode = "OPEN_EXR", "32", "RGB"
    path = str(Path(bpy.app.tempdir) / "look.exr")
    scene.render.filepath = path
    for modifier in obj.modifiers:
        if modifier.type == "SUBSURF":
            modifier.render_levels = modifier.levels
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(path)
    values = np.empty(pixels * pixels * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    bpy.data.objects.remove(camera)
    tree.links.new(surface, output.inputs["Surface"])
    for node in (glow, scaled):
        tree.nodes.remove(node)
    return 2 * values.reshape(pixels, pixels, 4)[..., :3].astype(float) - 1


def angles(normals_HW3: NDArray, pixels: int = 128) -> tuple[NDArray, NDArray]:
    """Slopes in degrees along x of the pixels' normals and of the waves, without the sheet's border."""
    x_W = (np.arange(pixels) + 0.5) / pixels
    waves_W = np.degrees(np.arctan(-DEEP_M * 2 * np.pi * WAVES / SIDE_M * np.cos(2 * np.pi * WAVES * x_W)))
    shown_HW = np.degrees(np.arctan2(normals_HW3[..., 0], normals_HW3[..., 2]))
    return shown_HW[8:-8, 8:-8], np.broadcast_to(waves_W, shown_HW.shape)[8:-8, 8:-8]


def test_normals_are_the_maps_at_every_level_of_subdivision() -> None:
    """Counted twice, they would be up to twice as steep where points are near each other."""
    obj = sheet()
    for level in (0, 2, 5):
        obj.modifiers["Wrinkle Subdivision"].levels = level
        shown, waves = angles(look(obj, "Normal"))
        assert np.abs(waves).max() > 8 and np.abs(shown - waves).max() < off(0.6, 1.25), (
            level,
            np.abs(shown - waves).max(),
        )


def test_strength_and_scale() -> None:
    obj = sheet()
    obj["wrinkle_strength"] = 0.0
    assert np.abs(look(obj, "Normal") - (0, 0, 1)).max() < 1e-4
    assert np.ptp(look(obj, "Color")[..., 0]) < 1e-6
    obj["wrinkle_strength"] = 3.0
    shown, waves = angles(look(obj, "Normal"))
    turned = np.degrees(np.arctan(3 * np.tan(np.radians(waves))))
    limited = np.degrees(np.arctan2(np.sin(np.radians(turned)), 1.0))  # normal + (1 - cos) * up
    assert np.abs(turned).max() > 24 and np.abs(shown - limited).max() < off(1.5, 3.75), np.abs(shown - limited).max()
    obj["wrinkle_strength"] = 1.0
    for apply in (False, True):
        obj.scale = (10, 10, 10)
        if apply:
            bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
        shown, waves = angles(look(obj, "Normal", 10 * SIDE_M))
        assert np.abs(shown - waves).max() < off(0.6, 1.25), (apply, np.abs(shown - waves).max())


def test_valleys_are_darker_and_redder_and_hills_are_not() -> None:
    obj = sheet()
    color = np.array(material.SURFACES[0].color)
    shades = (look(obj, "Color") / color)[64]
    height = DEEP_M * np.sin(2 * np.pi * WAVES * (np.arange(128) + 0.5) / 128)
    assert np.abs(shades[height > 2e-5] - 1).max() < 1e-3
    deepest = shades[height < -3.9e-4]
    for channel, (least, most) in enumerate(((0.82, 0.88), (0.73, 0.80), (0.69, 0.78))):
        assert least < deepest[:, channel].min() and deepest[:, channel].max() < most
        assert np.corrcoef(shades[height < 0, channel], height[height < 0])[0, 1] > 0.9
    assert (np.diff(deepest, axis=1) < 0).all()


def test_without_the_kept_normals_there_are_those_of_the_surface() -> None:
    """Where modifiers were applied or removed."""
    obj = sheet()
    obj.modifiers.remove(obj.modifiers[shading.SURFACE])
    obj.modifiers["Wrinkles"].show_render = False
    normals = look(obj, "Normal")
    shown, waves = angles(normals)
    assert np.abs(shown - waves).max() < off(0.6, 1.25), normals[64, 20:30]


def test_strength_above_one_moves_the_surface_less() -> None:
    obj = sheet()
    for strength, moved in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (3.0, 1.5)):
        obj.deca.wrinkle_strength = strength
        bpy.context.view_layer.update()
        assert np.isclose(obj.modifiers["Wrinkles"].strength, moved), (strength, obj.modifiers["Wrinkles"].strength)
    assert all(curve.driver.is_simple_expression for curve in obj.animation_data.drivers)


def test_baked_wrinkles_look_like_live_ones(folder: Path) -> None:
    """Frames in the file and beside it, a rig with weights; clearing goes back."""
    obj = sheet()
    scene = bpy.context.scene
    live_map = wrinkles.read_map(wrinkles.map_image(obj))
    maps = {3: live_map, 4: (0.5 * live_map).T.copy(), 5: -live_map}
    groups = len(bpy.data.node_groups)
    expected = {}
    for frame, map_NN in maps.items():
        wrinkles.apply_map(obj, map_NN)
        expected[frame] = look(obj, "Color"), look(obj, "Normal")
    assert np.abs(expected[3][1] - expected[4][1]).max() > 0.1

    def assert_same(frame: int) -> None:
        for shown, wanted in zip((look(obj, "Color"), look(obj, "Normal")), expected[frame], strict=True):
            assert np.abs(shown - wanted)[8:-8, 8:-8].max() < off(0.02, 0.025), (
                frame,
                np.abs(shown - wanted)[8:-8, 8:-8].max(),
            )

    sequence = SequenceFolder(folder, "Sheet", 3)
    for frame, map_NN in maps.items():
        sequence.put(frame, map_NN)
    sequence.commit()
    for show in (lambda: show_packed(obj, maps, 3, 5), lambda: show_sequence(obj, sequence, 3, 5)):
        show()
        assert not shading.shows_live(obj)
        for frame in (4, 3, 5):
            scene.frame_set(frame)
            assert_same(frame)
        stand_in.remove_stand_in(obj)
        assert shading.shows_live(obj) and len(bpy.data.node_groups) == groups


def wrinkled_head() -> bpy.types.Object:
    face = case.face_reply(HEAD, 1, name="Zoë", detail=np.ones(128, np.float32), weights_hash="w1")
    obj = import_face(bpy.context, HEAD, face, ImportOptions(use_camera=False))
    obj.deca.wrinkles_live = False
    return obj


def test_a_baked_rig_looks_like_the_live_map_of_the_same_sliders() -> None:
    obj = wrinkled_head()
    obj.data.shape_keys.key_blocks["exp_000"].value = 0.5
    random = np.random.default_rng(0)
    coarse = 1e-3 * random.normal(size=(18, 32, 32)).astype(np.float32)
    maps_KHW = coarse.repeat(8, axis=1).repeat(8, axis=2)
    positive = np.zeros((53, 17), np.float32)
    positive[0] = random.normal(size=17)
    rig = wrinkle_rig.WrinkleRig(maps_KHW[0], maps_KHW[1:], positive, np.zeros_like(positive))
    inputs = np.zeros((1, 53))
    inputs[0, 0] = 0.5
    wrinkles.apply_map(obj, rig.displacement(inputs)[0].astype(np.float32))
    live = look(obj, "Color", 0.3), look(obj, "Normal", 0.3)
    show_rig(obj, rig)
    baked = look(obj, "Color", 0.3), look(obj, "Normal", 0.3)
    wrinkles.apply_map(obj, np.zeros((256, 256), np.float32))
    stand_in.remove_stand_in(obj)
    flat = look(obj, "Color", 0.3), look(obj, "Normal", 0.3)
    for first, second, without in zip(live, baked, flat, strict=True):
        difference, all_of_it = np.abs(first - second).mean(), np.abs(first - without).mean()
        assert difference < 0.02 * all_of_it, (difference, all_of_it)


def test_every_rendered_frame_shows_the_map_that_its_handler_set() -> None:
    obj = sheet()
    flat = {frame: np.full((256, 256), -1e-4 * frame, np.float32) for frame in (1, 2, 3)}
    look(obj, "Color")
    counts = [len(data) for data in (bpy.data.images, bpy.data.node_groups, bpy.data.materials)]
    expected = {}
    for frame, map_NN in flat.items():
        wrinkles.apply_map(obj, map_NN)
        expected[frame] = look(obj, "Color")[64, 64, 1]
    assert counts == [len(data) for data in (bpy.data.images, bpy.data.node_groups, bpy.data.materials)]
    seen = {}

    def set_map(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
        wrinkles.apply_map(obj, flat[scene.frame_current])

    bpy.app.handlers.frame_change_post.append(set_map)
    try:
        for frame in (2, 1, 3):
            bpy.context.scene.frame_set(frame)
            wrinkles.apply_map(obj, flat[4 - frame])  # rendering has to set it again
            seen[frame] = look(obj, "Color")[64, 64, 1]
    finally:
        bpy.app.handlers.frame_change_post.remove(set_map)
    assert all(np.isclose(seen[frame], expected[frame], atol=5e-4) for frame in flat), (seen, expected)
    assert expected[1] > expected[2] + 5e-3 > expected[3] + 1e-2


def test_a_heads_duplicates_show_their_own_maps() -> None:
    obj = wrinkled_head()
    for is_linked in (False, True):
        bpy.ops.object.select_all(action="DESELECT")
        for part in (obj, obj.parent):
            part.select_set(True)
        bpy.ops.object.duplicate(linked=is_linked)
        (copy,) = [other for other in bpy.context.selected_objects if other.type == "MESH"]
        wrinkles.apply_map(copy, np.full((256, 256), 1e-3, np.float32))
        for head in (obj, copy):
            node = head.material_slots[0].material.node_tree.nodes[shading.GROUP]
            assert node.node_tree.nodes["Live Map"].image == wrinkles.map_image(head)
        assert wrinkles.map_image(obj) != wrinkles.map_image(copy)


def test_gltf_has_the_photos_texture_and_no_heights(folder: Path) -> None:
    bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
    obj = sheet()
    photo = bpy.data.images.new("Photo", 8, 8)
    photo.pack()
    tree = obj.material_slots[0].material.node_tree
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = photo
    tree.links.new(texture.outputs["Color"], tree.nodes[shading.GROUP].inputs["Color"])
    path = folder / "sheet.gltf"
    bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLTF_SEPARATE")
    written = json.loads(path.read_text())
    assert [image["name"] for image in written["images"]] == ["Photo"]
    assert "normalTexture" not in written["materials"][0]
    assert "baseColorTexture" in written["materials"][0]["pbrMetallicRoughness"]


case.main(globals())
