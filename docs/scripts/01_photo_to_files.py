"""A photo becomes a head that smiles; it is saved, and written for other programs.

.venv/bin/python docs/scripts/01_photo_to_files.py me.jpg out/
"""

import sys
from pathlib import Path

import bpy

from deca_blender import api

photo, out = sys.argv[1], Path(sys.argv[2]).absolute()
out.mkdir(parents=True, exist_ok=True)
with api.enabled():
    bpy.ops.wm.read_homefile(use_empty=True)
    head = api.import_face(photo)
    api.set_expression(head, "Smile", amount=0.8)
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "head.blend"))
    for name in ("head.glb", "head.fbx"):
        done = api.export(head, out / name, use_visemes=True)
        print(*done.files, *done.notices, sep="\n")
