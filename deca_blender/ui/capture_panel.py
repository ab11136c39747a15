"""The sidebar's panel of what other faces do, onto the active head."""

from __future__ import annotations

import bpy

from . import texts
from .panels import _HeadPanel


class DECA_PT_capture(_HeadPanel, bpy.types.Panel):
    """Expressions of photos, performances of videos, recordings of phones."""

    bl_label = texts.PANEL_CAPTURE
    bl_parent_id = "DECA_PT_head"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        column.operator("deca.expression_from_photo", icon="IMAGE_DATA")
        column.operator("deca.performance_from_video", icon="FILE_MOVIE")
        column.operator("deca.import_face_recording", icon="FILE_TEXT")


CLASSES = (DECA_PT_capture,)
