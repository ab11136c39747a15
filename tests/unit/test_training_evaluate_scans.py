"""Scan-to-mesh errors against closed forms and against brute force, on scans whose error is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deca.errors import AssetError
from deca.head import load_head
from deca_training.evaluate.alignment import Similarity, align, fit_similarity, refine, scan_to_mesh
from deca_training.evaluate.scan_benchmark import distances, neutral_face
from deca_training.evaluate.scans import (
    Scan,
    TriangleMesh,
    read_landmarks,
    read_mesh,
    read_prediction,
    read_scan,
    write_prediction,
)

NO_LANDMARKS = np.zeros((7, 3))


@pytest.fixture(scope="module")
def face() -> TriangleMesh:
    return neutral_face(load_head("openhead"), np.zeros(1, np.float32))


def random_similarity(rng: np.random.Generator) -> Similarity:
    rot = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rot *= np.sign(np.linalg.det(rot))
    return Similarity(float(np.exp(rng.normal())), rot, rng.normal(0, 100, 3))


def moved(mesh: TriangleMesh, by: Similarity) -> TriangleMesh:
    return TriangleMesh(by(mesh.verts_V3), mesh.faces_F3, by(mesh.landmarks_73))


def on_surface(mesh: TriangleMesh, rng: np.random.Generator, count: int) -> tuple[NDArray, NDArray]:
    """Points well inside random large triangles of the face's front, and the triangles' normals."""
    corners = mesh.verts_V3[mesh.faces_F3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normals, axis=1)
    front = np.flatnonzero((corners[..., 2].mean(1) > 40) & (normals[:, 2] > 0.3 * area) & (area > 2))
    chosen = rng.choice(front, count)
    bary = rng.dirichlet((8, 8, 8), count)
    return (corners[chosen] * bary[..., None]).sum(1), normals[chosen] / area[chosen, None]


def brute_force(point: NDArray, triangle: NDArray) -> float:
    """Distance of a point to a triangle: the best of its plane (inside), its edges and its corners."""
    a, b, c = triangle
    best = min(np.linalg.norm(point - corner) for corner in triangle)
    for p, q in ((a, b), (b, c), (c, a)):
        t = np.dot(point - p, q - p) / max(np.dot(q - p, q - p), 1e-300)
        if 0 < t < 1:
            best = min(best, np.linalg.norm(point - p - t * (q - p)))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal)
    if length > 1e-12:
        normal = normal / length
        weights = [np.dot(np.cross(q - p, point - p), normal) for p, q in ((a, b), (b, c), (c, a))]
        if min(weights) >= 0:
            best = min(best, abs(np.dot(point - a, normal)))
    return float(best)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_distances_are_those_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    verts, faces = rng.normal(size=(12, 3)), rng.integers(0, 12, (15, 3))
    mesh = TriangleMesh(verts, faces, NO_LANDMARKS)
    points = rng.normal(0, 1.5, (20, 3))
    expected = [min(brute_force(point, verts[face]) for face in faces) for point in points]
    np.testing.assert_allclose(mesh.closest(points)[0], expected, atol=1e-9)
    by = random_similarity(rng)
    np.testing.assert_allclose(scan_to_mesh(mesh, by(points), by), by.scale * np.array(expected), atol=1e-6)


def test_distance_to_a_plane_is_the_height() -> None:
    square = np.array([[-10, -10, 0], [10, -10, 0], [10, 10, 0], [-10, 10, 0]], float)
    mesh = TriangleMesh(square, np.array([[0, 1, 2], [0, 2, 3]]), NO_LANDMARKS)
    points = np.random.default_rng(0).uniform(-10, 10, (100, 3))
    np.testing.assert_allclose(mesh.closest(points)[0], np.abs(points[:, 2]), atol=1e-12)


def sphere(rows: int, columns: int) -> tuple[NDArray, NDArray]:
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij")
    verts = np.stack((np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), -1).reshape(-1, 3)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    quads = np.stack((corner, corner + columns, corner + columns + 1, corner + 1), 1)
    return verts, np.concatenate((quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]))


def test_a_larger_sphere_is_found_by_scale_and_known_without() -> None:
    verts, faces = sphere(181, 361)
    rng = np.random.default_rng(1)
    points = rng.normal(size=(3000, 3))
    points *= 105 / np.linalg.norm(points, axis=1, keepdims=True)
    marks = rng.normal(size=(7, 3))
    mesh = TriangleMesh(100 * verts, faces, 100 * marks)
    kept = scan_to_mesh(mesh, points, refine(mesh, points, Similarity(1.0, np.eye(3), np.full(3, 4.0)), False))
    assert kept.mean() == pytest.approx(5.0, abs=0.02)  # facets of one degree lie up to 0.015 inside the sphere
    scaled = distances(mesh, Scan(points, 100 * marks))
    assert scaled.max() < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_a_moved_face_has_no_error(face: TriangleMesh, seed: int) -> None:
    """Landmarks off by millimetres, scale, rotation and shift: the refinement finds the scan's place again."""
    rng = np.random.default_rng(seed)
    points, _ = on_surface(face, rng, 3000)
    scan = Scan(points, face.landmarks_73 + rng.normal(0, 2.5, (7, 3)))
    prediction = moved(face, random_similarity(rng))
    assert distances(prediction, scan).max() < 1e-3


