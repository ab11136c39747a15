"""What is to be seen of a head's wrinkles, and whether strength 3 stays a face. Each command prints JSON lines.

    PYTHONPATH=.:backend .venv/bin/python tests/benchmarks/bench_wrinkle_look.py make PHOTO --out FILE.blend
                                                  a photo's head, brows up and smiling, with a camera in front of it
    ... bench_wrinkle_look.py folds FILE.blend    at strengths 1 and 3, per expression: triangles of the skin that turn
                                                  over, and pairs that cross where none did at strength 0
    blender FILE.blend --python tests/benchmarks/bench_wrinkle_look.py -- look [--strengths 1 3] [--out FOLDER]
                                                  in a window, without the add-on: share of the head's pixels of which a
                                                  channel changes by more than 12 of 255 levels from strength 0, in
                                                  Solid and in Material Preview, and with what material and surface do
                                                  each alone

Pictures and files show the person of the photo: keep them to yourself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from mathutils.kdtree import KDTree
from numpy.typing import NDArray

LEVELS = 12
PRESETS_OF_FOLDS = ("Smile", "Laugh", "Angry", "Surprised", "Disgusted")
BROWS_UP_SMILE = {"browInnerUp": 1.0} | {
    f"{name}{side}": weight
    for name, weight in (("browOuterUp", 1.0), ("mouthSmile", 0.7), ("cheekSquint", 0.4))
    for side in ("Left", "Right")
}
SIZE = (480, 600)
BESIDE = 1.0
"""Millimetres: lips and lids that touch cross somewhere without wrinkles too; moved a little, they do so in triangles
beside."""


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("make", "folds", "look"))
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--strengths", type=float, nargs="+", default=(1.0, 3.0))
    options = parser.parse_args(argv)
    if options.what == "look":
        bpy.app.timers.register(lambda: look(options), first_interval=2.0)
        return
    from deca_blender import backend, registration

    if options.what == "make":
        make(options.file, options.out)
    else:
        registration.register()
        bpy.ops.wm.open_mainfile(filepath=str(options.file))
        folds(options)
    backend.close()
    sys.stdout.flush()
    os._exit(0)  # Blender as a module may hang while the interpreter ends


def the_head() -> bpy.types.Object:
    return next(obj for obj in bpy.data.objects if "wrinkle_strength" in obj)


def make(photo: Path, out: Path) -> None:
    """Saves the scene that `look` looks at."""
    from deca_blender import headless, registration

    with tempfile.TemporaryDirectory() as name:
        assert headless.main(["--out", name, str(photo)]) == 0
        registration.register()
        bpy.ops.wm.open_mainfile(filepath=str(Path(name) / f"{photo.stem}.blend"))
    obj = the_head()
    pose(obj, BROWS_UP_SMILE)
    corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
    low, high = (np.array(corners).min(axis=0), np.array(corners).max(axis=0))
    camera = bpy.data.objects.new("Look", bpy.data.cameras.new("Look"))
    bpy.context.scene.collection.objects.link(camera)
    camera.location = ((low[0] + high[0]) / 2, low[1] - 1.0, (low[2] + high[2]) / 2)
    camera.rotation_euler = (np.pi / 2, 0, 0)
    camera.data.type, camera.data.ortho_scale = "ORTHO", 0.95 * (high[2] - low[2])
    bpy.context.scene.camera = camera
    bpy.ops.wm.save_as_mainfile(filepath=str(out.resolve()))


def pose(obj: bpy.types.Object, weights: dict[str, float]) -> None:
    """The expression alone, head upright, with its wrinkles."""
    from deca_blender.scene import head, live

    head.show_neutral(obj)
    head.straighten(obj)
    for name, weight in weights.items():
        obj.data.shape_keys.key_blocks[name].value = weight
    bpy.context.view_layer.update()
    live.update_now(obj)


# ---- folds -----------------------------------------------------------------------------------------------------------


def folds(options: argparse.Namespace) -> None:
    from deca_blender.core.expressions import PRESETS

    obj = the_head()
    for preset in PRESETS_OF_FOLDS:
        pose(obj, PRESETS[preset])
        for level in (1, 2):
            obj.modifiers["Wrinkle Subdivision"].levels = level
            row: dict[str, object] = {"head": obj.name, "preset": preset, "level": level}
            flat_V3, triangles_F3 = skin(obj, 0.0)
            flat_crossings = crossings(flat_V3, triangles_F3)
            row["crossing_at_0"] = len(flat_crossings)
            for strength in options.strengths:
                verts_V3, _ = skin(obj, strength)
                turned_F = (normals(verts_V3, triangles_F3) * normals(flat_V3, triangles_F3)).sum(axis=1) < 0
                row[f"turned_at_{strength:g}"] = int(turned_F.sum())
                row[f"new_crossing_at_{strength:g}"] = elsewhere(
                    places(crossings(verts_V3, triangles_F3), verts_V3, triangles_F3),
                    places(flat_crossings, flat_V3, triangles_F3),
                )
            print(json.dumps(row), flush=True)


def skin(obj: bpy.types.Object, strength: float) -> tuple[NDArray, NDArray]:
    """Vertices in millimetres and triangles of the skin that Blender shows."""
    obj["wrinkle_strength"] = strength
    obj.update_tag()
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    mesh.calc_loop_triangles()
    verts = np.empty(3 * len(mesh.vertices), np.float32)
    triangles, slots = np.empty(3 * len(mesh.loop_triangles), np.int32), np.empty(len(mesh.loop_triangles), np.int32)
    mesh.vertices.foreach_get("co", verts)
    mesh.loop_triangles.foreach_get("vertices", triangles)
    mesh.loop_triangles.foreach_get("material_index", slots)
    evaluated.to_mesh_clear()
    return 1e3 * verts.reshape(-1, 3), triangles.reshape(-1, 3)[slots == 0]


def normals(verts_V3: NDArray, triangles_F3: NDArray) -> NDArray:
    a_F3, b_F3, c_F3 = verts_V3[triangles_F3.T]
    return np.cross(b_F3 - a_F3, c_F3 - a_F3)


def crossings(verts_V3: NDArray, triangles_F3: NDArray) -> set[tuple[int, int]]:
    """Pairs of triangles without a common vertex that cross."""
    tree = BVHTree.FromPolygons(verts_V3.tolist(), triangles_F3.tolist(), all_triangles=True)
    pairs = np.array([pair for pair in tree.overlap(tree) if pair[0] < pair[1]], int).reshape(-1, 2)
    first_P3, second_P3 = triangles_F3[pairs[:, 0]], triangles_F3[pairs[:, 1]]
    touches_P = (first_P3[:, :, None] == second_P3[:, None, :]).any(axis=(1, 2))
    return {tuple(pair) for pair in pairs[~touches_P].tolist()}


def places(pairs: set[tuple[int, int]], verts_V3: NDArray, triangles_F3: NDArray) -> NDArray:
    """Middles of pairs of triangles (P, 3), millimetres."""
    pairs_P2 = np.array(sorted(pairs), int).reshape(-1, 2)
    return verts_V3[triangles_F3[pairs_P2]].mean(axis=(1, 2))


def elsewhere(places_P3: NDArray, known_K3: NDArray) -> int:
    """How many places are not beside a known one."""
    tree = KDTree(len(known_K3))
    for index, place_3 in enumerate(known_K3.tolist()):
        tree.insert(place_3, index)
    tree.balance()
    return sum(not len(known_K3) or tree.find(place_3)[2] > BESIDE for place_3 in places_P3.tolist())


# ---- look ------------------------------------------------------------------------------------------------------------


def look(options: argparse.Namespace) -> None:
    obj = the_head()
    area = next(area for area in bpy.context.window.screen.areas if area.type == "VIEW_3D")
    space = area.spaces.active
    space.overlay.show_overlays = space.show_gizmo = False
    space.region_3d.view_perspective = "CAMERA"
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = *SIZE, 100
    render.film_transparent = True
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    with tempfile.TemporaryDirectory() as name:
        out = options.out or Path(name)
        out.mkdir(parents=True, exist_ok=True)
        result: dict[str, object] = {"blender": bpy.app.version_string}
        for shading in ("SOLID", "MATERIAL"):
            space.shading.type = shading
            space.shading.color_type = "TEXTURE"
            base = picture(area, obj, 0.0, out / f"{shading}_0.png")
            result[f"{shading} noise"] = changed(base, picture(area, obj, 0.0, out / "again.png"))
            for strength in options.strengths:
                shown = picture(area, obj, strength, out / f"{shading}_{strength:g}.png")
                result[f"{shading} {strength:g}"] = changed(base, shown)
            if shading == "MATERIAL":
                obj.modifiers["Wrinkles"].show_viewport = False
                result["material alone 1"] = changed(base, picture(area, obj, 1.0, out / "material_alone.png"))
        print(json.dumps(result), flush=True)
    os._exit(0)


def picture(area: bpy.types.Area, obj: bpy.types.Object, strength: float, path: Path) -> NDArray[np.float32]:
    """Display values (H, W, 4), 0..1, of the viewport."""
    obj["wrinkle_strength"] = strength
    obj.update_tag()
    bpy.context.view_layer.update()
    bpy.context.scene.render.filepath = str(path.resolve())
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(area=area, region=region):
        bpy.ops.render.opengl(write_still=True, view_context=True)
    image = bpy.data.images.load(str(path.resolve()))
    image.colorspace_settings.name = "Non-Color"  # what the file says
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)


def changed(first: NDArray, second: NDArray) -> float:
    """Share of the head's pixels that differ."""
    differs = np.abs(first - second)[..., :3].max(axis=-1) > LEVELS / 255
    return round(float(differs[first[..., 3] > 0.5].mean()), 4)


main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:])
