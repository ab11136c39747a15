"""What morphs do to the normals of a smooth surface, for exporters that would take long to find it.

Shape suffix: V vertices.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

NUMBER = "_DECA_NUMBER"
"""Attribute of each vertex' number; exporters write attributes whose names begin so."""


def is_smooth(mesh: bpy.types.Mesh) -> bool:
    """Whether each vertex has one normal, of the faces around it: no sharp edges, no flat faces, none of its own."""
    return mesh.normals_domain == "POINT"


def number_vertices(mesh: bpy.types.Mesh) -> None:
    """Gives a mesh the attribute `NUMBER`, by which its vertices are known again in a file."""
    attribute: Any = mesh.attributes.new(NUMBER, "FLOAT", "POINT")
    attribute.data.foreach_set("value", np.arange(len(mesh.vertices), dtype=np.float32))


def morph_normals(mesh: bpy.types.Mesh) -> Iterator[NDArray[np.float32]]:
    """For each shape key but the first, what it adds to each vertex' normal at 1 (V, 3)."""
    blocks: Any = mesh.shape_keys.key_blocks if mesh.shape_keys is not None else ()
    places_V3 = np.empty((len(mesh.vertices), 3), np.float32)
    moved: Any = mesh.copy()
    try:
        rest_V3 = None
        for block in blocks:
            block.points.foreach_get("co", places_V3.ravel())
            moved.vertices.foreach_set("co", places_V3.ravel())
            moved.update()
            normals_V3 = np.empty_like(places_V3)
            moved.vertex_normals.foreach_get("vector", normals_V3.ravel())
            if rest_V3 is None:
                rest_V3 = normals_V3
            else:
                yield normals_V3 - rest_V3
    finally:
        bpy.data.meshes.remove(moved)
