"""A head is animated by keyframes; its wrinkles are baked into the file, and the motion into the morphs of a GLB.

.venv/bin/python docs/scripts/02_animate_and_bake.py me.jpg out/
"""

import sys
from pathlib import Path

import bpy

from deca_blender import api

photo, out = sys.argv[1], Path(sys.argv[2]).absolute()
out.mkdir(parents=True, exist_ok=True)
with api.enabled():
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 9
    head = api.import_face(photo)
    api.set_expression(head, {}, frame=1)
    api.set_expression(head, {"browInnerUp": 1.0, "jawOpen": 0.4}, pose={"neck": (0.15, 0.0, 0.0)}, frame=5)
    api.set_expression(head, "Laugh", pose={"neck": (0.0, 0.2, 0.0)}, frame=9)
    api.bake(head, "FRAMES")
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "moving.blend"))
    api.export(head, out / "moving.glb", normals=0)
