"""The camera that sees the head where it lies on the photo, with the photo behind it."""

from __future__ import annotations

import bpy
from mathutils import Matrix

from ..core.photo_camera import PhotoCamera, ortho_scale_driver
from ..properties.head import PHOTO_NUMBER
from .armature import hang_on
from .head import rig_of
from .shape_keys import add_driver

_LONGEST_RENDER = 2048
_OVER = 0.5
"""How opaque a photo is that lies over the head. By eye."""


def build_camera(
    name: str, photo_camera: PhotoCamera, photo: bpy.types.Image | None, rig_object: bpy.types.Object
) -> bpy.types.Object:
    """An orthographic camera that moves with the head's armature object.

    Its picture is the whole photo, with a margin on two sides where the render has other proportions.
    """
    data = bpy.data.cameras.new(name)
    data.type = "ORTHO"
    data.sensor_fit = "AUTO"
    add_driver(data, "ortho_scale", -1, ortho_scale_driver(photo_camera), None)
    data.clip_start, data.clip_end = 0.01, 10.0
    data.passepartout_alpha = 0.8
    if photo is not None:
        background = data.background_images.new()
        background.image = photo
        background.alpha = 1.0
        background.display_depth = "BACK"
        background.frame_method = "FIT"
        data.show_background_images = True
    obj = bpy.data.objects.new(name, data)
    hang_on(obj, rig_object)
    obj.matrix_basis = Matrix(photo_camera.matrix.tolist())
    return obj


def aim_camera(camera_object: bpy.types.Object, photo_camera: PhotoCamera) -> None:
    """Lets a camera of `build_camera` see the photo's head once more after the head was fitted again."""
    data = camera_object.data
    assert isinstance(data, bpy.types.Camera)
    data.driver_remove("ortho_scale")
    add_driver(data, "ortho_scale", -1, ortho_scale_driver(photo_camera), None)
    camera_object.matrix_basis = Matrix(photo_camera.matrix.tolist())


def lay_photo(camera_object: bpy.types.Object, is_over: bool) -> None:
    """Lays a photo half transparent over the head, to compare the two, or behind it again."""
    data = camera_object.data
    assert isinstance(data, bpy.types.Camera)
    for background in data.background_images:
        background.display_depth = "FRONT" if is_over else "BACK"
        background.alpha = _OVER if is_over else 1.0


def cameras_of(head_object: bpy.types.Object) -> dict[int, bpy.types.Object]:
    """The photos' cameras of a head by the photos' numbers; the user may have hung others on the armature."""
    rig_object = rig_of(head_object)
    found: dict[int, bpy.types.Object] = {}
    for child in rig_object.children if rig_object is not None else ():
        if isinstance(child.data, bpy.types.Camera) and child.data.type == "ORTHO":
            found.setdefault(child.get(PHOTO_NUMBER, 0), child)
    return found


def camera_of(head_object: bpy.types.Object) -> bpy.types.Object | None:
    """The photo's camera of a head, or None; of several photos, that of the photo of the current frame."""
    cameras = cameras_of(head_object)
    return cameras.get(photo_number(head_object), next(iter(cameras.values()), None))


def photo_number(head_object: bpy.types.Object) -> int:
    """The number of the photo that the head's keyframes show at the current frame; 0 where there is but one."""
    frame = bpy.context.scene.frame_current
    earlier = [(photo.frame, number) for number, photo in enumerate(head_object.deca.photos) if photo.frame <= frame]
    return max(earlier, default=(0, 0))[1]


def photo_size(head_object: bpy.types.Object) -> tuple[int, int]:
    """Width and height of the photo that `camera_of` shows, pixels; zero where that was stripped."""
    photos = head_object.deca.photos
    shown = photos[photo_number(head_object)] if len(photos) else head_object.deca
    width, height = shown.image_size
    return width, height


def render_as_photo(scene: bpy.types.Scene, camera: bpy.types.Object, resolution: tuple[int, int]) -> None:
    """Makes the camera the scene's, and renders come out in the photo's size, at most 2048 pixels of it."""
    width, height = resolution
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1.0
    scene.render.resolution_percentage = max(1, min(100, 100 * _LONGEST_RENDER // max(width, height)))