@pytest.mark.parametrize("field", [0.05, 0.15, 0.3])
def test_known_displacements_are_recovered(face: TriangleMesh, field: float) -> None:
    """Pairs of scan points on both sides of the surface pull the mesh nowhere: their heights are the errors."""
    rng = np.random.default_rng(7)
    points, normals = on_surface(face, rng, 2000)
    heights = field * (1 + 0.5 * np.sin(points[:, :1] / 9) * np.cos(points[:, 1:2] / 7))
    ends = np.concatenate((points + heights * normals, points - heights * normals))
    known = np.tile(heights[:, 0], 2)
    # where the surface folds another triangle may be nearer than the point's own; keep to where none is
    own = np.abs(face.closest(ends)[0] - known).reshape(2, -1).max(0) < 1e-9
    assert own.mean() > 0.6
    kept = np.tile(own, 2)
    scan = Scan(ends[kept], face.landmarks_73 + rng.normal(0, 1.0, (7, 3)))
    found = distances(moved(face, random_similarity(rng)), scan)
    np.testing.assert_allclose(found, known[kept], atol=1e-3)


def test_half_a_scan_is_enough(face: TriangleMesh) -> None:
    rng = np.random.default_rng(3)
    points, _ = on_surface(face, rng, 4000)
    scan = Scan(points[points[:, 0] > 5], face.landmarks_73 + rng.normal(0, 1, (7, 3)))
    assert distances(moved(face, random_similarity(rng)), scan).max() < 1e-3


def test_size_counts_without_scale(face: TriangleMesh) -> None:
    points, _ = on_surface(face, np.random.default_rng(4), 2000)
    small = moved(face, Similarity(0.9, np.eye(3), np.zeros(3)))
    scan = Scan(points, face.landmarks_73)
    assert distances(small, scan).max() < 1e-3
    assert align(small, scan, with_scale=False).scale == 1.0
    assert distances(small, scan, with_scale=False).mean() > 0.5


def test_refinement_never_makes_it_worse(face: TriangleMesh) -> None:
    rng = np.random.default_rng(5)
    points, _ = on_surface(face, rng, 1000)
    points += rng.normal(0, 1.5, points.shape)
    start = fit_similarity(face.landmarks_73, face.landmarks_73 + rng.normal(0, 3, (7, 3)))
    before, after = (scan_to_mesh(face, points, p) for p in (start, refine(face, points, start)))
    assert (after**2).sum() < (before**2).sum()
    # no similarity nearby is better: the cost is stationary
    end = refine(face, points, start)
    for _ in range(10):
        nudge = Similarity(end.scale * (1 + rng.normal(0, 1e-3)), end.rot_33, end.shift_3 + rng.normal(0, 0.05, 3))
        assert (scan_to_mesh(face, points, nudge) ** 2).sum() > (after**2).sum()


def test_similarity_is_recovered_and_mirrors_are_not() -> None:
    rng = np.random.default_rng(6)
    points, by = rng.normal(size=(7, 3)), random_similarity(rng)
    found = fit_similarity(points, by(points))
    np.testing.assert_allclose(found(points), by(points), atol=1e-9)
    np.testing.assert_allclose(found.inverse(by(points)), points, atol=1e-9)
    assert np.linalg.det(fit_similarity(points, points * (-1, 1, 1)).rot_33) == pytest.approx(1)
    with pytest.raises(AssetError, match="one point"):
        fit_similarity(np.ones((7, 3)), points)


def test_region_is_a_ball_around_the_face() -> None:
    marks = np.array(
        [[-50, 0, 0], [-20, 0, 0], [20, 0, 0], [50, 0, 0], [0, -40, 0], [-25, -70, 0], [25, -70, 0]], float
    )
    points = np.random.default_rng(0).uniform(-150, 150, (5000, 3))
    region = Scan(points, marks).face_region(1.2)
    inside = np.linalg.norm(points - (0, -28, 0), axis=1) <= 1.2 * (100 + 40) / 2
    np.testing.assert_array_equal(region.points_N3, points[inside])
    assert len(Scan(points, marks).face_region(0).points_N3) == 5000
    with pytest.raises(AssetError, match="one frame"):
        Scan(points + 9999, marks).face_region(1.2)


