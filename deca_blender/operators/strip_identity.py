"""Strip Identity Data: a head that can be given away."""

from __future__ import annotations

import bpy

from ..scene.identity import strip_identity
from ..ui import texts
from ..ui.translation import rpt
from .on_head import OnHeads


class DECA_OT_strip_identity(OnHeads, bpy.types.Operator):
    bl_idname = "deca.strip_identity"
    bl_label = texts.STRIP
    bl_description = texts.STRIP_DESCRIPTION

    nothing_selected = texts.NOTHING_TO_STRIP

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(
            self, event, title=texts.STRIP, message=texts.STRIP_CONFIRM, confirm_text=texts.STRIP, icon="WARNING"
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        heads = self.heads(context)
        left = strip_identity(heads)
        self.report({"INFO"}, rpt(texts.STRIPPED, names=", ".join(head.name for head in heads)))
        still_there = texts.still_there(left.heads, left.photos)
        if still_there:
            self.report({"WARNING"}, still_there)
        self.tell_left_alone(context)
        return {"FINISHED"}


CLASSES = (DECA_OT_strip_identity,)
