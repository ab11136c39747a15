"""Meshes, scans and their seven landmarks as the benchmarks' files hold them.

Shape suffixes: V vertices, F triangles, N scan points; landmarks are (7, 3).
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import igl
import numpy as np
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.files import read_npy, write_file

Array = NDArray[np.float64]

LANDMARKS_7 = (36, 39, 42, 45, 33, 48, 54)
"""The seven landmarks among iBUG's 68: right eye's outer and inner corner, left eye's inner and outer corner, base of
the nose, right and left mouth corner. Right is the subject's."""

MESH_SUFFIXES = (".obj", ".ply")
LANDMARK_SUFFIXES = (".npy", ".txt", ".pp")

_SPACING = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
"""Millimetres per unit."""
_EYES_MM = (55.0, 140.0)
"""Where the distance of two outer eye corners may lie."""


@dataclass(frozen=True)
class TriangleMesh:
    """A predicted face.

    Attributes:
        verts_V3: In any frame and unit.
        faces_F3: Triangles, int64.
        landmarks_73: The seven landmarks, in its frame.
    """

    verts_V3: Array
    faces_F3: NDArray[np.int64]
    landmarks_73: Array

    @cached_property
    def _tree(self) -> igl.AABB:
        tree = igl.AABB()
        tree.init(self.verts_V3, self.faces_F3)
        return tree

    def closest(self, points_N3: Array) -> tuple[Array, NDArray[np.int64], Array]:
        """Distances (N,) to the surface, the nearest triangles (N,) and the nearest points (N, 3); exact."""
        squared_N, face_N, point_N3 = self._tree.squared_distance(
            self.verts_V3, self.faces_F3, np.ascontiguousarray(points_N3)
        )
        return np.sqrt(squared_N), np.asarray(face_N, np.int64), np.asarray(point_N3, np.float64)


@dataclass(frozen=True)
class Scan:
    """A reference scan, millimetres.

    Attributes:
        points_N3: Its vertices.
        landmarks_73: The seven landmarks.
    """

    points_N3: Array
    landmarks_73: Array

    def face_region(self, radius: float) -> Scan:
        """The points inside a ball around the face, as Feng et al. (2018) define it for their benchmark.

        Its centre lies 30 % of the way from the base to the bridge of the nose, its radius is `radius` times the mean
        of the distance of the outer eye corners and of the nose's length. The bridge is not among the seven landmarks:
        the middle of the inner eye corners stands for it.

        Args:
            radius: 1.2 in Feng et al.; 0 keeps all points.

        Raises:
            AssetError: No point is left.
        """
        if not radius:
            return self
        outer = np.linalg.norm(self.landmarks_73[0] - self.landmarks_73[3])
        bridge_3, base_3 = (self.landmarks_73[1] + self.landmarks_73[2]) / 2, self.landmarks_73[4]
        centre_3 = base_3 + 0.3 * (bridge_3 - base_3)
        limit = radius * (outer + np.linalg.norm(bridge_3 - base_3)) / 2
        inside_N = np.linalg.norm(self.points_N3 - centre_3, axis=1) <= limit
        if not inside_N.any():
            raise AssetError(
                "No vertex of a scan lies near its landmarks.", "The scan and its landmarks must share one frame."
            )
        return Scan(self.points_N3[inside_N], self.landmarks_73)


def read_scan(mesh: Path, landmarks: Path) -> Scan:
    """A scan in millimetres, whatever its unit: outer eye corners are 55 to 140 mm apart.

    Raises:
        AssetError: A file is missing or damaged, or the landmarks are not in millimetres, centimetres or metres.
    """
    verts_V3, _ = read_mesh(mesh)
    points_73 = read_landmarks(landmarks)
    outer = float(np.linalg.norm(points_73[0] - points_73[3]))
    scales = [scale for scale in _SPACING.values() if _EYES_MM[0] <= outer * scale <= _EYES_MM[1]]
    if not scales:
        raise AssetError(
            f"{landmarks} puts the outer eye corners {outer:.4g} apart, which is no face in millimetres or metres.",
            "Its first and fourth landmark must be the outer eye corners.",
        )
    return Scan(verts_V3 * scales[0], points_73 * scales[0])


