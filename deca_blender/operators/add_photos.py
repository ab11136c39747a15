"""Add Photos: a head is fitted again to its own photos and further ones of the person."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty

from .. import backend, preferences
from ..core.reconstruction import PICTURE_SIZE, Outcome, reconstruct_person
from ..scene import live
from ..scene.editable import lock
from ..scene.head import find_head, model_reference
from ..scene.import_face import ImportOptions
from ..scene.import_person import photo_paths, texture_size, update_person
from ..ui import texts
from ..ui.translation import rpt, tip
from .photo_job import OnPhotos


class DECA_OT_add_photos(OnPhotos, bpy.types.Operator):
    bl_idname = "deca.add_photos"
    bl_label = texts.ADD_PHOTOS
    bl_description = texts.ADD_PHOTOS_DESCRIPTION
    bl_options = {"UNDO"}  # noqa: RUF012

    use_camera: BoolProperty(name=texts.NAME_PHOTO_CAMERA, description=texts.USE_CAMERA, default=True)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = find_head(context.object)
        reason = texts.NO_HEAD if head is None else texts.locked(lock(head))
        if head is not None and not head.deca.photo:
            reason = texts.NO_PHOTO_SIZE
        if reason:
            cls.poll_message_set(tip(reason))  # pyright: ignore[reportAttributeAccessIssue]
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, new = find_head(context.object), self._photos()
        if not new or head is None:
            self.report({"ERROR"}, texts.NOTHING_CHOSEN)
            return {"CANCELLED"}
        self._name, self._added, self._weights = head.name, 0, head.deca.weights or preferences.weights()
        photos = list(dict.fromkeys([*photo_paths(head), *new]))
        steps = reconstruct_person(
            backend.session(),
            photos,
            texture_size(head),
            weights=self._weights,
            head=model_reference(head),
            picture_size=PICTURE_SIZE if self.use_camera else 0,
        )
        return self._run(context, steps, photos, count=1)

    def _build(self, context: bpy.types.Context, outcome: Outcome) -> None:
        head = context.scene.objects.get(self._name)
        assert outcome.head is not None  # there is no error
        if head is None:  # the user has deleted it meanwhile
            return
        before = len(photo_paths(head))
        options = ImportOptions(use_camera=self.use_camera, weights=self._weights)
        update_person(context, head, outcome.head, outcome.faces, outcome.pictures, options, outcome.left_out)
        self._added = len(photo_paths(head)) - before
        if not self._is_interactive:  # else the live update follows
            live.update_now(head)

    def _finish(self, context: bpy.types.Context) -> set[str]:
        if self._added:
            self.report({"INFO"}, rpt(texts.PHOTOS_ADDED, count=self._added, name=self._name))
        elif not self._errors:
            self._errors.append(texts.NO_PHOTO_ADDED)
        return self._tell(bool(self._added))


CLASSES = (DECA_OT_add_photos,)
