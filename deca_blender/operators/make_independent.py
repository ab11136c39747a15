"""Make Independent: a linked duplicate of a head gets sliders and bones of its own."""

from __future__ import annotations

import bpy

from ..scene.duplicates import make_independent, sharing
from ..scene.transfer import selected_heads
from ..ui import texts


class DECA_OT_make_independent(bpy.types.Operator):
    bl_idname = "deca.make_independent"
    bl_label = texts.INDEPENDENT
    bl_description = texts.INDEPENDENT_DESCRIPTION
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        heads = selected_heads(context)
        if not any(sharing(head) for head in heads):
            cls.poll_message_set(texts.NOTHING_SHARED if heads else texts.NO_HEAD)
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        for head in selected_heads(context):
            if sharing(head):
                make_independent(head)
        return {"FINISHED"}


CLASSES = (DECA_OT_make_independent,)
