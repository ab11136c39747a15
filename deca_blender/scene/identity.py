"""Removes from heads what identifies the person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy

from ..properties.head import BEFORE_PINS, DETAIL, EXPRESSION, PHOTO_EXPRESSIONS, PINNED_SHAPE, RELIEF, SHAPE
from ..properties.transfer import TRANSFERRED
from .head import rig_of
from .transfer import own_relief, restore_wrinkles, taken_reliefs
from .wrinkles import pack_map

_CODES = (SHAPE, EXPRESSION, PHOTO_EXPRESSIONS, DETAIL, RELIEF, BEFORE_PINS, PINNED_SHAPE)
_FIELDS = (
    *(
        "photo",
        "photos",
        "left_out",
        "pins",
        "pose",
        "camera",
        "crop",
        "image_size",
        "box",
        "landmark_error",
        "notices",
    ),
)
_FILES = ("model_file", "weights", "weights_hash", "knows_age")
_GROUPS = ("deca", "deca_transfer", "deca_bake")


@dataclass(frozen=True)
class Left:
    """What of the stripped persons is still in the file, because it belongs to something else.

    Attributes:
        heads: Other heads with their codes: duplicates, and heads that wear their wrinkles.
        photos: Photos by name, with the names of what shows them.
    """

    heads: list[str]
    photos: dict[str, list[str]]


def strip_identity(heads: Sequence[bpy.types.Object]) -> Left:
    """Deletes codes, crop, photo path, and the photo behind the heads' cameras.

    The meshes, their keys and bones, materials and the displacement as it is stay.

    Args:
        heads: Heads' mesh objects, of this file.
    """
    codes = {code for head in heads for code in (*_codes(head, SHAPE, DETAIL), *own_relief(head))}
    photos: set[bpy.types.Image] = set()
    for head in heads:
        photos |= _strip(head)
    still = [
        obj
        for obj in bpy.data.objects
        if codes & {*_codes(obj, SHAPE, DETAIL, TRANSFERRED), *own_relief(obj), *taken_reliefs(obj)}
    ]
    return Left([obj.name for obj in still], _remove_unused(photos))


def _codes(obj: bpy.types.Object, *names: str) -> list[tuple[float, ...]]:
    return [tuple(obj[name]) for name in names if name in obj]


def _strip(head_object: bpy.types.Object) -> set[bpy.types.Image]:
    """Strips a head; the pictures that its cameras showed."""
    pack_map(head_object)  # nobody else will, once the head has no code
    restore_wrinkles(head_object)
    for code in _CODES:
        if code in head_object:
            del head_object[code]
    for field in (*_FIELDS, *_FILES):
        head_object.deca.property_unset(field)
    if bpy.app.version >= (5, 0, 0):
        for group in _GROUPS:  # Blender 5 keeps a copy of what files of Blender 4 had here
            if group in head_object:
                del head_object[group]
    rig_object = rig_of(head_object)
    photos: set[bpy.types.Image] = set()
    for camera in rig_object.children if rig_object is not None else ():
        if isinstance(camera.data, bpy.types.Camera):
            photos |= _remove_backgrounds(camera.data)
    head_object.update_tag()
    return photos


def _remove_backgrounds(camera: bpy.types.Camera) -> set[bpy.types.Image]:
    images = {background.image for background in camera.background_images if background.image is not None}
    if camera.library is None:
        for background in camera.background_images:
            background.image = None  # clear() would leave its user count
        camera.background_images.clear()
        camera.show_background_images = False
    return images


def _remove_unused(images: set[bpy.types.Image]) -> dict[str, list[str]]:
    """Removes images, also those with a fake user; names of those that something shows, and of what does."""
    users = bpy.data.user_map(subset=list(images)) if images else {}
    left: dict[str, list[str]] = {}
    for image in images:
        names = sorted(user.name for user in users.get(image, ()) if not isinstance(user, bpy.types.Screen))
        if names or image.library is not None:
            left[image.name] = names
        else:
            bpy.data.images.remove(image)
    return left
