"""Update Wrinkles: the maps of the selected heads, now. For scripts, where the live update's timer does not run."""

from __future__ import annotations

import bpy

from ..client import ClientError
from ..scene import live
from ..scene.transfer import selected_heads
from ..scene.wrinkles import has_wrinkles
from ..ui import texts
from ..ui.translation import tip


class DECA_OT_update_wrinkles(bpy.types.Operator):
    bl_idname = "deca.update_wrinkles"
    bl_label = texts.UPDATE_WRINKLES
    bl_description = texts.UPDATE_WRINKLES_DESCRIPTION
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        heads = selected_heads(context)
        reason = "" if any(map(has_wrinkles, heads)) else texts.NO_WRINKLES if heads else texts.NO_HEAD
        if reason:
            cls.poll_message_set(tip(reason))
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            for head in selected_heads(context):
                live.update_now(head)
        except ClientError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (DECA_OT_update_wrinkles,)
