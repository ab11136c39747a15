"""Import Face From Photo: file browser, progress in the status bar, Esc cancels; blocking where there is no window."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty

from .. import backend, preferences
from ..core.reconstruction import PICTURE_SIZE, Outcome, reconstruct_person, reconstruct_photos
from ..scene import live
from ..scene.import_face import ImportOptions, import_face
from ..scene.import_person import import_person
from ..scene.viewports import show_heads
from ..ui import texts
from .photo_job import OnPhotos

_ALL_FACES = 16


class DECA_OT_import_face(OnPhotos, bpy.types.Operator):
    bl_idname = "deca.import_face"
    bl_label = texts.IMPORT
    bl_description = texts.IMPORT_DESCRIPTION
    bl_options = {"UNDO", "PRESET"}  # noqa: RUF012

    texture_size: EnumProperty(
        name=texts.NAME_TEXTURE,
        description=texts.TEXTURE_SIZE,
        items=texts.sizes(512, 1024, 2048),
        default="1024",
    )
    paint_hair: BoolProperty(name=texts.NAME_PAINT_HAIR, description=texts.PAINT_HAIR, default=False)
    use_camera: BoolProperty(name=texts.NAME_PHOTO_CAMERA, description=texts.USE_CAMERA, default=True)
    use_view: BoolProperty(name=texts.NAME_SHOW_IN_VIEWPORTS, description=texts.USE_VIEW, default=True)
    use_all_faces: BoolProperty(name=texts.NAME_ALL_FACES, description=texts.USE_ALL_FACES, default=False)
    use_one_person: BoolProperty(
        name=texts.NAME_ONE_PERSON, description=texts.USE_ONE_PERSON, default=False, options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._is_interactive = True
        photos = self._photos()  # they were dropped, or a script names them
        if not photos:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        if len(photos) > 1 and not self.properties.is_property_set("use_one_person"):
            return context.window_manager.invoke_props_dialog(self, title=texts.several(len(photos)))
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        photos = self._photos()
        if not photos:
            self.report({"ERROR"}, texts.NOTHING_CHOSEN)
            return {"CANCELLED"}
        self._head, self._weights = preferences.head(), preferences.weights()
        self._imported: list[str] = []
        picture_size = PICTURE_SIZE if self.use_camera else 0
        how = {
            "weights": self._weights,
            "head": self._head,
            "picture_size": picture_size,
            "paint_hair": self.paint_hair,
        }
        if self.use_one_person and len(photos) > 1:
            steps = reconstruct_person(backend.session(), photos, int(self.texture_size), **how)
            return self._run(context, steps, photos, count=1)
        max_faces = _ALL_FACES if self.use_all_faces else 1
        steps = reconstruct_photos(backend.session(), photos, int(self.texture_size), max_faces, **how)
        return self._run(context, steps, photos)

    def _build(self, context: bpy.types.Context, outcome: Outcome) -> None:
        assert outcome.head is not None  # there is no error
        options = ImportOptions(
            use_camera=self.use_camera, weights=self._weights, head=preferences.head_file(self._head)
        )
        if outcome.pictures:
            person = (outcome.faces, outcome.pictures, options, outcome.left_out)
            self._built(import_person(context, outcome.head, *person))
            return
        for face in outcome.faces:
            self._built(import_face(context, outcome.head, face, options, outcome.picture))

    def _built(self, head: bpy.types.Object) -> None:
        self._imported.append(head.name)
        if not self._is_interactive:  # else the live update follows
            live.update_now(head)

    def _show(self, context: bpy.types.Context) -> None:
        """Selects all new heads, the last one active, and lets the user see them."""
        found = [context.view_layer.objects.get(name) for name in self._imported]
        heads = [head for head in found if head is not None]  # the user may have deleted some meanwhile
        for head in heads:
            head.select_set(True)
        if self._is_interactive and self.use_view:
            show_heads(context, heads)

    def _cancelled(self, context: bpy.types.Context) -> set[str]:
        self._show(context)
        return {"FINISHED"} if self._imported else {"CANCELLED"}

    def _finish(self, context: bpy.types.Context) -> set[str]:
        if self._imported:
            self._show(context)
            self.report({"INFO"}, texts.imported(self._imported))
        return self._tell(bool(self._imported))


CLASSES = (DECA_OT_import_face,)
