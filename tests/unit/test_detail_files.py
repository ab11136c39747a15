"""Dense detail mesh, displacement and normal maps: closed forms, and the files read back by other readers."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from deca.head import load_head
from deca.head.polygons import as_polygons, as_triangles
from deca.reconstruct.dense_mesh import displaced_mesh
from deca.reconstruct.maps import displacement_exr, displacement_png, normal_png, tangent_normals
from deca.reconstruct.mesh import Mesh, obj_text, ply_bytes


def read_png(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    """Radius 0.1, of quads; longitude and latitude are its texture coordinates, with a seam and two poles."""
    rows, columns = 24, 48
    v, u = np.meshgrid(np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1), indexing="ij")
    uv_T2 = np.stack((u.ravel(), v.ravel()), -1)
    lon, lat = (uv_T2[:, 0] * 2 - 1) * np.pi, (uv_T2[:, 1] - 0.5) * np.pi
    points_T3 = 0.1 * np.stack((np.sin(lon) * np.cos(lat), np.sin(lat), np.cos(lon) * np.cos(lat)), -1)
    _, first, vertex_T = np.unique(np.round(points_T3, 9), axis=0, return_index=True, return_inverse=True)
    a = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    b, c, d = a + 1, a + columns + 2, a + columns + 1
    faces, vertex_T = np.stack((a, b, c, d), -1), vertex_T.reshape(-1)
    faces[:columns] = as_polygons(faces[:columns][:, [0, 2, 3]])
    faces[-columns:] = as_polygons(faces[-columns:, :3])
    corners = np.where(faces < 0, -1, vertex_T[faces])
    return Mesh(points_T3[first].astype(np.float32), corners, uv_T2.astype(np.float32), faces)


def test_dense_mesh_moves_along_the_normals(sphere: Mesh) -> None:
    normals = sphere.verts_V3 / 0.1
    dense = displaced_mesh(sphere, normals, np.full((64, 64), 0.002, np.float32))
    assert len(dense.polygons_P4) == 16 * len(sphere.polygons_P4)
    radius = np.linalg.norm(dense.verts_V3, axis=1)
    assert np.allclose(radius[: len(sphere.verts_V3)], 0.102, atol=1e-6)
    assert radius.min() > 0.1015 and radius.max() < 0.1020001  # chords of the coarse triangles lie inside
    assert np.array_equal(dense.uv_T2[: len(sphere.uv_T2)], sphere.uv_T2)


def test_dense_mesh_samples_the_map_where_its_texture_coordinates_say(sphere: Mesh) -> None:
    """Displacement 1 mm * v, and 1 mm more where u > 0.5: linear in v, a step in u."""
    size = 64
    v = 1 - (np.arange(size) + 0.5) / size
    u = (np.arange(size) + 0.5) / size
    plane = (1e-3 * v[:, None] + 1e-3 * (u > 0.5)).astype(np.float32)
    dense = displaced_mesh(sphere, sphere.verts_V3 / 0.1, plane, levels=0)
    moved = np.linalg.norm(dense.verts_V3, axis=1) - 0.1
    uv_of_vertex = np.zeros((len(moved), 2))
    uv_of_vertex[sphere.polygons_P4] = sphere.uv_T2[sphere.uv_polygons_P4]
    inner = (np.abs(uv_of_vertex[:, 0] - 0.5) > 0.1) & (np.abs(uv_of_vertex[:, 0] - 0.5) < 0.45)
    inner &= np.abs(uv_of_vertex[:, 1] - 0.5) < 0.45
    expected = 1e-3 * uv_of_vertex[:, 1] + 1e-3 * (uv_of_vertex[:, 0] > 0.5)
    assert inner.sum() > 300
    assert np.abs(moved - expected)[inner].max() < 1e-6


def test_dense_quads_are_the_surface_of_their_triangles(sphere: Mesh) -> None:
    triangles = (as_polygons(as_triangles(corners)) for corners in (sphere.polygons_P4, sphere.uv_polygons_P4))
    cut = Mesh(sphere.verts_V3, next(triangles), sphere.uv_T2, next(triangles))
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(64, 64)).astype(np.float32)
    noise[:, -1], noise[[0, -1]] = noise[:, 0], 0  # no step at the seam and the poles, where corners are averaged
    by_quads, by_triangles = (displaced_mesh(mesh, sphere.verts_V3 / 0.1, noise) for mesh in (sphere, cut))
    assert np.abs(by_quads.verts_V3 - by_triangles.verts_V3).max() < 1e-7
    faces = (np.sort(as_triangles(mesh.polygons_P4), axis=1) for mesh in (by_quads, by_triangles))
    assert set(map(tuple, next(faces).tolist())) == set(map(tuple, next(faces).tolist()))


def test_dense_mesh_has_no_cracks() -> None:
    """Every edge of OpenHead's skin that two faces shared is still shared by two, whatever the map says."""
    head = load_head()
    polygons_P4, uv_polygons_P4 = head.faces_of_four()
    mesh = Mesh(head.template_V3, polygons_P4, head.uv_T2, uv_polygons_P4)
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(256, 256)).astype(np.float32)
    dense = displaced_mesh(mesh, np.tile(np.array((0, 0, 1), np.float32), (head.num_verts, 1)), noise, levels=1)

    def open_edges(faces: np.ndarray) -> int:
        edges = np.sort(np.stack((faces, np.roll(faces, -1, 1)), -1), -1).reshape(-1, 2)
        return int((np.unique(edges, axis=0, return_counts=True)[1] == 1).sum())

    assert open_edges(as_triangles(dense.polygons_P4)) == 2 * open_edges(head.faces_F3)


