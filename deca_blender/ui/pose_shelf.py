"""Expressions with pictures: an asset shelf in the 3D viewport, and what the asset browser offers on a pose asset."""

from __future__ import annotations

from typing import Any

import bpy

from ..scene.expression import arkit_weights
from ..scene.head import find_head
from ..scene.pose_assets import TAG
from . import texts


class DECA_AST_expressions(bpy.types.AssetShelf):
    """Expressions for the active head; a click applies one. Pose Mode has Blender's own shelf."""

    bl_idname = "DECA_AST_expressions"
    bl_space_type = "VIEW_3D"
    bl_activate_operator = "DECA_OT_apply_pose_asset"
    bl_default_preview_size = 96

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = find_head(context.object) if context.mode == "OBJECT" else None
        return head is not None and bool(arkit_weights(head))

    @classmethod
    def asset_poll(cls, asset: bpy.types.AssetRepresentation) -> bool:
        return asset.id_type == "ACTION" and TAG in asset.metadata.tags


_keys: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []


def _draw_asset_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    asset: Any = getattr(context, "asset", None)
    if asset is not None and asset.id_type == "ACTION":
        menu.layout.operator("deca.apply_pose_asset", text=texts.APPLY_POSE_MENU)


def register() -> None:
    """Adds the entry of the asset browser's menu and the double click."""
    bpy.types.ASSETBROWSER_MT_context_menu.append(_draw_asset_menu)
    configuration = bpy.context.window_manager.keyconfigs.addon
    if configuration is not None:  # there is a window
        for name in ("Asset Browser Main", "File Browser Main"):
            keymap = configuration.keymaps.new(name=name, space_type="FILE_BROWSER")
            _keys.append((keymap, keymap.keymap_items.new("deca.apply_pose_asset", "LEFTMOUSE", "DOUBLE_CLICK")))


def unregister() -> None:
    """Takes both away."""
    for keymap, item in _keys:
        keymap.keymap_items.remove(item)
    _keys.clear()
    bpy.types.ASSETBROWSER_MT_context_menu.remove(_draw_asset_menu)


CLASSES = (DECA_AST_expressions,)
