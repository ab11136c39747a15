"""See a head as its photo does, and render it so."""

from __future__ import annotations

import bpy

from ..scene.camera import camera_of, photo_size, render_as_photo
from ..scene.viewports import look_through
from ..ui import texts
from .on_head import OnHead


class _OnPhotoCamera(OnHead):
    """An operator on the photo's camera of the active head."""

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        return texts.NO_CAMERA if head is not None and camera_of(head) is None else super().why_not(head)

    @classmethod
    def camera(cls, context: bpy.types.Context) -> bpy.types.Object:
        """The camera; `poll` has seen that there is one."""
        camera = camera_of(cls.head(context))
        assert camera is not None
        return camera


class DECA_OT_view_photo_camera(_OnPhotoCamera, bpy.types.Operator):
    bl_idname = "deca.view_photo_camera"
    bl_label = texts.VIEW_CAMERA
    bl_description = texts.VIEW_CAMERA_DESCRIPTION
    bl_options = {"REGISTER"}  # noqa: RUF012  # views have no undo

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return isinstance(context.space_data, bpy.types.SpaceView3D) and super().poll(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        look_through(context, self.camera(context))
        return {"FINISHED"}


class DECA_OT_render_as_photo(_OnPhotoCamera, bpy.types.Operator):
    bl_idname = "deca.render_as_photo"
    bl_label = texts.RENDER_AS_PHOTO
    bl_description = texts.RENDER_AS_PHOTO_DESCRIPTION

    @classmethod
    def why_not(cls, head: bpy.types.Object | None) -> str:
        is_stripped = head is not None and not all(photo_size(head))
        return super().why_not(head) or (texts.NO_PHOTO_SIZE if is_stripped else "")

    def execute(self, context: bpy.types.Context) -> set[str]:
        render_as_photo(context.scene, self.camera(context), photo_size(self.head(context)))
        return {"FINISHED"}


CLASSES = (DECA_OT_view_photo_camera, DECA_OT_render_as_photo)
