"""Entries in Blender's own menus, so that the menu search finds every operator."""

from __future__ import annotations

from typing import Any

import bpy

from . import texts


def _draw_import(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("deca.import_face", text=texts.IMPORT)
    menu.layout.operator("deca.import_folder", text=texts.IMPORT_FOLDER)


def _draw_export(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("deca.export_head", text=texts.EXPORT)


def _draw_add(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("deca.import_face", text=texts.IMPORT, icon="USER")


def _draw_object(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator_menu_enum("deca.reset_expression", "target", text=texts.RESET)
    menu.layout.operator("deca.straighten")


def _draw_asset(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    asset: Any = getattr(context, "asset", None)
    if asset is not None and asset.id_type == "ACTION":
        menu.layout.operator("deca.apply_pose_asset", text=texts.APPLY_POSE_MENU)


_ENTRIES: tuple[tuple[Any, Any], ...] = (
    (bpy.types.TOPBAR_MT_file_import, _draw_import),
    (bpy.types.TOPBAR_MT_file_export, _draw_export),
    (bpy.types.VIEW3D_MT_mesh_add, _draw_add),
    (bpy.types.VIEW3D_MT_object_animation, _draw_object),
    (bpy.types.ASSETBROWSER_MT_context_menu, _draw_asset),
)


def register() -> None:
    """Adds the entries."""
    for menu, draw in _ENTRIES:
        menu.append(draw)


def unregister() -> None:
    """Takes the entries out."""
    for menu, draw in reversed(_ENTRIES):
        menu.remove(draw)
