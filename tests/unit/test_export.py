"""What `deca reconstruct` writes, read back."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deca.appearance.texture import Texture
from deca.errors import OutputError
from deca.files import write_file
from deca.head import load_head
from deca.reconstruct.coarse import camera_on_crop
from deca.reconstruct.export import write_faces, write_person
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models
from deca.reconstruct.person import LeftOut, Person
from deca.reconstruct.pictures import contact_jpeg, overlay
from deca.reconstruct.results import refuse_results
from deca_blender.protocol.batch import Skipped

PHOTO = np.full((300, 400, 3), 90, np.uint8)


@pytest.fixture
def face() -> Face:
    rng = np.random.default_rng(0)
    crop = np.array([[0.9, 0, -70.0], [0, 0.9, -30.0], [0, 0, 1]])
    pose = np.zeros((5, 3), np.float32)
    pose[0, 1], pose[2, 0] = 0.2, 0.15
    return Face(
        photo=Path("Björk portrait.jpg"),
        index=0,
        head=load_head(),
        shape_S=rng.normal(size=100).astype(np.float32),
        expression_E=rng.normal(size=50).astype(np.float32),
        pose_53=pose,
        camera_3=camera_on_crop(900.0, np.array([190.0, 160.0]), crop),
        crop_33=crop,
        image_size=(400, 300),
        box=(100.0, 60.0, 280.0, 260.0),
        landmarks_L2=rng.uniform(0, 300, (478, 2)).astype(np.float32),
        landmark_error=0.0123,
        texture=Texture(*rng.integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)),
    )


def test_camera_on_crop_keeps_the_projection(face: Face) -> None:
    points = np.random.default_rng(1).normal(scale=0.1, size=(30, 3))
    on_photo = points @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    assert np.allclose(on_photo, 900.0 * points[:, :2] * (1, -1) + (190.0, 160.0), atol=1e-3)


def test_files(face: Face, tmp_path: Path) -> None:
    folder = tmp_path / "with space é"
    written = write_faces(folder, PHOTO, [face], Models(face.head))
    pictures = {"head_coarse.png", "overlay.png", "comparison.png"}
    assert {path.name for path in written} == {
        "face_0.json",
        "head.obj",
        "head.mtl",
        "head.png",
        "head_photographed.png",
    } | pictures
    assert {path.name for path in folder.iterdir()} == {path.name for path in written}
    codes = json.loads((folder / "face_0.json").read_text(encoding="utf-8"))
    assert np.allclose(codes["shape"], face.shape_S, atol=1e-6)
    assert np.allclose(codes["pose_axis_angle"], face.pose_53, atol=1e-6)
    assert codes["head_hash"] == face.head.hash and codes["photo"] == "Björk portrait.jpg"
    assert np.array_equal(np.asarray(Image.open(folder / "head.png")), face.texture.albedo_NN3)
    photographed = np.asarray(Image.open(folder / "head_photographed.png"))
    assert np.array_equal(photographed, face.texture.photographed_NN3)


def test_files_of_a_person(face: Face, tmp_path: Path) -> None:
    other = replace(face, photo=Path("b.jpg"), pose_53=-face.pose_53)
    given = [Path("b.jpg"), Path("nobody é.jpg"), face.photo]
    person = Person((face, other), (LeftOut(given[1], "No face."),))
    written = write_person(tmp_path / "p", person, given, lambda path: PHOTO, Models(face.head))
    names = {path.name for path in written}
    assert names == {path.name for path in (tmp_path / "p").iterdir()}
    assert names == {"person.json", "head.obj", "head.mtl", "head.png", "head_photographed.png"} | {
        *("face_0.json", "overlay_0.png", "comparison_0.png", "head_coarse.png"),
        *("face_1.json", "overlay_1.png", "comparison_1.png", "head_1_coarse.png"),
    }
    told = json.loads((tmp_path / "p" / "person.json").read_text(encoding="utf-8"))
    assert told["used"] == ["Björk portrait.jpg", "b.jpg"]
    assert told["left_out"] == [{"photo": "nobody é.jpg", "reason": "No face."}]
    codes = json.loads((tmp_path / "p" / "face_1.json").read_text(encoding="utf-8"))
    assert np.allclose(codes["pose_axis_angle"], -face.pose_53, atol=1e-6) and codes["photo"] == "b.jpg"
    with pytest.raises(Skipped):
        refuse_results(tmp_path / "p", given[0], given)
    for others in (given[:2], None):
        with pytest.raises(OutputError, match=r"results of b\.jpg, nobody é\.jpg"):
            refuse_results(tmp_path / "p", given[0], others)


def test_obj_holds_the_posed_mesh(face: Face, tmp_path: Path) -> None:
    write_faces(tmp_path, PHOTO, [face], Models(face.head))
    lines = (tmp_path / "head.obj").read_text().splitlines()
    verts = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    uv = np.array([line.split()[1:] for line in lines if line.startswith("vt ")], float)
    corners = [[corner.split("/") for corner in line.split()[1:]] for line in lines if line.startswith("f ")]
    assert np.abs(verts - face.vertices()).max() < 1e-6
    assert np.mean([len(polygon) == 4 for polygon in corners]) > 0.9
    triangles = [(p[0], p[k], p[k + 1]) for p in corners for k in range(1, len(p) - 1)]
    by_verts = {frozenset(triangle): k for k, triangle in enumerate(face.head.faces_F3.tolist())}
    assert len(by_verts) == len(triangles)
    for triangle in np.array(triangles, int) - 1:
        index = by_verts.pop(frozenset(triangle[:, 0].tolist()))
        order = [face.head.faces_F3[index].tolist().index(vertex) for vertex in triangle[:, 0]]
        assert (np.diff(order) % 3 == 1).all()
        assert np.abs(uv[triangle[:, 1]] - face.head.uv_T2[face.head.uv_faces_F3[index][order]]).max() < 1e-5
    assert "mtllib head.mtl" in lines


def test_overlay_changes_the_picture_only_at_the_head_and_the_landmarks(face: Face) -> None:
    picture = overlay(PHOTO, [face])
    height, width = picture.shape[0], picture.shape[1] // 2
    scale = 400 / 180  # the face box is 180 pixels wide
    assert (height, width) == (round(300 * scale), round(400 * scale))
    assert (picture[:, :width] == 90).all()
    head = (face.vertices() @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]) * scale
    x, y = np.round(head.mean(0)).astype(int)
    assert (picture[y, width + x] != 90).any()
    beside = np.round((head[:, 0].max() + 5, y)).astype(int)
    assert (picture[y, width + beside[0] : 2 * width : 97] == 90).any()


def test_unwritable_output_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="could not be written"):
        write_file(tmp_path / "file" / "x.json", b"")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError):
        write_file(tmp_path / "taken", b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_the_contact_sheet_shows_photo_head_over_it_and_head(face: Face) -> None:
    """The head covers the photo where its vertices are, and stands upright amid its own cell whatever its pose."""
    tilted_53 = face.pose_53.copy()
    tilted_53[0] = (0, 0, 0.6)
    face = replace(face, texture=None, pose_53=tilted_53)
    jpeg = contact_jpeg(PHOTO, face, 160)
    cells = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int).reshape(160, 3, 160, 3).transpose(1, 0, 2, 3)
    assert len(jpeg) < 20000 and abs(cells[0] - 90).max() < 4  # the crop lies inside of the photo
    on_crop_V2 = face.vertices() @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    on_crop_V2 = (on_crop_V2 @ face.crop_33[:2, :2].T + face.crop_33[:2, 2]) * 160 / 224
    is_drawn_HW = abs(cells[1] - 90).max(-1) > 25
    low, high = np.argwhere(is_drawn_HW).min(0)[::-1], np.argwhere(is_drawn_HW).max(0)[::-1]
    assert np.allclose(low, on_crop_V2.min(0).clip(0), atol=3) and np.allclose(
        high, on_crop_V2.max(0).clip(max=159), atol=3
    )
    head = np.argwhere(abs(cells[2] - 48).max(-1) > 25)
    extent = head.max(0) - head.min(0)
    assert 140 < extent[0] < 156 and extent[0] > extent[1] and abs((head.max(0) + head.min(0)) / 2 - 80).max() < 4
