"""Faces of three and four corners in one array (P, 4): triangles have -1 as their last corner.

A face of four is cut from its first to its third corner, here as in Blender and in the readers of mesh files.
Shape suffixes: P polygons, F triangles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def as_polygons(faces_F3: NDArray) -> NDArray[np.int64]:
    """Triangles as polygons."""
    return np.pad(faces_F3.astype(np.int64), ((0, 0), (0, 1)), constant_values=-1)


def as_triangles(polygons_P4: NDArray) -> NDArray:
    """The triangles (F, 3) of polygons: the first of each, then the second of those of four."""
    return np.concatenate([polygons_P4[:, :3], polygons_P4[polygons_P4[:, 3] >= 0][:, [0, 2, 3]]])


def uv_polygons(polygons_P4: NDArray, faces_F3: NDArray, uv_faces_F3: NDArray) -> NDArray[np.int64]:
    """The texture vertices (P, 4) at the corners of the polygons whose triangles are `faces_F3`, in any order.

    Raises:
        ValueError: The polygons are not made of these triangles, or a seam of the texture coordinates cuts one.
    """
    halves_F3 = as_triangles(polygons_P4)
    if len(halves_F3) != len(faces_F3):
        raise ValueError(f"the polygons have {len(halves_F3)} triangles, not {len(faces_F3)}")
    order, face_order = (np.lexsort(np.sort(triangles_F3, axis=1).T) for triangles_F3 in (halves_F3, faces_F3))
    face_F = np.empty_like(order)
    face_F[order] = face_order
    same_F33 = faces_F3[face_F][:, None, :] == halves_F3[:, :, None]
    corner_F3 = same_F33.argmax(-1)
    if not same_F33.any(-1).all() or ((corner_F3[:, 1:] - corner_F3[:, :-1]) % 3 != 1).any():
        raise ValueError("the polygons are not made of the triangles")
    uv_F3 = uv_faces_F3[face_F[:, None], corner_F3].astype(np.int64)
    count, is_quad = len(polygons_P4), polygons_P4[:, 3] >= 0
    found_P4 = as_polygons(uv_F3[:count])
    found_P4[is_quad, 3] = uv_F3[count:, 2]
    if not np.array_equal(found_P4[is_quad][:, [0, 2]], uv_F3[count:, :2]):
        raise ValueError("a seam of the texture coordinates cuts a polygon")
    return found_P4
