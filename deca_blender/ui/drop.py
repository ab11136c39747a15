"""Photos dropped on the 3D viewport become heads."""

from __future__ import annotations

import bpy

from ..protocol.photos import PHOTO_SUFFIXES
from . import texts


class DECA_FH_photo(bpy.types.FileHandler):
    """Hands dropped photos to the importer."""

    bl_idname = "DECA_FH_photo"
    bl_label = texts.IMPORT
    bl_import_operator = "deca.import_face"
    bl_file_extensions = ";".join(PHOTO_SUFFIXES)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


CLASSES = (DECA_FH_photo,)
