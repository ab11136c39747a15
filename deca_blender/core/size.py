"""How large a head's mesh is beside what it was made as, so that wrinkles keep their depth under *Apply Scale*.

Displacement maps are metres of the head as it was imported. A scale of the object scales them by itself; an applied one
is in the mesh alone, whose size is the distance between two of its vertices.

Shape suffixes: V vertices, F triangles.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .rig import DriverSpec, Term

_FIRST_VERTICES = 300
"""Vertices that are looked at: OpenHead's face, without chin and neck. The first ones keep their numbers when the user
deletes neck, eyes or teeth."""


def anchors(verts_V3: NDArray) -> tuple[int, int]:
    """Two of the first vertices, far from each other along all three axes, so that uneven scales count evenly."""
    first_V3 = verts_V3[:_FIRST_VERTICES]
    pairs = []
    for corner in product((-1, 1), repeat=3):
        along_V = first_V3 @ np.array(corner)
        pair = int(along_V.argmax()), int(along_V.argmin())
        pairs.append((float(np.abs(first_V3[pair[0]] - first_V3[pair[1]]).min()), pair))
    return max(pairs)[1]


def size_driver(verts_V3: NDArray) -> DriverSpec:
    """Driver that computes a head's size from its `bpy.types.Mesh`: 1 now, 10 when the mesh has been scaled by 10.

    Read from the mesh and not from its basis key: when a scale is applied, bpy 5.2 now and then leaves such a driver as
    it was until the mesh changes again (4 of 11,000 times by the key, 1 of 22,000 by the mesh, on a busy computer).

    Args:
        verts_V3: Vertices without any shape key.
    """
    first, second = anchors(verts_V3)
    terms = tuple(
        Term(name, f"vertices[{vertex}].co[{axis}]", float(verts_V3[vertex][axis]))
        for vertex, names in ((first, "abc"), (second, "def"))
        for axis, name in enumerate(names)
    )
    a, b, c, d, e, f = (term.rest for term in terms)
    distance = math.sqrt((a - d) ** 2 + (b - e) ** 2 + (c - f) ** 2)  # as Blender does, so that it is exactly 1 now
    square = "pow(a-d,2)+pow(b-e,2)+pow(c-f,2)"
    return DriverSpec(f"(sqrt({square})/{distance!r} if {square}>0 else 1)", terms)


def faces_outwards(verts_V3: NDArray, faces_F3: NDArray) -> bool:
    """Whether the triangles of a head, which need not be closed, are counter-clockwise as seen from outside."""
    a_F3, b_F3, c_F3 = (verts_V3 - verts_V3.mean(axis=0))[faces_F3.T]
    # Six times the volume. While a slider is dragged this runs at every step; `np.linalg.det` takes four times as long.
    return float(np.einsum("fi,fi->", a_F3, np.cross(b_F3, c_F3))) >= 0
