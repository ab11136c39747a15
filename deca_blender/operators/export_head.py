"""Export Head: the active head for other programs, in their file formats."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import backend
from ..client import ClientError
from ..core.export import FORMATS, ExportError, ExportOptions, file_of
from ..scene.export_head import export_head
from ..scene.normal_map import wrinkle_normals
from ..scene.wrinkles import has_wrinkles
from ..ui import texts
from ..ui.translation import rpt
from .on_head import OnHead

_FORMATS = [(name, kind.label, texts.EXPORT_FORMATS[name]) for name, kind in FORMATS.items()]
_NORMALS = [texts.NO_NORMALS, *texts.sizes(256, 512, 1024, 2048, 4096)]


class DECA_OT_export_head(OnHead, bpy.types.Operator):
    bl_idname = "deca.export_head"
    bl_label = texts.EXPORT
    bl_description = texts.EXPORT_DESCRIPTION
    bl_options = {"PRESET"}  # noqa: RUF012

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    check_existing: BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: StringProperty(default="*.glb;*.fbx;*.usd*;*.obj;*.abc", options={"HIDDEN", "SKIP_SAVE"})
    format: EnumProperty(name=texts.NAME_FORMAT, description=texts.EXPORT_FORMAT, items=_FORMATS)
    expression: EnumProperty(
        name=texts.NAME_EXPRESSION, description=texts.EXPORT_EXPRESSION, items=texts.EXPORT_EXPRESSIONS
    )
    use_skeleton: BoolProperty(name=texts.NAME_SKELETON, description=texts.EXPORT_SKELETON, default=True)
    use_animation: BoolProperty(name=texts.NAME_ANIMATION, description=texts.EXPORT_ANIMATION, default=True)
    use_visemes: BoolProperty(name=texts.NAME_VISEMES, description=texts.EXPORT_VISEMES, default=False)
    use_coefficients: BoolProperty(name=texts.NAME_COEFFICIENTS, description=texts.EXPORT_COEFFICIENTS, default=False)
    textures: EnumProperty(
        name=texts.NAME_TEXTURES, description=texts.EXPORT_TEXTURES, items=texts.EXPORT_TEXTURE_PLACES
    )
    normals: EnumProperty(name=texts.NAME_NORMALS, description=texts.EXPORT_NORMALS, items=_NORMALS, default="1024")
    use_wrinkle_maps: BoolProperty(name=texts.NAME_WRINKLE_MAPS, description=texts.EXPORT_WRINKLE_MAPS, default=False)
    detail: IntProperty(name=texts.NAME_DETAIL, description=texts.EXPORT_DETAIL, min=0, max=3, default=0)
    use_triangles: BoolProperty(name=texts.NAME_TRIANGLES, description=texts.EXPORT_TRIANGLES, default=False)
    use_eyes: BoolProperty(name=texts.NAME_EYES, description=texts.EXPORT_PART, default=True)
    use_teeth: BoolProperty(name=texts.NAME_TEETH, description=texts.EXPORT_PART, default=True)
    use_tongue: BoolProperty(name=texts.NAME_TONGUE, description=texts.EXPORT_PART, default=True)
    scale: FloatProperty(name=texts.NAME_SCALE, description=texts.EXPORT_SCALE, min=1e-4, max=1e4, default=1.0)
    up: EnumProperty(name=texts.NAME_UP, description=texts.EXPORT_UP, items=[("Y", "Y", ""), ("Z", "Z", "")])

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        return texts.NOTHING_TO_EXPORT if head is None else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            self.filepath = f"{bpy.path.clean_name(self.head(context).name)}{FORMATS[self.format].suffix}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """The file browser asks when a property was changed: the name's suffix follows the format."""
        try:
            path = str(file_of(Path(self.filepath), self._options()))
        except ExportError:
            return False
        is_other, self.filepath = path != self.filepath, path
        return is_other

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = self.head(context)
        if not self.filepath:
            self.report({"ERROR"}, texts.EXPORT_NO_FILE)
            return {"CANCELLED"}
        try:
            options = self._options()
            done = export_head(
                context, head, Path(bpy.path.abspath(self.filepath)), options, self._normals(head, options)
            )
        except (ExportError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if done.notices:
            self.report({"WARNING"}, "\n".join(done.notices))
        self.report({"INFO"}, texts.exported([str(file) for file in done.files], len(done.morphs)))
        return {"FINISHED"}

    def _normals(self, head: bpy.types.Object, options: ExportOptions) -> bytes | None:
        """The map of the wrinkles of the moment, where it is wanted and can be had."""
        if self.normals == "0" or options.textures == "NONE" or options.detail or not has_wrinkles(head):
            return None
        try:
            return wrinkle_normals(backend.session(), head, int(self.normals))
        except ClientError as error:
            self.report({"WARNING"}, rpt(texts.EXPORT_WITHOUT_NORMALS, reason=error))
            return None

    def _options(self) -> ExportOptions:
        names = ExportOptions.__dataclass_fields__
        return ExportOptions(**{name: getattr(self, name) for name in names})


CLASSES = (DECA_OT_export_head,)
