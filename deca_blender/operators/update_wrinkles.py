"""Update Wrinkles: the maps of the selected heads, now. For scripts, where the live update's timer does not run."""

from __future__ import annotations

import bpy

from ..client import ClientError
from ..scene import live
from ..scene.head import find_head
from ..ui import texts


class DECA_OT_update_wrinkles(bpy.types.Operator):
    bl_idname = "deca.update_wrinkles"
    bl_label = texts.UPDATE_WRINKLES
    bl_description = texts.UPDATE_WRINKLES_DESCRIPTION
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return find_head(context.object) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        heads = {head for obj in (context.object, *context.selected_objects) if (head := find_head(obj)) is not None}
        try:
            updated = [live.update_now(head) for head in heads]
        except ClientError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if not any(updated):
            self.report({"WARNING"}, texts.NO_WRINKLES)
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (DECA_OT_update_wrinkles,)
