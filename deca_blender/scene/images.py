"""Pictures as packed Blender images, so that the file needs nothing beside it."""

from __future__ import annotations

from typing import Any, cast

import bpy
import numpy as np
from numpy.typing import NDArray


def texture_image(name: str, texture_NN3: NDArray[np.uint8]) -> bpy.types.Image:
    """A packed sRGB image of a texture, (N, N, 3), top row first."""
    rgba = np.empty((*texture_NN3.shape[:2], 4), np.float32)
    rgba[..., :3] = texture_NN3[::-1] / np.float32(255)
    rgba[..., 3] = 1
    return _packed(name, rgba)


def photo_image(name: str, picture: NDArray[np.uint8]) -> bpy.types.Image:
    """The upright photo as an image that holds these bytes of a picture file; it knows no path.

    Raises:
        ValueError: Blender cannot read them.
    """
    image = bpy.data.images.new(name, 1, 1)
    image.pack(data=picture.tobytes(), data_len=picture.size)  # pyright: ignore[reportArgumentType]
    image.source = "FILE"  # now the pixels are those of the bytes
    if not cast(tuple[int, int], image.size)[0]:
        bpy.data.images.remove(image)
        raise ValueError("the picture of the photo cannot be read.")
    return image


def _packed(name: str, rgba_HW4: NDArray[np.float32]) -> bpy.types.Image:
    """A packed 8-bit image; bottom row first, as Blender keeps them."""
    height, width = rgba_HW4.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=False)
    pixels: Any = image.pixels  # the stub does not know that arrays may be given
    pixels.foreach_set(np.ascontiguousarray(rgba_HW4, np.float32).ravel())
    image.update()
    image.pack()
    return image