def read_mesh(path: Path) -> tuple[Array, NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (F, 3) of an OBJ or PLY file; polygons are cut into triangles.

    Raises:
        AssetError: The file is missing or damaged.
    """
    try:
        verts_V3, faces_F3 = _read_obj(path) if path.suffix.lower() == ".obj" else _read_other(path)
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        raise AssetError(f"The mesh {path} could not be read ({error}).", "Copy or make it again.") from error
    outside = len(faces_F3) and (faces_F3.min() < 0 or faces_F3.max() >= len(verts_V3))
    if not len(verts_V3) or outside or not np.isfinite(verts_V3).all():
        raise AssetError(f"The mesh {path} has no usable vertices or triangles.", "Copy or make it again.")
    return verts_V3, faces_F3


def _read_other(path: Path) -> tuple[Array, NDArray[np.int64]]:
    path.open("rb").close()  # igl does not name what is missing
    verts_V3, faces_F3 = igl.read_triangle_mesh(str(path))
    return np.array(verts_V3, np.float64, order="C"), np.array(faces_F3, np.int64, order="C")


def _read_obj(path: Path) -> tuple[Array, NDArray[np.int64]]:
    verts: list[list[bytes]] = []
    faces: list[tuple[int, int, int]] = []
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b"v "):
                verts.append(line.split()[1:4])
            elif line.startswith(b"f "):
                corners = [int(corner.partition(b"/")[0]) for corner in line.split()[1:]]
                corners = [corner - 1 if corner > 0 else len(verts) + corner for corner in corners]
                faces += [(corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)]
    return np.array(verts, np.float64).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3)


def read_prediction(mesh: Path, landmarks: Path) -> TriangleMesh:
    """A predicted face and its landmarks.

    Raises:
        AssetError: A file is missing or damaged, or the mesh has no triangles.
    """
    verts_V3, faces_F3 = read_mesh(mesh)
    if not len(faces_F3):
        raise AssetError(f"The mesh {mesh} has no triangles.", "Distances are measured to a surface, not to points.")
    return TriangleMesh(verts_V3, faces_F3, read_landmarks(landmarks))


def read_landmarks(path: Path) -> Array:
    """Seven landmarks (7, 3) from an .npy file, a text file of seven rows, or MeshLab's picked points (.pp).

    Raises:
        AssetError: The file is missing, damaged, or holds no seven points.
    """
    try:
        if path.suffix.lower() == ".npy":
            points = read_npy(path)
        elif path.suffix.lower() == ".pp":
            picked = ElementTree.parse(path).getroot().iter("point")
            points = [[float(one.attrib[axis]) for axis in "xyz"] for one in picked if one.get("active", "1") != "0"]
        else:
            points = np.loadtxt(path, delimiter="," if "," in path.read_text(encoding="utf-8") else None)
        points_73 = np.asarray(points, np.float64)
    except AssetError:
        raise
    except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
        raise AssetError(f"The landmarks {path} could not be read ({error}).", "Copy or make them again.") from error
    if points_73.shape != (7, 3) or not np.isfinite(points_73).all():
        raise AssetError(
            f"{path} holds landmarks of shape {points_73.shape} instead of (7, 3).",
            "Needed are four eye corners from the subject's right to left, the nose's base, and the mouth corners.",
        )
    return points_73


def write_prediction(stem: Path, mesh: TriangleMesh) -> None:
    """Writes `stem.obj` and the landmarks as `stem.npy` and `stem.txt`.

    Raises:
        OutputError: They could not be written.
    """
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in mesh.verts_V3.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces_F3 + 1).tolist()]
    write_file(stem.with_name(f"{stem.name}.obj"), ("\n".join(lines) + "\n").encode())
    text = "".join(f"{x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in mesh.landmarks_73.tolist())
    write_file(stem.with_name(f"{stem.name}.txt"), text.encode())
    write_file(stem.with_name(f"{stem.name}.npy"), _npy_bytes(mesh.landmarks_73))


def _npy_bytes(array: NDArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
