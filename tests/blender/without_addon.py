"""What somebody sees who has the .blend, but neither the add-on nor a backend, and does not let scripts run.

    python -I without_addon.py BLEND OUT OBJECT frames 1,2,3
    python -I without_addon.py BLEND OUT OBJECT sliders exp_004=-1.5,jawOpen=0.5
    python -I without_addon.py BLEND OUT OBJECT scaled 10     with baked wrinkles, then without them

Writes the vertices that viewport and render show to OUT.npz. Used by check_bake.py.
"""

from __future__ import annotations

import os
import sys

import bpy
import numpy as np


def vertices(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> np.ndarray:
    evaluated = obj.evaluated_get(depsgraph)
    mesh = evaluated.to_mesh()
    flat = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", flat)
    evaluated.to_mesh_clear()
    return flat.reshape(-1, 3)


def shown(obj: bpy.types.Object, number: int) -> dict[str, np.ndarray]:
    """What the viewport shows now, and what a render of the current frame does."""
    bpy.context.view_layer.update()
    found = {f"viewport_{number}": vertices(obj, bpy.context.evaluated_depsgraph_get())}

    class Engine(bpy.types.RenderEngine):
        bl_idname, bl_label = "WITHOUT_ADDON", "Without Add-on"

        def render(self, depsgraph: bpy.types.Depsgraph) -> None:
            found[f"render_{number}"] = vertices(depsgraph.scene.objects[obj.name].original, depsgraph)

    bpy.utils.register_class(Engine)
    bpy.context.scene.render.engine = "WITHOUT_ADDON"
    bpy.ops.render.render()
    bpy.utils.unregister_class(Engine)
    return found


def main(blend: str, out: str, name: str, kind: str, values: str) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.open_mainfile(filepath=blend, use_scripts=False)
    assert not hasattr(bpy.types.Object, "deca") and "deca_blender" not in sys.modules
    obj = bpy.data.objects[name]
    found: dict[str, np.ndarray] = {}
    if kind == "frames":
        for frame in map(int, values.split(",")):
            bpy.context.scene.frame_set(frame)
            found |= shown(obj, frame)
    elif kind == "scaled":
        for part in (obj.parent, obj):
            for other in bpy.context.view_layer.objects:
                other.select_set(other == part)
            bpy.context.view_layer.objects.active = part
            part.scale = (float(values),) * 3
            bpy.ops.object.transform_apply(location=False, rotation=False, scale=True)
        for number, is_shown in enumerate((True, False)):
            obj.modifiers["Baked Wrinkles"].show_viewport = is_shown
            found |= shown(obj, number)
    else:
        for slider in values.split(","):
            key, value = slider.split("=")
            obj.data.shape_keys.key_blocks[key].value = float(value)
        obj["wrinkle_strength"] = 2.0
        obj.update_tag()
        found |= shown(obj, 0)
    np.savez(out, **found)


main(*sys.argv[1:])
sys.stdout.flush()
os._exit(0)  # Blender as a module may hang while the interpreter ends
