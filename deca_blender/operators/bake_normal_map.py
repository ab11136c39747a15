"""Bake Normal Map: the active head's wrinkles as a picture for game engines."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from .. import backend
from ..client import ClientError
from ..core.files import whole
from ..scene.editable import lock
from ..scene.normal_map import show_normal_map, wrinkle_normals
from ..scene.wrinkles import has_wrinkles
from ..ui import texts
from ..ui.translation import rpt
from .on_head import OnHead


class DECA_OT_bake_normal_map(OnHead, bpy.types.Operator):
    bl_idname = "deca.bake_normal_map"
    bl_label = texts.BAKE_NORMALS
    bl_description = texts.BAKE_NORMALS_DESCRIPTION

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    check_existing: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default="*.png", options={"HIDDEN", "SKIP_SAVE"})
    size: EnumProperty(
        name=texts.NAME_SIZE,
        description=texts.NORMALS_SIZE,
        items=texts.sizes(256, 512, 1024, 2048, 4096),
        default="1024",
    )
    bits: EnumProperty(
        name=texts.NAME_BITS,
        description=texts.NORMALS_BITS,
        items=texts.NORMALS_DEPTHS,
        default="16",
    )
    green: EnumProperty(name=texts.NAME_GREEN, description=texts.NORMALS_GREEN, items=texts.NORMALS_GREENS)
    use_material: BoolProperty(name=texts.NAME_IN_MATERIAL, description=texts.NORMALS_MATERIAL, default=False)

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        return texts.NOTHING_TO_BAKE if head is None else "" if has_wrinkles(head) else texts.NO_WRINKLES

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            self.filepath = f"{bpy.path.clean_name(self.head(context).name)}_normals.png"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = self.head(context)
        if not self.filepath:
            self.report({"ERROR"}, texts.NORMALS_NO_FILE)
            return {"CANCELLED"}
        path = bpy.path.ensure_ext(bpy.path.abspath(self.filepath), ".png")
        try:
            is_green_up = self.green == "OPENGL"
            png = wrinkle_normals(backend.session(), head, int(self.size), int(self.bits), is_green_up)
            with whole(Path(path)) as unfinished:
                unfinished.write_bytes(png)
        except (ClientError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        locked = texts.locked(lock(head))
        if self.use_material and self.green != "OPENGL":
            self.report({"WARNING"}, texts.NORMALS_NOT_SHOWN)
        elif self.use_material and locked:
            self.report({"WARNING"}, rpt(texts.LEFT_ALONE, reason=locked))
        elif self.use_material:
            show_normal_map(head, path)
        self.report({"INFO"}, rpt(texts.NORMALS_WRITTEN, path=path))
        return {"FINISHED"}


CLASSES = (DECA_OT_bake_normal_map,)
