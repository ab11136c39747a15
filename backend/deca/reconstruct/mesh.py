"""A textured mesh and its files: OBJ and PLY.

Shape suffixes: V vertices, P polygons, T texture vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Mesh:
    """Faces in head space (metres, y up, z forward) with texture coordinates of their own.

    Attributes:
        verts_V3: Positions.
        polygons_P4: Faces of four, counter-clockwise from outside; -1 is the last corner of triangles.
        uv_T2: Texture coordinates, v up.
        uv_polygons_P4: Their polygons, in the order of `polygons_P4`.
    """

    verts_V3: NDArray[np.float32]
    polygons_P4: NDArray[np.int64]
    uv_T2: NDArray[np.float32]
    uv_polygons_P4: NDArray[np.int64]


def obj_text(mesh: Mesh, name: str, texture_name: str) -> tuple[str, str]:
    """The mesh as Wavefront OBJ with one texture coordinate per corner, and its material library."""
    material = f"{Path(texture_name).stem}.mtl"
    lines = [f"# {name}, {len(mesh.verts_V3)} vertices", f"mtllib {material}", "o head"]
    lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in mesh.verts_V3.tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.uv_T2.tolist()]
    lines += ["usemtl head", "s 1"]
    corners_P42 = np.stack((mesh.polygons_P4 + 1, mesh.uv_polygons_P4 + 1), -1).tolist()
    lines += ["f " + " ".join(f"{v}/{t}" for v, t in corners if v) for corners in corners_P42]
    return "\n".join(lines) + "\n", f"newmtl head\nKd 1 1 1\nmap_Kd {texture_name}\n"


def ply_bytes(mesh: Mesh) -> bytes:
    """The mesh as binary PLY with texture coordinates `s`, `t` per vertex.

    PLY keeps them per vertex: vertices on the borders of UV islands are there once for each island.
    """
    vertex_of_T = np.zeros(len(mesh.uv_T2), np.int64)
    is_corner_P4 = mesh.polygons_P4 >= 0
    vertex_of_T[mesh.uv_polygons_P4[is_corner_P4]] = mesh.polygons_P4[is_corner_P4]
    vertices = np.zeros(len(mesh.uv_T2), [(name, "<f4") for name in ("x", "y", "z", "s", "t")])
    for column, name in enumerate("xyz"):
        vertices[name] = mesh.verts_V3[vertex_of_T, column]
    vertices["s"], vertices["t"] = mesh.uv_T2.T
    rows = b"".join(
        bytes([count]) + corners[:count].tobytes()
        for count, corners in zip(is_corner_P4.sum(1).tolist(), mesh.uv_polygons_P4.astype("<i4"), strict=True)
    )
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {name}" for name in ("x", "y", "z", "s", "t")]
    header += [f"element face {len(mesh.polygons_P4)}", "property list uchar int vertex_indices", "end_header"]
    return ("\n".join(header) + "\n").encode("ascii") + vertices.tobytes() + rows
