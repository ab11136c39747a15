"""How a photo file is to be turned upright: the EXIF orientation, which Blender's image loader ignores."""

from __future__ import annotations

import struct
from pathlib import Path

from numpy.typing import NDArray

_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1


def jpeg_orientation(path: str | Path) -> int:
    """EXIF orientation 1..8 of a JPEG file; 1 (upright) for other formats and files that say nothing valid."""
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"\xff\xd8":
                return _UPRIGHT
            while True:
                marker, size = struct.unpack(">HH", file.read(4))
                if marker == 0xFFDA or marker >> 8 != 0xFF or size < 2:
                    return _UPRIGHT
                segment = file.read(size - 2)
                if marker == 0xFFE1 and segment.startswith(b"Exif\0\0"):
                    return _tiff_orientation(segment[6:])
    except (OSError, struct.error):
        return _UPRIGHT


def _tiff_orientation(tiff: bytes) -> int:
    """Orientation from the first directory of a TIFF block.

    Raises:
        struct.error: The block ends too early.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return _UPRIGHT
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, directory)
    for index in range(count):
        tag, _type, _count, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * index)
        if tag == _ORIENTATION_TAG:
            return value if 1 <= value <= 8 else _UPRIGHT
    return _UPRIGHT


def turn_upright(pixels_HWC: NDArray, orientation: int) -> NDArray:
    """The picture as it is to be looked at. Rows and columns as in the file, top row first."""
    if orientation in (5, 6, 7, 8):
        pixels_HWC = pixels_HWC.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels_HWC = pixels_HWC[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels_HWC = pixels_HWC[::-1]
    return pixels_HWC
