"""How much of a head's wrinkles is to be seen: pixels that change between strength 0 and others. Prints JSON.

    PYTHONPATH=.:backend .venv/bin/python tests/benchmarks/bench_wrinkle_look.py PHOTO [--out FOLDER] [--samples 8]
                                     [--preset "brows up + smile"] [--strengths 0 1 3] [--level 1] [--blend FILE]

The photo's head with brows up and a smile (or a preset of the panel) is rendered by Cycles on the CPU in the light of a
studio, without what bounces, at Subdivision 1 and from the front, 480 x 600.
`changed` are the shares of the head's pixels of which a channel differs by more than 12 of 255 levels from strength 0;
`noise` is the same for a strength of 0.001.
Pictures show the person of the photo: keep them to yourself.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from deca_blender import backend, headless, registration
from deca_blender.core.expressions import PRESETS
from deca_blender.scene import live

LEVELS = 12
BROWS_UP_SMILE = {"browInnerUp": 1.0} | {
    f"{name}{side}": weight
    for name, weight in (("browOuterUp", 1.0), ("mouthSmile", 0.7), ("cheekSquint", 0.4))
    for side in ("Left", "Right")
}
LIGHTS = (("key", (55, 0, 35), 2.0), ("fill", (70, 0, -50), 0.8), ("top", (15, 0, 0), 0.8), ("rim", (100, 0, 120), 1.0))
"""Name, direction in degrees and strength of lamps that stand for a studio; points without noise."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--preset", default="brows up + smile", choices=("brows up + smile", *PRESETS))
    parser.add_argument("--strengths", type=float, nargs="+", default=(0.0, 1.0, 3.0))
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--blend", type=Path, help="also save the scene")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        blend = options.photo
        if blend.suffix != ".blend":
            blend = Path(name) / f"{options.photo.stem}.blend"
            assert headless.main(["--out", name, str(options.photo)]) == 0
        registration.register()
        bpy.ops.wm.open_mainfile(filepath=str(blend))
        obj = next(obj for obj in bpy.data.objects if obj.deca.is_head)
        pose(obj, BROWS_UP_SMILE if options.preset not in PRESETS else PRESETS[options.preset])
        set_scene(obj, options)
        out = options.out or Path(name)
        out.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(obj, options, out)), flush=True)
        if options.blend:
            bpy.ops.wm.save_as_mainfile(filepath=str(options.blend.resolve()))
    backend.close()
    os._exit(0)  # Blender as a module may hang while the interpreter ends


def pose(obj: bpy.types.Object, weights: dict[str, float]) -> None:
    """The expression alone, head upright."""
    for key in obj.data.shape_keys.key_blocks:
        if key.name.startswith("exp_") or key.name in weights or key.name.startswith(("mouth", "brow", "jaw", "eye")):
            key.value = weights.get(key.name, 0.0)
    for bone in obj.parent.pose.bones:
        bone.matrix_basis.identity()
    bpy.context.view_layer.update()
    live.update_now(obj)


def set_scene(obj: bpy.types.Object, options: argparse.Namespace) -> None:
    """A camera in front of the face, light from all around, and no subdivision but the viewport's."""
    import addon_utils

    addon_utils.enable("cycles")
    scene = bpy.context.scene
    corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
    low, high = (Vector(map(limit, *corners)) for limit in (min, max))
    camera = bpy.data.objects.new("Look", bpy.data.cameras.new("Look"))
    scene.collection.objects.link(camera)
    middle = (low + high) / 2
    camera.location = (middle.x, low.y - 1.0, middle.z)
    camera.rotation_euler = (np.pi / 2, 0, 0)
    camera.data.type, camera.data.ortho_scale = "ORTHO", 0.95 * (high.z - low.z)
    camera.data.clip_end = 100
    scene.camera = camera
    scene.world = None
    for name, angles, strength in LIGHTS:
        lamp = bpy.data.objects.new(name, bpy.data.lights.new(name, "SUN"))
        lamp.data.energy, lamp.data.angle = strength, 0.0
        lamp.rotation_euler = np.radians(angles)
        scene.collection.objects.link(lamp)
    obj.modifiers["Wrinkle Subdivision"].render_levels = options.level
    render = scene.render
    render.engine, render.film_transparent = "CYCLES", True
    render.resolution_x, render.resolution_y, render.resolution_percentage = 480, 600, 100
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.use_adaptive_sampling = options.samples, False, False
    scene.cycles.max_bounces = 0


def measure(obj: bpy.types.Object, options: argparse.Namespace, out: Path) -> dict[str, object]:
    base = picture(obj, 0.0, out / "0.png")
    is_head = base[..., 3] > 0.5
    again = picture(obj, 1e-3, out / "again.png")
    return {
        "changed": {
            f"{strength:g}": changed(base, picture(obj, strength, out / f"{strength:g}.png"), is_head)
            for strength in options.strengths
            if strength
        },
        "noise": changed(base, again, is_head),
        "level": options.level,
        "blender": bpy.app.version_string,
    }


def picture(obj: bpy.types.Object, strength: float, path: Path) -> NDArray[np.float32]:
    """Display values (H, W, 4), 0..1, of a render that is also written to a file."""
    obj.deca.wrinkle_strength = strength
    bpy.context.scene.render.filepath = str(path.resolve())
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path.resolve()))
    image.colorspace_settings.name = "Non-Color"  # what the file says
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)


def changed(first: NDArray, second: NDArray, is_head: NDArray) -> float:
    differs = np.abs(first - second)[..., :3].max(axis=-1) > LEVELS / 255
    return round(float(differs[is_head].mean()), 4)


main()
