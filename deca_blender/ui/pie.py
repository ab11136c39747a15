"""A pie menu of the head's expressions. It has no shortcut of its own: assign one to `wm.call_menu_pie`."""

from __future__ import annotations

import bpy

from . import texts


class DECA_MT_expression_pie(bpy.types.Menu):
    """Expressions around the pointer."""

    bl_idname = "DECA_MT_expression_pie"
    bl_label = texts.PIE

    def draw(self, context: bpy.types.Context) -> None:
        pie = self.layout.menu_pie()
        pie.operator("deca.reset_expression", text=texts.RESET_NEUTRAL[1]).target = texts.RESET_NEUTRAL[0]
        pie.operator("deca.reset_expression", text=texts.RESET_PHOTO[1]).target = texts.RESET_PHOTO[0]
        pie.operator_menu_enum("deca.apply_preset", "preset", text=texts.PRESET)
        pie.operator("deca.key_expression", icon="KEY_HLT")
        pie.operator("deca.random_expression")
        pie.operator_menu_enum("deca.mirror_expression", "mode", text=texts.MIRROR)
        pie.operator("deca.straighten")


CLASSES = (DECA_MT_expression_pie,)
