"""Displacement and normal maps as files that other programs read.

Shape suffixes: H W texture rows and columns, top row first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray

DISPLACEMENT_RANGE = 0.02
"""Metres from black to white of a 16-bit displacement PNG; mid-grey is no displacement."""


def displacement_png(displacement_HW: NDArray[np.float32]) -> bytes:
    """A displacement map in metres as 16-bit grey PNG: 0.5 is zero, black and white are -1 cm and +1 cm.

    In Blender's Displace modifier: strength 0.02, midlevel 0.5. One step is 0.3 micrometres.
    """
    return _png16(displacement_HW / DISPLACEMENT_RANGE + 0.5)


def displacement_exr(displacement_HW: NDArray[np.float32]) -> bytes:
    """A displacement map in metres as 32-bit float EXR with one channel, `Y`."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with tempfile.TemporaryDirectory() as folder:  # OpenEXR writes to paths only
        path = Path(folder) / "displacement.exr"
        with OpenEXR.File(header, {"Y": np.ascontiguousarray(displacement_HW, np.float32)}) as file:
            file.write(str(path))
        return path.read_bytes()


def normal_png(normals_HW3: NDArray[np.float32]) -> bytes:
    """A tangent-space normal map (`tangent_normals`) as 16-bit RGB PNG, 0.5 is zero, green up (OpenGL's way)."""
    return _png16(normals_HW3 * 0.5 + 0.5)


def tangent_normals(
    positions_HW3: NDArray[np.float32],
    normals_HW3: NDArray[np.float32],
    detail_normals_HW3: NDArray[np.float32],
    covered_HW: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Detail normals in the frame of the coarse surface, which turns with the head.

    Args:
        positions_HW3: Surface points in texture space, metres.
        normals_HW3: Coarse unit normals.
        detail_normals_HW3: Detail normals, in the same frame.
        covered_HW: True inside the UV islands.

    Returns:
        (H, W, 3) unit normals: x along growing u, y along growing v, z out of the surface; (0, 0, 1) outside.
    """
    towards_u = _gradient(positions_HW3, covered_HW, axis=1)
    towards_v = -_gradient(positions_HW3, covered_HW, axis=0)  # rows run down, v runs up
    tangent = _unit(towards_u - normals_HW3 * _dot(towards_u, normals_HW3))
    bitangent = np.cross(normals_HW3, tangent)
    bitangent *= np.where(_dot(bitangent, towards_v) < 0, -1, 1)
    local = np.concatenate([_dot(detail_normals_HW3, axis) for axis in (tangent, bitangent, normals_HW3)], axis=-1)
    local[~covered_HW] = (0, 0, 1)
    return _unit(local).astype(np.float32)


def _gradient(values_HWC: NDArray, covered_HW: NDArray[np.bool_], axis: int) -> NDArray:
    """Difference between the next and the previous texel along an axis; outside the islands the texel itself counts."""

    def neighbour(step: int) -> NDArray:
        inside = np.roll(covered_HW, step, axis)
        inside[(slice(None),) * axis + (0 if step > 0 else -1,)] = False
        return np.where(inside[..., None], np.roll(values_HWC, step, axis), values_HWC)

    return neighbour(-1) - neighbour(1)


def _dot(a: NDArray, b: NDArray) -> NDArray:
    return np.einsum("...c,...c->...", a, b)[..., None]


def _unit(vectors: NDArray) -> NDArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _png16(values: NDArray) -> bytes:
    pixels = np.clip(np.round(values * 65535), 0, 65535).astype(np.uint16)
    done, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert done
    return data.tobytes()
