"""The head as a Blender mesh: the person's neutral geometry, texture coordinates, material slots, skinning weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..protocol.messages import HeadReply

UV_MAP = "UVMap"
GLOSS = "skin_gloss"
"""Attribute of the points: how much oilier or wetter than on the cheeks the skin is, 0 to 1."""
MATERIAL_SLOT_OF_PART = (0, 1, 1, 2, 2, 2, 2)
"""Slot (skin, eyes, mouth) of each value of `HeadReply.part`."""
_TEETH = 3, 4
"""Values of `HeadReply.part` whose edges subdivision must not round: it would draw thin crowns back into the gums."""
PART = "deca_part"
"""Attribute of the points: `HeadReply.part`. Heads of earlier versions have none."""


def build_head_mesh(name: str, head: HeadReply, neutral_V3: NDArray) -> bpy.types.Mesh:
    """A mesh whose vertices and faces are the head model's, in its order.

    Args:
        name: Name of the mesh.
        head: The head model.
        neutral_V3: Vertices in metres, head space (y up).
    """
    mesh = bpy.data.meshes.new(name)
    is_corner_P4 = head.polygons >= 0
    num_corners_P = is_corner_P4.sum(axis=1)
    corners = head.polygons[is_corner_P4]
    mesh.vertices.add(len(neutral_V3))
    mesh.loops.add(len(corners))
    mesh.polygons.add(len(head.polygons))
    mesh.vertices.foreach_set("co", neutral_V3.astype(np.float32).ravel())
    mesh.loops.foreach_set("vertex_index", corners)
    mesh.polygons.foreach_set("loop_start", (np.cumsum(num_corners_P) - num_corners_P).astype(np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(head.polygons), bool))
    slots = np.array(MATERIAL_SLOT_OF_PART, np.int32)[head.part[head.polygons[:, 0]]]
    mesh.update(calc_edges=True)
    mesh.polygons.foreach_set("material_index", slots)
    uv_layer = mesh.uv_layers.new(name=UV_MAP)
    uv_layer.uv.foreach_set("vector", head.uv[head.uv_polygons[is_corner_P4]].ravel())
    parts: Any = mesh.attributes.new(PART, "INT8", "POINT")
    parts.data.foreach_set("value", head.part.astype(np.int8))
    _crease_teeth(mesh, head.part)
    if head.gloss is not None:
        mesh.attributes.new(GLOSS, "FLOAT", "POINT").data.foreach_set("value", head.gloss)
    return mesh


def _crease_teeth(mesh: bpy.types.Mesh, part_V: NDArray[np.integer]) -> None:
    ends_2E = np.empty(2 * len(mesh.edges), np.int32)
    mesh.edges.foreach_get("vertices", ends_2E)
    is_tooth_E = np.isin(part_V[ends_2E.reshape(-1, 2)], _TEETH).all(axis=1)
    creases: Any = mesh.attributes.new("crease_edge", "FLOAT", "EDGE")  # the name by which Blender knows them
    creases.data.foreach_set("value", is_tooth_E.astype(np.float32))


def add_skin_weights(obj: bpy.types.Object, names: Sequence[str], skin_weights_VJ: NDArray) -> None:
    """Gives the object one vertex group per joint, named after the bone that moves it."""
    for name, weights_V in zip(names, skin_weights_VJ.T, strict=True):
        group = obj.vertex_groups.new(name=name)
        values, which = np.unique(weights_V, return_inverse=True)
        order = np.argsort(which, kind="stable")
        bounds = np.searchsorted(which[order], np.arange(len(values) + 1))
        for k, value in enumerate(values):
            if value > 0:
                group.add(order[bounds[k] : bounds[k + 1]].tolist(), float(value), "REPLACE")
