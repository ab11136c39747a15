"""The camera that sees the head where it lies on the photo, with the photo behind it."""

from __future__ import annotations

import bpy
from mathutils import Matrix

from ..core.photo_camera import PhotoCamera
from .armature import hang_on

_LONGEST_RENDER = 2048


def build_camera(
    name: str, photo_camera: PhotoCamera, photo: bpy.types.Image | None, rig_object: bpy.types.Object
) -> bpy.types.Object:
    """An orthographic camera that moves with the head's armature object.

    Its picture covers the photo exactly when the render resolution has the photo's proportions (`use_for_scene`).
    """
    data = bpy.data.cameras.new(name)
    data.type = "ORTHO"
    data.sensor_fit = "AUTO"
    data.ortho_scale = photo_camera.ortho_scale
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


def use_for_scene(scene: bpy.types.Scene, camera: bpy.types.Object, photo_camera: PhotoCamera) -> None:
    """Makes the camera the scene's, and renders come out in the photo's proportions."""
    width, height = photo_camera.resolution
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = width, height
    scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1.0
    scene.render.resolution_percentage = max(1, min(100, 100 * _LONGEST_RENDER // max(width, height)))
