"""The dense detail mesh: the head's faces split, their vertices moved along the normals by a displacement map.

Shape suffixes: V vertices, P polygons, T texture vertices, E edges, W dense vertices; N rows and columns of the map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from deca.reconstruct.mesh import Mesh

LEVELS = 2
"""Times that each face is split in four: a vertex per millimetre of the face, about one per texel of F_d's map."""


def displaced_mesh(
    mesh: Mesh, normals_V3: NDArray[np.float32], displacement_NN: NDArray[np.float32], levels: int = LEVELS
) -> Mesh:
    """The dense mesh of a face: vertices moved along the normals (DECA, Eq. 9, at vertices instead of texels).

    Args:
        mesh: The coarse mesh.
        normals_V3: Unit normals at its vertices.
        displacement_NN: Displacement map, metres, top row first.
        levels: Times that each face is split in four.

    Returns:
        A mesh without cracks: a vertex on the border of several UV islands takes the mean of their displacements.
    """
    values_W6 = np.concatenate((mesh.verts_V3, normals_V3), axis=1).astype(np.float64)
    uv_T2, polygons_P4, uv_polygons_P4 = mesh.uv_T2.astype(np.float64), mesh.polygons_P4, mesh.uv_polygons_P4
    for _ in range(levels):
        values_W6, polygons_P4 = _split(values_W6, polygons_P4)
        uv_T2, uv_polygons_P4 = _split(uv_T2, uv_polygons_P4)
    base_W3, normals_W3 = values_W6[:, :3], values_W6[:, 3:]
    normals_W3 = normals_W3 / np.maximum(np.linalg.norm(normals_W3, axis=1, keepdims=True), 1e-12)

    size = len(displacement_NN)
    rows_T, columns_T = (1 - uv_T2[:, 1]) * size - 0.5, uv_T2[:, 0] * size - 0.5
    moved_T = map_coordinates(displacement_NN, (rows_T, columns_T), order=1, mode="nearest")
    corners, texture_corners = polygons_P4[polygons_P4 >= 0], uv_polygons_P4[polygons_P4 >= 0]
    total_W = np.bincount(corners, moved_T[texture_corners], len(base_W3))
    moved_W = total_W / np.maximum(np.bincount(corners, minlength=len(base_W3)), 1)
    verts_W3 = (base_W3 + moved_W[:, None] * normals_W3).astype(np.float32)
    return Mesh(verts_W3, polygons_P4, uv_T2.astype(np.float32), uv_polygons_P4)


def _split(
    values_VC: NDArray[np.float64], polygons_P4: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Each face in four at its edges' midpoints; the values (V, C) with those of the midpoints behind them.

    A face of four has its middle on its diagonal from the first to the third corner, where its triangles meet.
    """
    count, is_quad = len(values_VC), polygons_P4[:, 3] >= 0
    (a, b, c, d), triangles = polygons_P4[is_quad].T, polygons_P4[~is_quad, :3].T
    edges = [*_edges(a, b, c, d), (a, c), *_edges(*triangles)]
    keys_E = np.concatenate([np.minimum(v, w) * count + np.maximum(v, w) for v, w in edges])
    keys, midpoint_E = np.unique(keys_E, return_inverse=True)
    midpoints_VC = (values_VC[keys // count] + values_VC[keys % count]) / 2
    ends = np.cumsum([len(v) for v, _ in edges])[:-1]
    ab, bc, cd, da, middle, *sides = np.split(count + midpoint_E.reshape(-1), ends)
    # Turned so that the small faces are cut where the large one's triangles would be.
    quads = [(a, ab, middle, da), (ab, b, bc, middle), (middle, bc, c, cd), (da, middle, cd, d)]
    none = np.full_like(triangles[0], -1)
    (a, b, c), (ab, bc, ca) = triangles, sides
    small = [(a, ab, ca, none), (ab, b, bc, none), (ca, bc, c, none), (ab, bc, ca, none)]
    split = [np.stack([np.stack(face, -1) for face in faces], 1).reshape(-1, 4) for faces in (quads, small)]
    return np.concatenate((values_VC, midpoints_VC)), np.concatenate(split)


def _edges(*corners: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    return list(zip(corners, (*corners[1:], corners[0]), strict=True))
