"""Make Independent: a linked duplicate of a head gets sliders and bones of its own."""

from __future__ import annotations

import bpy

from ..scene.duplicates import make_independent, sharing
from ..ui import texts
from .on_head import OnHeads


class DECA_OT_make_independent(OnHeads, bpy.types.Operator):
    bl_idname = "deca.make_independent"
    bl_label = texts.INDEPENDENT
    bl_description = texts.INDEPENDENT_DESCRIPTION

    @classmethod
    def why_not(cls, head: bpy.types.Object) -> str:
        return "" if sharing(head) else texts.NOTHING_SHARED

    def execute(self, context: bpy.types.Context) -> set[str]:
        self.tell_left_alone(context)
        for head in self.heads(context):
            if sharing(head):  # the head before may have been the last to share with it
                make_independent(head)
        return {"FINISHED"}


CLASSES = (DECA_OT_make_independent,)
