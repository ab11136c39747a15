"""Pictures as packed Blender images, so that the file needs nothing beside it."""

from __future__ import annotations

import os
from typing import Any, cast

import bpy
import numpy as np
from numpy.typing import NDArray

from ..core.exif import jpeg_orientation, turn_upright


def texture_image(name: str, texture_NN3: NDArray[np.uint8]) -> bpy.types.Image:
    """A packed sRGB image of a texture, (N, N, 3), top row first."""
    rgba = np.empty((*texture_NN3.shape[:2], 4), np.float32)
    rgba[..., :3] = texture_NN3[::-1] / np.float32(255)
    rgba[..., 3] = 1
    return _packed(name, rgba)


def photo_image(path: str, name: str) -> bpy.types.Image | None:
    """The upright photo as a packed image, or None where Blender cannot read the file."""
    if not os.path.isfile(path):  # Blender's loader would complain on the console
        return None
    try:
        image = bpy.data.images.load(path)
    except RuntimeError:
        return None
    image.name = name
    width, height = cast(tuple[int, int], image.size)
    if width == 0:
        bpy.data.images.remove(image)
        return None
    orientation = jpeg_orientation(path)
    if orientation == 1:
        image.pack()
        return image
    rgba = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(rgba)
    bpy.data.images.remove(image)
    return _packed(name, turn_upright(rgba.reshape(height, width, 4)[::-1], orientation)[::-1])


def _packed(name: str, rgba_HW4: NDArray[np.float32]) -> bpy.types.Image:
    """A packed 8-bit image; bottom row first, as Blender keeps them."""
    height, width = rgba_HW4.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False)
    pixels: Any = image.pixels  # the stub does not know that arrays may be given
    pixels.foreach_set(np.ascontiguousarray(rgba_HW4, np.float32).ravel())
    image.update()
    image.pack()
    return image
