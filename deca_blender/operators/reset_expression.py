"""Put a head's sliders and bones to rest, or back to the photo."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ..scene.head import show_neutral, show_photo
from ..ui import texts
from .on_head import OnHead


class DECA_OT_reset_expression(OnHead, bpy.types.Operator):
    bl_idname = "deca.reset_expression"
    bl_label = texts.RESET
    bl_description = texts.RESET_DESCRIPTION

    target: EnumProperty(name=texts.NAME_TO, items=[texts.RESET_NEUTRAL, texts.RESET_PHOTO])

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = self.head(context)
        if self.target == "PHOTO":
            show_photo(head)
        else:
            show_neutral(head)
        return {"FINISHED"}


CLASSES = (DECA_OT_reset_expression,)
