"""Builds assets/poses/expressions.blend: the expression presets as pose assets, with pictures of OpenHead.

    python tools/build_pose_assets.py [--out assets/poses] [--only NAME...]

Needs deca and bpy in one interpreter (`make setup`). To be run again when the presets or OpenHead change.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "backend"))

import bpy
import numpy as np

from deca.appearance.albedo import load_albedo
from deca.service.device import Device
from deca.service.handlers import make_handlers
from deca_blender import registration
from deca_blender.core.expressions import PRESETS
from deca_blender.protocol.conventions import OPENHEAD
from deca_blender.protocol.messages import DescribeHead, FaceReply, HeadReply
from deca_blender.scene.import_face import ImportOptions, import_face
from deca_blender.scene.pose_assets import apply_pose, new_pose
from render_views import look_from, render, set_up_renderer

OUT = Path(__file__).parent.parent / "assets" / "poses"
PICTURE, SAMPLES = 192, 24
CATALOG = "7d9a6a5e-0f0e-4c4b-9d0c-7f4e4a5b9b1d"
CATALOGS = f"""# This is an Asset Catalog Definition file for Blender.

VERSION 1

{CATALOG}:Expressions:Expressions
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="*", default=sorted(PRESETS), metavar="NAME", help="names of presets")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    import addon_utils  # found only once bpy is loaded

    addon_utils.enable("cycles")
    registration.register()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    head = average_head()
    rig = head.parent
    assert rig is not None
    set_up_renderer(bpy.context.scene, SAMPLES)
    bpy.context.scene.view_settings.exposure = 0.6
    bpy.context.scene.render.film_transparent = True
    bpy.context.scene.render.resolution_x = bpy.context.scene.render.resolution_y = PICTURE
    bpy.context.scene.render.resolution_percentage = 100
    bpy.context.view_layer.update()  # for the armature's place in the world
    look_from(bpy.context.scene, rig, head, 0.2)
    bpy.context.scene.camera.data.lens = 225

    poses = []
    for name in options.only:
        pose = new_pose(name, PRESETS[name])
        pose.asset_data.catalog_id = CATALOG
        pose.asset_data.author, pose.asset_data.license = "DECA Blender contributors", "CC0-1.0"
        pose.asset_data.description = "Expression of a head made by DECA Head From Photo"
        apply_pose(rig, pose)
        add_picture(pose)
        poses.append(pose)
    blend = options.out.resolve() / "expressions.blend"
    bpy.data.libraries.write(str(blend), set(poses), fake_user=True, compress=True)
    (options.out / "blender_assets.cats.txt").write_text(CATALOGS, encoding="utf-8")
    print(f"{blend}: {len(poses)} poses, {blend.stat().st_size / 1e3:.0f} kB")


def average_head() -> bpy.types.Object:
    """OpenHead's mean, in its mean colours, in the scene."""
    described = make_handlers(Device("cpu"))[DescribeHead](DescribeHead(num_shape=1), lambda *_: None)
    assert isinstance(described, HeadReply)
    albedo = load_albedo(OPENHEAD)
    colours_NN3 = albedo.mean_X.reshape(3, albedo.height, albedo.width).permute(1, 2, 0).numpy()
    face = FaceReply(
        name="OpenHead",
        photo="",
        head=described.name,
        head_hash=described.hash,
        backend_version="",
        shape=np.zeros(1, np.float32),
        expression=np.zeros(50, np.float32),
        pose=np.zeros((5, 3), np.float32),
        camera=np.array([7, 0, 0], np.float32),
        crop=np.eye(3),
        image_size=(224, 224),
        box=(0, 0, 224, 224),
        landmarks=np.zeros((478, 2), np.float32),
        landmark_error=0,
        albedo=np.round(255 * colours_NN3).astype(np.uint8),
        photographed=None,
    )
    return import_face(bpy.context, described, face, ImportOptions(use_camera=False))


def add_picture(pose: bpy.types.Action) -> None:
    """Renders the head as it is into the asset's preview."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        render(bpy.context.scene, path)
        image = bpy.data.images.load(str(path))
        pixels = np.empty(4 * PICTURE * PICTURE, np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
    preview: Any = pose.preview_ensure()  # the stub does not know that arrays may be given
    preview.image_size = (PICTURE, PICTURE)
    preview.image_pixels_float.foreach_set(pixels)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # some bpy builds hang in their exit handlers once drivers were evaluated
