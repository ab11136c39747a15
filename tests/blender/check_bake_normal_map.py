"""Normal maps baked in Blender: they are the backend's for the head as it looks, and light as displacement does."""

from __future__ import annotations

from pathlib import Path

import blender_case as case
import bpy
import numpy as np
from bake_case import select
from wrinkle_case import HEAD, decoded, real_session, wrinkled_head

from deca_blender import backend
from deca_blender.properties.head import STRENGTH
from deca_blender.protocol.messages import BakeNormalMap, DecodeWrinkles, WrinklesReply
from deca_blender.scene import wrinkles
from deca_blender.scene.normal_map import coarse_verts


def pixels(path: Path) -> np.ndarray:
    """A picture's RGB values as Blender reads them, top row first."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    flat = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(flat)
    bpy.data.images.remove(image)
    return flat.reshape(height, width, 4)[::-1, :, :3]


def test_the_file_is_of_what_the_head_looks_like(folder: Path) -> None:
    obj = wrinkled_head()
    keys = obj.data.shape_keys.key_blocks
    for index in range(50):
        keys[f"exp_{index:03d}"].value = 0.2 * np.sin(index)
    obj.parent.pose.bones["jaw"].rotation_axis_angle = (0.2, 1, 0, 0)
    obj.deca.wrinkle_strength = 1.5
    before = [(modifier.name, modifier.show_viewport, modifier.show_render) for modifier in obj.modifiers]
    select(obj)
    for size, bits, green in (("256", "8", "OPENGL"), ("512", "16", "DIRECTX")):
        path = folder / f"normals é {size}"  # the operator adds .png
        assert bpy.ops.deca.bake_normal_map(filepath=str(path), size=size, bits=bits, green=green) == {"FINISHED"}
        got = pixels(path.with_name(path.name + ".png"))
        expression = np.array([keys[f"exp_{index:03d}"].value for index in range(50)])
        pose = np.array(obj.deca.pose).reshape(5, 3)
        pose[2] = (0.2, 0, 0)
        verts = case.posed_verts(HEAD, np.array(obj["deca_shape"]), expression, pose).astype(np.float32)
        map_NN = np.float32(1.5) * decoded(obj["deca_detail"], expression, pose[2])
        reply = real_session().request(BakeNormalMap(verts, map_NN, int(size), int(bits), green == "OPENGL"))
        (folder / "direct.png").write_bytes(reply.png.tobytes())
        difference = np.abs(got - pixels(folder / "direct.png"))
        assert difference.mean() < 5e-4 and np.quantile(difference, 0.999) < 0.01, difference.mean()
        assert got.std() > 0.02 and len(np.unique(got)) > (256 if bits == "16" else 20)
    assert before == [(modifier.name, modifier.show_viewport, modifier.show_render) for modifier in obj.modifiers]
    assert np.abs(coarse_verts(obj) - verts).max() < 1e-5
    assert sorted(path.suffix for path in folder.iterdir()) == [".png"] * 3  # nothing unfinished


class Folded:
    """A session whose F_d always gives one map; all else is the real backend's."""

    def __init__(self, map_NN: np.ndarray) -> None:
        self._map_NN = map_NN

    def request(self, request: object, timeout: float) -> object:
        if isinstance(request, DecodeWrinkles):
            return WrinklesReply(self._map_NN)
        return real_session().request(request, timeout=timeout)


def test_in_the_material_it_lights_as_displacement_does(folder: Path) -> None:
    """A render of the flat head with the normal map is nearer to one of the displaced head than one without it."""
    import addon_utils

    addon_utils.enable("cycles")
    at_rest = {"expression": np.zeros(50, np.float32), "pose": np.zeros((5, 3), np.float32)}
    obj = wrinkled_head(**at_rest, albedo=None, photographed=None)
    y, x = (np.mgrid[0:256, 0:256] + 0.5) / 256
    folds = 4e-4 * np.sin(150 * y + 6 * np.sin(9 * x)) * np.clip(3 - 10 * np.hypot(x - 0.5, y - 0.5), 0, 1)
    wrinkles.apply_map(obj, folds.astype(np.float32))
    scene = bpy.context.scene
    light = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    light.rotation_euler, light.data.energy = (1.0, 0.7, 0), 3
    scene.collection.objects.link(light)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 4, False
    scene.render.resolution_x = scene.render.resolution_y = 160
    scene.render.resolution_percentage = 100
    obj.deca.wrinkles_live = False
    live = obj.modifiers["Wrinkles"]
    obj.modifiers["Wrinkle Subdivision"].render_levels = 2

    def render(name: str) -> np.ndarray:
        scene.render.filepath = str(folder / f"{name}.png")
        bpy.ops.render.render(write_still=True)
        return pixels(folder / f"{name}.png")

    displaced = render("displaced")
    live.show_render = False
    obj[STRENGTH] = 0.0  # the material has a bump of its own
    flat = render("flat")
    obj[STRENGTH] = 1.0
    select(obj)
    path = str(folder / "normals.png")
    backend.session = lambda: Folded(folds.astype(np.float32))  # type: ignore[assignment]
    assert bpy.ops.deca.bake_normal_map(filepath=path, size="1024", use_material=True) == {"FINISHED"}
    mapped = render("mapped")
    assert bpy.ops.deca.bake_normal_map(filepath=path, size="1024", use_material=True) == {"FINISHED"}
    nodes = obj.data.materials[0].node_tree.nodes
    assert len([node for node in nodes if node.type == "NORMAL_MAP"]) == 1
    face = displaced.std(axis=2) > 0.02
    without, with_map = (np.abs(picture - displaced)[face].mean() for picture in (flat, mapped))
    print(f"shading differs from the displaced head's by {without:.4f} flat, {with_map:.4f} with the map")
    assert with_map < 0.6 * without, (with_map, without)


case.main(globals())
