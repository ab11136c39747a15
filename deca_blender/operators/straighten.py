"""Hold a head straight."""

from __future__ import annotations

import bpy

from ..scene.head import straighten
from ..ui import texts
from .on_head import OnHead


class DECA_OT_straighten(OnHead, bpy.types.Operator):
    bl_idname = "deca.straighten"
    bl_label = texts.STRAIGHTEN
    bl_description = texts.STRAIGHTEN_DESCRIPTION

    def execute(self, context: bpy.types.Context) -> set[str]:
        straighten(self.head(context))
        return {"FINISHED"}


CLASSES = (DECA_OT_straighten,)
