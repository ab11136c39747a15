"""All or nothing: when building fails half-way, Blender's data is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

_RENDER_SETTINGS = (
    *("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y"),
    "use_lock_interface",
)


@contextmanager
def all_or_nothing(context: bpy.types.Context) -> Iterator[None]:
    """Removes every datablock made inside the block, and restores what the scene shows, if it raises."""
    before = set(_datablocks())
    scene, view_layer = context.scene, context.view_layer
    active, selected = view_layer.objects.active, list(context.selected_objects)
    camera = scene.camera
    render = scene.render
    settings = {name: getattr(render, name) for name in _RENDER_SETTINGS}
    try:
        yield
    except BaseException:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        bpy.data.batch_remove([block for block in _datablocks() if block not in before])
        scene.camera = camera
        for name, value in settings.items():
            setattr(render, name, value)
        for obj in selected:
            obj.select_set(True)
        view_layer.objects.active = active
        raise


def _datablocks() -> Iterator[bpy.types.ID]:
    data = bpy.data
    for blocks in (
        *(data.objects, data.collections, data.meshes, data.armatures, data.cameras),
        *(data.materials, data.node_groups, data.images, data.textures, data.actions),
    ):
        yield from blocks
