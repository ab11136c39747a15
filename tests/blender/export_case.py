"""What the checks of exports share: files are read back by Blender's importers, and compared with the oracle's rig."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import blender_case as case
import bpy
import numpy as np
from mathutils.kdtree import KDTree

from deca_blender.scene.import_face import import_face

HEAD = case.head_reply()
NAMES = HEAD.arkit_names
TOLERANCE = 1e-4
"""Metres: what an export promises of each morph."""


TEXTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
CALM = {"expression": np.zeros(50, np.float32), "pose": np.zeros((5, 3), np.float32)}


def imported(seed: int = 1, **changes: object) -> tuple[Any, bpy.types.Object]:
    face = case.face_reply(HEAD, seed, albedo=TEXTURE, **changes)
    return face, import_face(bpy.context, HEAD, face)


def rig_verts(
    face: Any, sliders: dict[str, float], pose: np.ndarray | None = None, expression: Any = None
) -> np.ndarray:
    """The oracle's vertices in Blender's space, z up: the head upright at the origin."""
    weights = np.array([sliders.get(name, 0.0) for name in NAMES])
    expression = np.zeros(50) if expression is None else expression
    pose = np.zeros((5, 3)) if pose is None else pose
    return upright(case.posed_verts(HEAD, face.shape, expression, pose, weights))


def upright(verts: np.ndarray) -> np.ndarray:
    return verts[:, [0, 2, 1]] * [1, -1, 1]


def read_back(path: Path, reader: str = "") -> Any:
    """The mesh object of a file, read by Blender into an empty scene."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    readers = {
        ".glb": lambda: bpy.ops.import_scene.gltf(filepath=str(path)),
        ".fbx": lambda: bpy.ops.import_scene.fbx(filepath=str(path)),
        ".usdc": lambda: bpy.ops.wm.usd_import(filepath=str(path)),
        ".usdz": lambda: bpy.ops.wm.usd_import(filepath=str(path)),
        ".obj": lambda: bpy.ops.wm.obj_import(filepath=str(path)),
        ".abc": lambda: bpy.ops.wm.alembic_import(filepath=str(path), as_background_job=False),
        "ufbx": lambda: ops_fbx(filepath=str(path)),
    }
    has_ufbx = "fbx_import" in dir(bpy.ops.wm)  # from Blender 4.5
    ops_fbx = bpy.ops.wm.fbx_import if has_ufbx else bpy.ops.import_scene.fbx
    assert readers[reader or path.suffix]() == {"FINISHED"}
    (mesh,) = (obj for obj in bpy.data.objects if obj.type == "MESH" and len(obj.data.vertices) > 100)
    return mesh


def world_verts(obj: Any) -> np.ndarray:
    """What an object shows, in the scene's space."""
    verts = case.evaluated_verts(obj)
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    matrix = np.array(evaluated.matrix_world)
    return verts @ matrix[:3, :3].T + matrix[:3, 3]


def correspondence(verts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Index in `expected` of each vertex of a file, which may have split and sorted them; all have to be there."""
    tree = KDTree(len(expected))
    for index, position in enumerate(expected):
        tree.insert(position, index)
    tree.balance()
    found = [tree.find(position)[1:] for position in verts]
    indices, distances = (np.array(values) for values in zip(*found, strict=True))
    assert distances.max() < 1e-5, distances.max()
    assert len(np.unique(indices)) == len(np.unique(expected.round(7), axis=0))
    return indices


def set_weights(obj: Any, weights: dict[str, float]) -> None:
    for key in obj.data.shape_keys.key_blocks[1:]:
        key.value = weights.get(key.name, 0.0)


class Glb:
    """A binary glTF file, read as its specification says (glTF 2.0, section 4.4)."""

    TYPES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}  # noqa: RUF012
    COUNTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}  # noqa: RUF012

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.json = json.loads(data[20 : 20 + size])
        self.binary = memoryview(data)[28 + size :]

    def accessor(self, index: int) -> np.ndarray:
        """Values, sparse ones filled in; checks the bounds that it states."""
        accessor = self.json["accessors"][index]
        count, width = accessor["count"], self.COUNTS[accessor["type"]]
        kind = self.TYPES[accessor["componentType"]]
        values = np.zeros((count, width), kind)
        if "bufferView" in accessor:
            values[:] = self._read(accessor, kind, count * width).reshape(count, width)
        sparse = accessor.get("sparse")
        if sparse is not None:
            rows = self._read(sparse["indices"], self.TYPES[sparse["indices"]["componentType"]], sparse["count"])
            assert (np.diff(rows.astype(int)) > 0).all() and rows.max() < count
            values[rows] = self._read(sparse["values"], kind, sparse["count"] * width).reshape(-1, width)
        if "min" in accessor:
            assert np.allclose(values.min(axis=0), accessor["min"], atol=1e-6)
            assert np.allclose(values.max(axis=0), accessor["max"], atol=1e-6)
        return values

    def _read(self, place: dict, kind: str, count: int) -> np.ndarray:
        view = self.json["bufferViews"][place["bufferView"]]
        start = view.get("byteOffset", 0) + place.get("byteOffset", 0)
        return np.frombuffer(self.binary, kind, count, start)


def texture_of(material: Any) -> Any:
    """The picture of a material's colour."""
    (shader,) = (node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    node = shader.inputs["Base Color"].links[0].from_node
    while node.type != "TEX_IMAGE":
        node = next(link.from_node for socket in node.inputs for link in socket.links)
    return node.image


def corner_uv(mesh: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vertex and texture coordinates of each corner of a mesh."""
    layer = mesh.uv_layers.active.uv
    uv, corners = np.empty((len(layer), 2), np.float32), np.empty(len(mesh.loops), np.int32)
    layer.foreach_get("vector", uv.ravel())
    mesh.loops.foreach_get("vertex_index", corners)
    return corners, uv


def check_uv(mesh: Any, index: np.ndarray) -> None:
    """Each corner has texture coordinates that the head has at its vertex.

    Args:
        mesh: Of a file.
        index: The head's vertex of each of its vertices.
    """
    known: dict[int, list] = {}
    for polygon, uv_polygon in zip(HEAD.polygons.tolist(), HEAD.uv_polygons.tolist(), strict=True):
        for vertex, uv_vertex in zip(polygon, uv_polygon, strict=True):
            known.setdefault(vertex, []).append(HEAD.uv[uv_vertex])
    corners, uv = corner_uv(mesh)
    for vertex, place in zip(index[corners].tolist(), uv, strict=True):
        assert min(np.abs(np.array(known[vertex]) - place).max(axis=1)) < 1e-4, (vertex, place, known[vertex])
