"""Strip Identity Data: a head that can be given away."""

from __future__ import annotations

import bpy

from ..scene.identity import strip_identity
from ..scene.transfer import selected_heads
from ..ui import texts


class DECA_OT_strip_identity(bpy.types.Operator):
    bl_idname = "deca.strip_identity"
    bl_label = texts.STRIP
    bl_description = texts.STRIP_DESCRIPTION
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not selected_heads(context):
            cls.poll_message_set(texts.NOTHING_TO_STRIP)
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(
            self, event, title=texts.STRIP, message=texts.STRIP_CONFIRM, confirm_text=texts.STRIP, icon="WARNING"
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        heads = selected_heads(context)
        for head in heads:
            strip_identity(head)
        self.report({"INFO"}, texts.STRIPPED.format(count=len(heads)))
        return {"FINISHED"}


CLASSES = (DECA_OT_strip_identity,)
