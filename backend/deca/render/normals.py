"""Normals of meshes.

Shape suffixes: B batch, V vertices, F triangles.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SHORTEST_SQUARED = 1e-30
"""Squared length under which a vector has no direction: far below the area of a triangle in square metres."""


def vertex_normals(verts_BV3: Tensor, faces_F3: Tensor) -> Tensor:
    """Area-weighted unit vertex normals (B, V, 3), in the frame of the vertices; differentiable.

    They point outwards where triangles are counter-clockwise seen from outside. Vertices without a triangle that has
    an area get zero.
    """
    planar_B3V = verts_BV3.transpose(1, 2).contiguous()
    index_KB3F = [corner_F.expand(len(verts_BV3), 3, -1) for corner_F in faces_F3.T]
    a_B3F, b_B3F, c_B3F = (planar_B3V.gather(2, index) for index in index_KB3F)
    face_B3F = cross(b_B3F - a_B3F, c_B3F - a_B3F)
    sum_B3V = torch.zeros_like(planar_B3V)
    for index in index_KB3F:
        sum_B3V = sum_B3V.scatter_add(2, index, face_B3F)
    return unit(sum_B3V).transpose(1, 2)


def cross(a_B3X: Tensor, b_B3X: Tensor) -> Tensor:
    """Cross products of vectors along dimension 1, trailing dimensions free; fast on planar memory."""
    (ax, ay, az), (bx, by, bz) = a_B3X.unbind(1), b_B3X.unbind(1)
    return torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx), dim=1)


def unit(vectors_B3X: Tensor) -> Tensor:
    """Vectors along dimension 1 at unit length; zero, without gradient, where they have no direction.

    Written out, since torch's norms over a dimension of three are many times slower.
    """
    x, y, z = vectors_B3X.unbind(1)
    squared = x * x + y * y + z * z
    scale = squared.clamp(min=_SHORTEST_SQUARED).rsqrt() * (squared > _SHORTEST_SQUARED)
    return vectors_B3X * scale[:, None]
