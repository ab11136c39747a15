"""Put a head's sliders and bones to rest, or back to the photo."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ..scene.head import find_head, show_neutral, show_photo
from ..ui import texts


class DECA_OT_reset_expression(bpy.types.Operator):
    bl_idname = "deca.reset_expression"
    bl_label = texts.RESET
    bl_description = texts.RESET_DESCRIPTION
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    target: EnumProperty(name="To", items=[texts.RESET_NEUTRAL, texts.RESET_PHOTO])

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if find_head(context.object) is None:
            cls.poll_message_set(texts.NO_HEAD)
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = find_head(context.object)
        assert head is not None  # poll() has seen to it
        if self.target == "PHOTO":
            show_photo(head)
        else:
            show_neutral(head)
        return {"FINISHED"}


CLASSES = (DECA_OT_reset_expression,)
