"""Expressions with pictures: an asset shelf in the 3D viewport, and the double click in the asset browser."""

from __future__ import annotations

import bpy

from ..scene.expression import arkit_weights
from ..scene.head import find_head
from ..scene.pose_assets import TAG


class DECA_AST_expressions(bpy.types.AssetShelf):
    """Expressions for the active head; a click applies one. Pose Mode has Blender's own shelf."""

    bl_idname = "DECA_AST_expressions"
    bl_space_type = "VIEW_3D"
    bl_activate_operator = "DECA_OT_apply_pose_asset"
    bl_default_preview_size = 96

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        # While a file is opened Blender asks before it has a screen, and with that an active object.
        head = find_head(getattr(context, "object", None)) if context.mode == "OBJECT" else None
        return head is not None and bool(arkit_weights(head))

    @classmethod
    def asset_poll(cls, asset: bpy.types.AssetRepresentation) -> bool:
        return asset.id_type == "ACTION" and TAG in asset.metadata.tags


_keys: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


def register() -> None:
    """Adds the double click."""
    configuration = bpy.context.window_manager.keyconfigs.addon
    if configuration is not None:  # there is a window
        for name in ("Asset Browser Main", "File Browser Main"):
            keymap = configuration.keymaps.new(name=name, space_type="FILE_BROWSER")
            _keys.append((keymap, keymap.keymap_items.new("deca.apply_pose_asset", "LEFTMOUSE", "DOUBLE_CLICK")))


def unregister() -> None:
    """Takes it away."""
    for keymap, item in _keys:
        keymap.keymap_items.remove(item)
    _keys.clear()


CLASSES = (DECA_AST_expressions,)
