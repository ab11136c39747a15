"""Entries in Blender's own menus, so that the menu search finds every operator."""

from __future__ import annotations

import bpy

from . import texts


def _draw_import(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("deca.import_face", text=texts.IMPORT_MENU)


def _draw_add(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("deca.import_face", text=texts.IMPORT, icon="USER")


def _draw_object(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator_menu_enum("deca.reset_expression", "target", text=texts.RESET)


def register() -> None:
    """Adds the entries."""
    bpy.types.TOPBAR_MT_file_import.append(_draw_import)
    bpy.types.VIEW3D_MT_mesh_add.append(_draw_add)
    bpy.types.VIEW3D_MT_object_animation.append(_draw_object)


def unregister() -> None:
    """Takes the entries out."""
    bpy.types.VIEW3D_MT_object_animation.remove(_draw_object)
    bpy.types.VIEW3D_MT_mesh_add.remove(_draw_add)
    bpy.types.TOPBAR_MT_file_import.remove(_draw_import)
