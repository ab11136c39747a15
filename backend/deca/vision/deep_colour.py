"""Colour pictures of more than 8 bits per channel, of which Pillow keeps the upper 8 or which it does not open."""

from __future__ import annotations

from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from deca.vision.tones import range_of_most, to_8_bit

_DIM = 64  # of 255; a picture of 16 bits without anything brighter has 14 or less, and its upper 8 lose some
_TIFF_MAGICS = (b"II*\0", b"MM\0*")
_WIDTH, _HEIGHT = 256, 257  # tags


def may_lose_bits(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow reads the file's 16 bits per colour as 8. `image` must not be loaded yet."""
    return image.mode in ("RGB", "RGBA") and ";16" in str(image.tile)


def is_dim(image: Image.Image) -> bool:
    """Whether most of the upper 8 bits are so low that the lower ones count."""
    return range_of_most(np.asarray(image.convert("RGB"), np.float32))[1] < _DIM


def tiff_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height of a TIFF file that Pillow does not open; None for other files."""
    file.seek(0)
    header = file.read(8)
    if header[:4] not in _TIFF_MAGICS:
        return None
    directory = ImageFileDirectory_v2(header)
    file.seek(directory.next)
    directory.load(file)
    return int(directory[_WIDTH]), int(directory[_HEIGHT])


def read_deep(file: BinaryIO) -> Image.Image | None:
    """A colour picture of 16 bits or floats per channel, scaled to 8 bits by what most pixels are.

    A TIFF comes out upright, as from Pillow; other files as they are stored. None where OpenCV finds no such picture.
    """
    file.seek(0)
    values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3 or values.shape[2] not in (3, 4) or values.dtype == np.uint8:
        return None
    rgb = to_8_bit(np.ascontiguousarray(values[..., 2::-1]))
    if values.shape[2] == 3:
        return Image.fromarray(rgb)
    opaque = 65535 if values.dtype == np.uint16 else 1
    alpha = np.clip(np.nan_to_num(values[..., 3:].astype(np.float32)) * (255 / opaque), 0, 255).astype(np.uint8)
    return Image.fromarray(np.concatenate([rgb, alpha], 2))
