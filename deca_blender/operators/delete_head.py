"""Delete a head with all that belongs to it."""

from __future__ import annotations

import bpy

from ..scene.deletion import delete_head
from ..ui import texts
from .on_head import OnHead


class DECA_OT_delete_head(OnHead, bpy.types.Operator):
    bl_idname = "deca.delete_head"
    bl_label = texts.DELETE
    bl_description = texts.DELETE_DESCRIPTION

    def execute(self, context: bpy.types.Context) -> set[str]:
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        delete_head(self.head(context))
        return {"FINISHED"}


CLASSES = (DECA_OT_delete_head,)
