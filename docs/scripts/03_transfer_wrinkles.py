"""One person's wrinkles on another's head.

.venv/bin/python docs/scripts/03_transfer_wrinkles.py grandmother.jpg me.jpg out/
"""

import sys
from pathlib import Path

import bpy

from deca_blender import api

source_photo, target_photo, out = sys.argv[1], sys.argv[2], Path(sys.argv[3]).absolute()
out.mkdir(parents=True, exist_ok=True)
with api.enabled():
    bpy.ops.wm.read_homefile(use_empty=True)
    source, target = api.import_face(source_photo), api.import_face(target_photo)
    api.transfer_wrinkles(source, target, amount=0.7)
    api.set_expression(target, "Surprised")
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "transfer.blend"))
