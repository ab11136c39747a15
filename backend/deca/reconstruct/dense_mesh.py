"""The dense detail mesh: the head's triangles split, their vertices moved along the normals by a displacement map.

Shape suffixes: V vertices, F triangles, T texture vertices, E edges, W dense vertices; N rows and columns of the map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from deca.reconstruct.mesh import Mesh

LEVELS = 2
"""Times that each triangle is split in four: a vertex per millimetre of the face, about one per texel of F_d's map."""


def displaced_mesh(
    mesh: Mesh, normals_V3: NDArray[np.float32], displacement_NN: NDArray[np.float32], levels: int = LEVELS
) -> Mesh:
    """The dense mesh of a face: vertices moved along the normals (DECA, Eq. 9, at vertices instead of texels).

    Args:
        mesh: The coarse mesh.
        normals_V3: Unit normals at its vertices.
        displacement_NN: Displacement map, metres, top row first.
        levels: Times that each triangle is split in four.

    Returns:
        A mesh without cracks: a vertex on the border of several UV islands takes the mean of their displacements.
    """
    values_W6 = np.concatenate((mesh.verts_V3, normals_V3), axis=1).astype(np.float64)
    uv_T2, faces_F3, uv_faces_F3 = mesh.uv_T2.astype(np.float64), mesh.faces_F3, mesh.uv_faces_F3
    for _ in range(levels):
        values_W6, faces_F3 = _split(values_W6, faces_F3)
        uv_T2, uv_faces_F3 = _split(uv_T2, uv_faces_F3)
    base_W3, normals_W3 = values_W6[:, :3], values_W6[:, 3:]
    normals_W3 = normals_W3 / np.maximum(np.linalg.norm(normals_W3, axis=1, keepdims=True), 1e-12)

    size = len(displacement_NN)
    rows_T, columns_T = (1 - uv_T2[:, 1]) * size - 0.5, uv_T2[:, 0] * size - 0.5
    moved_T = map_coordinates(displacement_NN, (rows_T, columns_T), order=1, mode="nearest")
    corners, texture_corners = faces_F3.ravel(), uv_faces_F3.ravel()
    total_W = np.bincount(corners, moved_T[texture_corners], len(base_W3))
    moved_W = total_W / np.maximum(np.bincount(corners, minlength=len(base_W3)), 1)
    verts_W3 = (base_W3 + moved_W[:, None] * normals_W3).astype(np.float32)
    return Mesh(verts_W3, faces_F3, uv_T2.astype(np.float32), uv_faces_F3)


def _split(
    values_VC: NDArray[np.float64], faces_F3: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each triangle in four at its edges' midpoints; the values (V, C) with those of the midpoints behind them."""
    count = len(values_VC)
    edges_F32 = np.sort(np.stack((faces_F3, np.roll(faces_F3, -1, axis=1)), -1), axis=-1)
    keys, midpoint_N = np.unique(edges_F32[..., 0] * count + edges_F32[..., 1], return_inverse=True)
    midpoints_VC = (values_VC[keys // count] + values_VC[keys % count]) / 2
    ab, bc, ca = (count + midpoint_N.reshape(-1, 3)).T
    a, b, c = faces_F3.T
    split_F43 = np.stack(
        [np.stack(corners, -1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))], 1
    )
    return np.concatenate((values_VC, midpoints_VC)), split_F43.reshape(-1, 3)
