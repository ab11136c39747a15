"""The modifier that stands in for the live one when wrinkles are baked; the live one is hidden meanwhile."""

from __future__ import annotations

from typing import Any, Literal

import bpy

from . import shading
from .wrinkles import displacement_modifier, map_image

STAND_IN = "Baked Wrinkles"


def find_stand_in(obj: bpy.types.Object) -> Any:
    """The head's modifier of baked wrinkles, or None."""
    return obj.modifiers.get(STAND_IN)


def add_stand_in(obj: bpy.types.Object, kind: Literal["DISPLACE", "NODES"]) -> Any:
    """Puts an empty modifier of a type (`DISPLACE`, `NODES`) in the live one's place."""
    live = displacement_modifier(obj)
    modifier = obj.modifiers.new(STAND_IN, kind)
    modifier.name = STAND_IN
    obj.modifiers.move(len(obj.modifiers) - 1, obj.modifiers.find(live.name) + 1)
    live.show_viewport = live.show_render = False
    return modifier


def remove_stand_in(obj: bpy.types.Object) -> None:
    """Removes the modifier with its drivers, textures, nodes and pictures, and shows the live one again."""
    modifier = find_stand_in(obj)
    if modifier is not None:
        if obj.animation_data is not None:
            for curve in list(obj.animation_data.drivers):
                if curve.data_path.startswith(f'modifiers["{STAND_IN}"]'):
                    obj.animation_data.drivers.remove(curve)
        image = map_image(obj)
        if image is not None:
            shading.show_heights(obj, shading.live_heights(image))
        parts = _parts(modifier)
        obj.modifiers.remove(modifier)
        for part in parts:
            if part.users - part.use_fake_user == 0:
                bpy.data.batch_remove([part])
    live = displacement_modifier(obj)
    if live is not None:
        live.show_viewport = live.show_render = True


def _parts(modifier: Any) -> list[bpy.types.ID]:
    """Datablocks that the modifier needs, each before those that it needs itself."""
    if modifier.type == "DISPLACE":
        found = [modifier.texture, getattr(modifier.texture, "image", None)]
    else:
        nodes = modifier.node_group.nodes if modifier.node_group is not None else ()
        sockets = (node.inputs["Image"] for node in nodes if node.bl_idname == "GeometryNodeImageTexture")
        found = [modifier.node_group, *(socket.default_value for socket in sockets)]
    return [part for part in found if part is not None]
