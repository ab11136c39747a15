"""Removes from a head what identifies the person."""

from __future__ import annotations

import bpy

from ..properties.head import DETAIL, EXPRESSION, SHAPE
from .head import rig_of
from .transfer import restore_wrinkles
from .wrinkles import pack_map

_CODES = (SHAPE, EXPRESSION, DETAIL)
_FIELDS = ("photo", "pose", "camera", "crop", "image_size", "box", "landmark_error")
_FILES = ("model_file", "weights", "weights_hash")


def strip_identity(head_object: bpy.types.Object) -> None:
    """Deletes codes, crop, photo path, and the photo behind the head's cameras.

    The mesh, its keys and bones, materials and the displacement as it is stay.

    Args:
        head_object: Head's mesh object.
    """
    pack_map(head_object)  # nobody else will, once the head has no code
    restore_wrinkles(head_object)
    for code in _CODES:
        if code in head_object:
            del head_object[code]
    for field in (*_FIELDS, *_FILES):
        head_object.deca.property_unset(field)
    rig_object = rig_of(head_object)
    for camera in rig_object.children if rig_object is not None else ():
        if isinstance(camera.data, bpy.types.Camera):
            _remove_backgrounds(camera.data)
    head_object.update_tag()


def _remove_backgrounds(camera: bpy.types.Camera) -> None:
    images = [background.image for background in camera.background_images]
    for background in camera.background_images:
        background.image = None  # clear() would leave its user count
    camera.background_images.clear()
    camera.show_background_images = False
    for image in images:
        if image is not None and image.users == 0:
            bpy.data.images.remove(image)
