"""Renders an imported head from several sides: run by a Python that has bpy, on a .blend made by the add-on.

    python tools/render_views.py HEAD.blend --out DIR [--size 512] [--samples 16]

Writes `photo_view.png` (what the photo's camera sees, transparent background), `front.png`, `left.png`, `right.png`,
and the expressions `brows.png`, `sneer.png` and `open.png` (jawOpen and a smile). Where the head has wrinkles they are
decoded for each expression by the backend of this Python.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

import bpy
from mathutils import Matrix

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deca_blender import backend, registration
from deca_blender.core import expressions
from deca_blender.scene import live

VIEWS: dict[str, tuple[float, dict[str, float]]] = {
    "front": (0, {}),
    "left": (30, {}),
    "right": (-30, {}),
    "brows": (12, {"browInnerUp": 0.9, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9}),
    "sneer": (12, expressions.PRESETS["Disgusted"]),
    "open": (12, {"jawOpen": 0.7, "mouthSmileLeft": 0.25, "mouthSmileRight": 0.25}),
}
"""Degrees that the camera goes around the head, and what is added to the photo's expression."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blend", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    import addon_utils  # found only once bpy is loaded

    addon_utils.enable("cycles")
    with registration.registered():
        bpy.ops.wm.open_mainfile(filepath=str(options.blend.resolve()))
        render_views(options)
        backend.close()


def render_views(options: argparse.Namespace) -> None:
    """All pictures of the open file."""
    scene = bpy.context.scene
    head, rig = find_head()
    set_up_renderer(scene, options.samples)

    scene.render.film_transparent = True
    longest = max(scene.render.resolution_x, scene.render.resolution_y)
    scene.render.resolution_percentage = max(1, round(100 * 2 * options.size / longest))
    render(scene, options.out / "photo_view.png")

    scene.render.film_transparent = False
    scene.render.resolution_x = scene.render.resolution_y = options.size
    scene.render.resolution_percentage = 100
    rig.pose.bones["root"].rotation_axis_angle = (0, 1, 0, 0)
    keys = head.data.shape_keys.key_blocks
    as_on_photo = {key.name: key.value for key in keys}
    for name, (yaw, change) in VIEWS.items():
        for key, value in (as_on_photo | change).items():
            keys[key].value = value
        live.update_now(head)
        look_from(scene, rig, head, math.radians(yaw))
        render(scene, options.out / f"{name}.png")


def find_head() -> tuple[bpy.types.Object, bpy.types.Object]:
    """The first head of the file and its armature."""
    for obj in bpy.data.objects:
        if obj.type == "MESH" and obj.data.shape_keys and "exp_000" in obj.data.shape_keys.key_blocks:
            assert obj.parent is not None, "a head hangs on its armature"
            return obj, obj.parent
    sys.exit("The file holds no head made by deca-blender.")


def set_up_renderer(scene: bpy.types.Scene, samples: int) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.samples = samples
    scene.cycles.use_denoising = True
    scene.cycles.denoising_quality = "FAST"
    scene.cycles.denoising_input_passes = "RGB"
    scene.cycles.denoising_prefilter = "NONE"
    scene.render.image_settings.file_format = "PNG"
    scene.view_settings.view_transform = "Standard"
    scene.world = bpy.data.worlds.new("Studio")
    scene.world.use_nodes = True
    background = scene.world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (0.75, 0.75, 0.76, 1)
    background.inputs["Strength"].default_value = 0.75
    sun = bpy.data.objects.new("Key", bpy.data.lights.new("Key", "SUN"))
    sun.data.energy, sun.data.angle = 1.2, 0.6
    sun.rotation_euler = (math.radians(68), 0, math.radians(25))
    scene.collection.objects.link(sun)


def look_from(scene: bpy.types.Scene, rig: bpy.types.Object, head: bpy.types.Object, yaw: float) -> None:
    """Puts a portrait camera (160 mm, 1.4 m away) at a yaw about the head, in head space (y up, z forward)."""
    camera = bpy.data.objects.get("Portrait")
    if camera is None:
        camera = bpy.data.objects.new("Portrait", bpy.data.cameras.new("Portrait"))
        scene.collection.objects.link(camera)
        camera.data.lens, camera.data.clip_start = 160, 0.01
    to_head = head.matrix_world.inverted() @ rig.matrix_world
    left, right = (to_head @ rig.data.bones[name].head_local for name in ("eye_l", "eye_r"))
    centre = ((left.x + right.x) / 2, (left.y + right.y) / 2 - 0.01, left.z - 0.05)
    around = Matrix.Rotation(yaw, 4, "Y")
    camera.matrix_world = head.matrix_world @ Matrix.Translation(centre) @ around @ Matrix.Translation((0, 0, 1.4))
    scene.camera = camera


def render(scene: bpy.types.Scene, path: Path) -> None:
    scene.render.filepath = str(path.resolve())
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # some bpy builds hang in their exit handlers once drivers were evaluated