def test_neutral_face_is_the_head_without_its_mouth() -> None:
    head = load_head("openhead")
    shape = np.random.default_rng(0).normal(size=20).astype(np.float32)
    mesh = neutral_face(head, shape)
    expected = 1000 * (head.template_V3 + head.shape_dirs_V3S[..., :20] @ shape)
    whole = expected[head.parts_V <= 2]
    np.testing.assert_allclose(mesh.verts_V3, whole, atol=1e-3)
    assert mesh.closest(mesh.landmarks_73)[0].max() < 0.2
    right, left = mesh.landmarks_73[0], mesh.landmarks_73[3]
    assert right[0] < -30 and left[0] > 30  # the subject's left is +x
    assert mesh.landmarks_73[4, 1] < right[1] and mesh.landmarks_73[5, 1] < mesh.landmarks_73[4, 1]


def test_files_are_read_as_they_were_written(tmp_path, face: TriangleMesh) -> None:
    write_prediction(tmp_path / "a/b.c", face)
    for suffix in (".npy", ".txt"):
        again = read_prediction(tmp_path / "a/b.c.obj", tmp_path / f"a/b.c{suffix}")
        np.testing.assert_allclose(again.verts_V3, face.verts_V3, atol=1e-5)
        np.testing.assert_array_equal(again.faces_F3, face.faces_F3)
        np.testing.assert_allclose(again.landmarks_73, face.landmarks_73, atol=1e-5)


def test_other_kinds_of_files(tmp_path) -> None:
    obj = tmp_path / "quad.obj"
    obj.write_text("# c\nv 0 0 0 1 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvn 0 0 1\nf 1/1/1 2//1 3 -1/1\n")
    verts, faces = read_mesh(obj)
    assert verts.shape == (4, 3)
    assert faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    ply = tmp_path / "one.ply"
    ply.write_text("ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
                   "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
                   "0 0 0\n2 0 0\n0 3 0\n3 0 1 2\n")  # fmt: skip
    verts, faces = read_mesh(ply)
    assert verts.tolist() == [[0, 0, 0], [2, 0, 0], [0, 3, 0]] and faces.tolist() == [[0, 1, 2]]
    points = np.arange(21.0).reshape(7, 3) * 10
    points[3] += 30
    rows = "".join(f'<point x="{x}" y="{y}" z="{z}" active="1" name="{k}"/>' for k, (x, y, z) in enumerate(points))
    (tmp_path / "a.pp").write_text(
        f'<!DOCTYPE PickedPoints><PickedPoints>{rows}<point x="0" y="0" z="0" active="0"/></PickedPoints>'
    )
    np.testing.assert_array_equal(read_landmarks(tmp_path / "a.pp"), points)
    np.savetxt(tmp_path / "a.txt", points, delimiter=",")
    np.testing.assert_allclose(read_landmarks(tmp_path / "a.txt"), points)


@pytest.mark.parametrize("unit", [1.0, 0.1, 0.001])
def test_scans_come_in_any_unit(tmp_path, unit: float, face: TriangleMesh) -> None:
    write_prediction(tmp_path / "s", TriangleMesh(face.verts_V3 * unit, face.faces_F3, face.landmarks_73 * unit))
    np.save(tmp_path / "s.npy", face.landmarks_73 * unit)
    scan = read_scan(tmp_path / "s.obj", tmp_path / "s.npy")
    np.testing.assert_allclose(scan.landmarks_73, face.landmarks_73, rtol=1e-9)
    np.testing.assert_allclose(scan.points_N3, face.verts_V3, atol=0.02)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.obj", "v 0 0\n", "could not be read"),
        ("x.obj", "v 0 0 0\nf 1 2 3\n", "no usable"),
        ("x.obj", "", "no usable"),
        ("x.obj", "v nan 0 0\n", "no usable"),
        ("x.ply", "not a ply", "no usable"),
    ],
)
def test_bad_meshes_are_named(tmp_path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(AssetError, match=message):
        read_mesh(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.pp", "<a", "could not be read"),
        ("x.pp", "<a><point x='1'/></a>", "could not be read"),
        ("x.txt", "1 2 3\n", "instead of"),
        ("x.txt", "a b c\n", "could not be read"),
        ("x.npy", "no", "not a file"),
    ],
)
def test_bad_landmarks_are_named(tmp_path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(AssetError, match=message):
        read_landmarks(tmp_path / name)


def test_missing_files_and_absurd_units_are_named(tmp_path, face: TriangleMesh) -> None:
    with pytest.raises(AssetError, match="could not be read"):
        read_mesh(tmp_path / "no.ply")
    write_prediction(tmp_path / "s", TriangleMesh(face.verts_V3 * 7, face.faces_F3, face.landmarks_73 * 7))
    with pytest.raises(AssetError, match="no face in millimetres"):
        read_scan(tmp_path / "s.obj", tmp_path / "s.npy")
