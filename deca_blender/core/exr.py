"""Writes displacement maps as OpenEXR files, which Blender's Python cannot do by itself.

One scan-line part, one channel `Y` of half floats, ZIP compression (https://openexr.com, "OpenEXR File Layout").
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_MAGIC, _VERSION = 20000630, 2
_HALF, _ZIP = 1, 3
_ROWS_PER_BLOCK = 16  # ZIP's
_LARGEST_HALF = 65504.0


def half_exr(values_HW: NDArray) -> bytes:
    """A picture as an EXR file of half floats: 11 bits of precision, nothing lost below 6e-8.

    Args:
        values_HW: Any floats, top row first; what half floats cannot hold is clipped.
    """
    height, width = values_HW.shape
    half_HW = np.clip(values_HW, -_LARGEST_HALF, _LARGEST_HALF).astype("<f2")
    header = _header(width, height)
    blocks = []
    for row in range(0, height, _ROWS_PER_BLOCK):
        data = _compressed(half_HW[row : row + _ROWS_PER_BLOCK].tobytes())
        blocks.append(struct.pack("<ii", row, len(data)) + data)
    offsets, offset = [], len(header) + 8 * len(blocks)
    for block in blocks:
        offsets.append(offset)
        offset += len(block)
    return b"".join((header, struct.pack(f"<{len(offsets)}Q", *offsets), *blocks))


def _header(width: int, height: int) -> bytes:
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = b"Y\0" + struct.pack("<iB3xii", _HALF, 0, 1, 1) + b"\0"
    attributes = (
        ("channels", "chlist", channels),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    )
    packed = (
        name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return struct.pack("<ii", _MAGIC, _VERSION) + b"".join(packed) + b"\0"


def _compressed(raw: bytes) -> bytes:
    """EXR's ZIP: first the even bytes, then the odd ones, as differences, deflated; raw where that is no shorter."""
    pixels = np.frombuffer(raw, np.uint8)
    split = np.concatenate((pixels[0::2], pixels[1::2]))
    split[1:] = split[1:] - split[:-1] + np.uint8(128)  # modulo 256
    packed = zlib.compress(split.tobytes(), 4)
    return packed if len(packed) < len(raw) else raw