def test_displacement_files_hold_metres(tmp_path: Path) -> None:
    metres = np.random.default_rng(0).uniform(-0.0099, 0.0099, (256, 256)).astype(np.float32)
    png = read_png(displacement_png(metres))
    assert png.dtype == np.uint16
    assert np.abs((png / 65535 - 0.5) * 0.02 - metres).max() < 2e-7
    path = tmp_path / "d.exr"
    path.write_bytes(displacement_exr(metres))
    with OpenEXR.File(str(path)) as file:
        assert np.array_equal(file.channels()["Y"].pixels, metres)


def test_tangent_normals_of_a_wavy_plane() -> None:
    """The plane lies askew in space; its normals in its own frame are those of the closed form."""
    size, amplitude = 128, 0.03
    u = np.tile((np.arange(size) + 0.5) / size, (size, 1))
    v = 1 - u.T
    slope_u = amplitude * 2 * np.pi * np.cos(2 * np.pi * u)
    local = np.stack((-slope_u, np.full_like(u, -0.4), np.ones_like(u)), -1)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    frame = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    frame[:, 2] *= np.sign(np.linalg.det(frame))  # columns: along u, along v, normal
    positions = u[..., None] * frame[:, 0] + v[..., None] * frame[:, 1]
    normals = np.broadcast_to(frame[:, 2], positions.shape)
    covered = np.ones((size, size), bool)
    covered[:, :5] = False
    found = tangent_normals(positions, normals, local @ frame.T, covered)
    assert np.abs(found - local)[covered].max() < 1e-6
    assert (found[~covered] == (0, 0, 1)).all()
    pixels = read_png(normal_png(found))[..., ::-1]
    assert np.abs(pixels / 65535 * 2 - 1 - found).max() < 2e-5


def test_ply_and_obj_hold_the_mesh(sphere: Mesh) -> None:
    data = ply_bytes(sphere)
    header, body = data.split(b"end_header\n", 1)
    count, faces = len(sphere.uv_T2), len(sphere.polygons_P4)
    assert f"element vertex {count}\n".encode() in header and f"element face {faces}\n".encode() in header
    vertices = np.frombuffer(body, "<f4", count * 5).reshape(-1, 5)
    at = count * 20
    for corners, uv_corners in zip(sphere.polygons_P4, sphere.uv_polygons_P4, strict=True):
        expected = np.concatenate([sphere.verts_V3[corners], sphere.uv_T2[uv_corners]], axis=1)[corners >= 0]
        assert body[at] == len(expected)
        assert np.array_equal(vertices[np.frombuffer(body, "<i4", len(expected), at + 1)], expected)
        at += 1 + 4 * len(expected)
    assert at == len(body)
    text, material = obj_text(sphere, "sphere", "skin.png")
    lines = text.splitlines()
    assert sum(line.startswith("v ") for line in lines) == len(sphere.verts_V3)
    assert sum(line.startswith("f ") for line in lines) == faces
    assert sum(len(line.split()) == 5 for line in lines if line.startswith("f ")) == faces - 2 * 48
    assert "map_Kd skin.png" in material
