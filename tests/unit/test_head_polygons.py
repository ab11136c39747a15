"""Faces of four in a head model: halves of them are the triangles; files without any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deca.assets import assets_dir
from deca.errors import AssetError
from deca.files import read_safetensors, safetensors_bytes
from deca.head import HeadModel, load_head
from deca.head.polygons import uv_polygons

FILE = "openhead/openhead.safetensors"
QUAD, TRIANGLE = [0, 1, 2, 3], [0, 3, 4, -1]
FACES = np.array([[3, 0, 2], [0, 1, 2], [0, 3, 4]])  # in another order, and turned
UV_FACES = np.array([[13, 10, 12], [10, 11, 12], [20, 23, 24]])  # a seam between quad and triangle


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def quads_of(head: HeadModel) -> np.ndarray:
    polygons_P4, _ = head.faces_of_four()
    return polygons_P4[polygons_P4[:, 3] >= 0]


def test_openhead_is_of_quads_and_its_triangles_are_their_halves(head: HeadModel) -> None:
    polygons_P4, uv_polygons_P4 = head.faces_of_four()
    assert len(quads_of(head)) > 0.9 * len(polygons_P4)
    left = {}
    for vertices, texture in zip(head.faces_F3.tolist(), head.uv_faces_F3.tolist(), strict=True):
        for k in range(3):
            corners = list(zip(vertices, texture, strict=True))
            left[tuple(corners[k:] + corners[:k])] = vertices
    for polygon in zip(polygons_P4.tolist(), uv_polygons_P4.tolist(), strict=True):
        a, b, c, d = zip(*polygon, strict=True)
        for half in [(a, b, c)] if d == (-1, -1) else [(a, b, c), (a, c, d)]:
            for k in range(3):
                del left[half[k:] + half[:k]]  # a KeyError where it is no triangle, or is part of two polygons
    assert not left


def test_mirrored_quads_are_quads(head: HeadModel) -> None:
    assert head.mirror_V is not None

    def cut(quads: np.ndarray) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
        return {(tuple(sorted(quad)), tuple(sorted(quad[::2]))) for quad in quads.tolist()}

    quads = quads_of(head)
    assert len(cut(quads)) == len(quads) and cut(quads) == cut(head.mirror_V[quads])


def test_a_file_of_version_1_has_triangles(head: HeadModel, tmp_path: Path) -> None:
    tensors, metadata = read_safetensors(assets_dir() / FILE, "head model", "")
    old = tmp_path / "old.safetensors"
    kept = {name: array for name, array in tensors.items() if name != "polygons"}
    old.write_bytes(safetensors_bytes(kept, metadata | {"version": "1"}))
    read = HeadModel.load(old)
    assert read.polygons_P4 is None and np.array_equal(read.template_V3, head.template_V3)
    faces = (read.faces_F3, read.uv_faces_F3)
    for polygons_P4, faces_F3 in zip(read.faces_of_four(), faces, strict=True):
        assert np.array_equal(polygons_P4[:, :3], faces_F3) and (polygons_P4[:, 3] == -1).all()
    old.write_bytes(safetensors_bytes(kept, metadata | {"version": "3"}))
    with pytest.raises(AssetError, match="format deca-head 1 or 2"):
        HeadModel.load(old)
    other_diagonal = np.roll(tensors["polygons"], 1, axis=1)
    old.write_bytes(safetensors_bytes(kept | {"polygons": other_diagonal}, metadata))
    with pytest.raises(AssetError, match="do not fit together"):
        HeadModel.load(old)


def test_texture_corners_are_those_of_the_triangles() -> None:
    found = uv_polygons(np.array([TRIANGLE, QUAD]), FACES, UV_FACES)
    assert found.tolist() == [[20, 23, 24, -1], [10, 11, 12, 13]]


@pytest.mark.parametrize(
    ("polygons", "why"),
    [
        ([QUAD], "2 triangles, not 3"),
        ([[1, 2, 3, 0], TRIANGLE], "not made of the triangles"),  # the other diagonal
        ([[0, 3, 2, 1], TRIANGLE], "not made of the triangles"),  # inside out
        ([QUAD, [0, 3, 5, -1]], "not made of the triangles"),
    ],
)
def test_polygons_that_are_not_the_triangles_are_refused(polygons: list[list[int]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        uv_polygons(np.array(polygons), FACES, UV_FACES)


def test_a_seam_along_a_diagonal_is_refused() -> None:
    cut = UV_FACES.copy()
    cut[0, 2] = 30
    with pytest.raises(ValueError, match="seam"):
        uv_polygons(np.array([QUAD, TRIANGLE]), FACES, cut)
