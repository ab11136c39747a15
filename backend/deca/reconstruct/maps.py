"""Displacement and normal maps as files that other programs read.

Shape suffixes: H W texture rows and columns, top row first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import torch
from numpy.typing import NDArray
from torch.nn import functional

from deca.head.model import HeadModel
from deca.render.detail import smooth_normals
from deca.render.normals import unit, vertex_normals
from deca.render.uv import uv_raster, world2uv

DISPLACEMENT_RANGE = 0.02
"""Metres from black to white of a 16-bit displacement PNG; mid-grey is no displacement."""


def displacement_png(displacement_HW: NDArray[np.float32]) -> bytes:
    """A displacement map in metres as 16-bit grey PNG: 0.5 is zero, black and white are -1 cm and +1 cm.

    In Blender's Displace modifier: strength 0.02, midlevel 0.5. One step is 0.3 micrometres.
    """
    return _png(displacement_HW / DISPLACEMENT_RANGE + 0.5)


def displacement_exr(displacement_HW: NDArray[np.float32]) -> bytes:
    """A displacement map in metres as 32-bit float EXR with one channel, `Y`."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with tempfile.TemporaryDirectory() as folder:  # OpenEXR writes to paths only
        path = Path(folder) / "displacement.exr"
        with OpenEXR.File(header, {"Y": np.ascontiguousarray(displacement_HW, np.float32)}) as file:
            file.write(str(path))
        return path.read_bytes()


def normal_png(normals_HW3: NDArray[np.float32], bits: int = 16, green_up: bool = True) -> bytes:
    """A tangent-space normal map (`tangent_normals`) as RGB PNG; 0.5 is zero.

    Args:
        normals_HW3: The normals.
        bits: 8 or 16.
        green_up: Green along growing v (OpenGL); otherwise against it (DirectX).
    """
    y_sign = 1 if green_up else -1
    return _png(normals_HW3 * (0.5, 0.5 * y_sign, 0.5) + 0.5, bits)


def normal_map(
    verts_V3: NDArray[np.float32], displacement_NN: NDArray[np.float32], head: HeadModel, size: int
) -> NDArray[np.float32]:
    """The tangent-space normals (size, size, 3) of a displaced head, without the facets of its mesh.

    Args:
        verts_V3: Vertices of the coarse head; in a mirror it gives the same map.
        displacement_NN: How far out of the surface, in the unit of the vertices, as it is to be applied.
        head: Gives triangles and texture space.
        size: Rows and columns of the normal map; the displacement is interpolated (bicubic).
    """
    if np.linalg.det((verts_V3 - verts_V3.mean(axis=0))[head.faces_F3]).sum() < 0:
        verts_V3 = -verts_V3  # its triangles face outwards again
    verts_1V3, displacement_11NN = torch.from_numpy(verts_V3)[None], torch.from_numpy(displacement_NN)[None, None]
    with torch.inference_mode():
        normals_1V3 = vertex_normals(verts_1V3, torch.from_numpy(head.faces_F3))
        coarse_13HW, normals_13HW = world2uv(torch.cat((verts_1V3, normals_1V3), dim=2), head, size).split(3, dim=1)
        offset_11HW = functional.interpolate(displacement_11NN, (size, size), mode="bicubic", align_corners=False)
        covered_HW = uv_raster(head, size, verts_1V3.device).covered_HW
        displaced_13HW = coarse_13HW + offset_11HW * normals_13HW
        normals_13HW = unit(normals_13HW)  # they are shorter between vertices
        detail_13HW = smooth_normals(displaced_13HW, coarse_13HW, normals_13HW, covered_HW)
        tensors = (coarse_13HW, normals_13HW, detail_13HW)
        positions, normals, detail = (tensor_13HW[0].permute(1, 2, 0).numpy() for tensor_13HW in tensors)
    return tangent_normals(positions, normals, detail, covered_HW.numpy())


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


def _png(values: NDArray, bits: int = 16) -> bytes:
    largest = 2**bits - 1
    pixels = np.clip(np.round(values * largest), 0, largest).astype(np.uint8 if bits == 8 else np.uint16)
    done, data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert done
    return data.tobytes()
