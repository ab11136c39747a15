"""A textured triangle mesh and its files: OBJ and PLY.

Shape suffixes: V vertices, F triangles, T texture vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mesh:
    """Triangles in head space (metres, y up, z forward) with texture coordinates of their own.

    Attributes:
        verts_V3: Positions.
        faces_F3: Triangles, counter-clockwise from outside.
        uv_T2: Texture coordinates, v up.
        uv_faces_F3: Their triangles, in the order of `faces_F3`.
    """

    verts_V3: NDArray[np.float32]
    faces_F3: NDArray[np.int64]
    uv_T2: NDArray[np.float32]
    uv_faces_F3: NDArray[np.int64]


def obj_text(mesh: Mesh, name: str, texture_name: str) -> tuple[str, str]:
    """The mesh as Wavefront OBJ with one texture coordinate per corner, and its material library."""
    material = f"{Path(texture_name).stem}.mtl"
    lines = [f"# {name}, {len(mesh.verts_V3)} vertices", f"mtllib {material}", "o head"]
    lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in mesh.verts_V3.tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.uv_T2.tolist()]
    lines += ["usemtl head", "s 1"]
    corners_F6 = np.stack((mesh.faces_F3 + 1, mesh.uv_faces_F3 + 1), -1).reshape(-1, 6).tolist()
    lines += [f"f {a}/{ta} {b}/{tb} {c}/{tc}" for a, ta, b, tb, c, tc in corners_F6]
    return "\n".join(lines) + "\n", f"newmtl head\nKd 1 1 1\nmap_Kd {texture_name}\n"


def ply_bytes(mesh: Mesh) -> bytes:
    """The mesh as binary PLY with texture coordinates `s`, `t` per vertex.

    PLY keeps them per vertex: vertices on the borders of UV islands are there once for each island.
    """
    vertex_of_T = np.zeros(len(mesh.uv_T2), np.int64)
    vertex_of_T[mesh.uv_faces_F3] = mesh.faces_F3
    vertices = np.zeros(len(mesh.uv_T2), [(name, "<f4") for name in ("x", "y", "z", "s", "t")])
    for column, name in enumerate("xyz"):
        vertices[name] = mesh.verts_V3[vertex_of_T, column]
    vertices["s"], vertices["t"] = mesh.uv_T2.T
    triangles = np.zeros(len(mesh.faces_F3), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, mesh.uv_faces_F3
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {name}" for name in ("x", "y", "z", "s", "t")]
    header += [f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(header) + "\n").encode("ascii") + vertices.tobytes() + triangles.tobytes()
