"""What the real backend answers is what the library gives when it is called directly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deca.assets import assets_dir
from deca_blender.client import LaunchSettings, RequestFailed, Session
from deca_blender.protocol.messages import DescribeHead, Ping, ReconstructPhoto

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not (assets_dir() / "openhead/openhead.safetensors").exists(), reason="assets not built"),
]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    session = Session(LaunchSettings(python=sys.executable, device="cpu"))
    yield session
    session.close()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut (public domain) in a file whose name is not ASCII."""
    data, image = pytest.importorskip("skimage.data"), pytest.importorskip("PIL.Image")
    path = tmp_path_factory.mktemp("Fotos mit Leerzeichen") / "Eileen Çollins 写真.png"
    image.fromarray(data.astronaut()).save(path)
    return path


def test_head_is_the_librarys(session: Session) -> None:
    from deca.head import load_head

    head, reply = load_head(), session.request(DescribeHead(num_shape=12, num_expression=51), timeout=60)
    assert (reply.name, reply.hash, reply.parents) == (head.name, head.hash, head.parents)
    assert (reply.num_shape, reply.num_expression) == (300, 100)
    assert np.array_equal(reply.verts, head.template_V3)
    assert np.array_equal(reply.faces, head.faces_F3) and np.array_equal(reply.uv_faces, head.uv_faces_F3)
    assert np.array_equal(reply.uv, head.uv_T2)
    assert np.array_equal(reply.shape_dirs, head.shape_dirs_V3S[:, :, :12])
    assert np.array_equal(reply.expression_dirs, head.expression_dirs_V3E[:, :, :51])
    assert np.array_equal(reply.pose_dirs, head.pose_dirs_V3P)
    assert np.array_equal(reply.joint_regressor, head.joint_regressor_JV)
    assert np.array_equal(reply.skin_weights, head.skin_weights_VJ)
    assert np.array_equal(reply.part, head.parts_V)
    assert reply.mirror is not None and np.array_equal(reply.mirror, head.mirror_V)
    assert reply.arkit_names == head.arkit_names and len(reply.arkit_names) == 52
    assert reply.arkit_map is not None and np.array_equal(reply.arkit_map, head.arkit_map_K52)


def test_face_is_the_librarys(session: Session, photo: Path) -> None:
    from deca.reconstruct.pipeline import reconstruct_photo

    steps: list[float] = []
    reply = session.request(
        ReconstructPhoto(str(photo), texture_size=512, max_faces=1), lambda fraction, _: steps.append(fraction), 100
    )
    (face,) = reconstruct_photo(photo, texture_size=512, max_faces=1)
    (got,) = reply.faces
    assert steps == sorted(steps) and steps[0] == 0
    assert (got.name, got.photo, got.image_size) == (photo.stem, str(photo), (512, 512))
    assert (got.head, got.head_hash) == (face.head.name, face.head.hash)
    assert got.box == pytest.approx(face.box) and got.landmark_error == pytest.approx(face.landmark_error, rel=1e-3)
    for mine, theirs in (
        (got.shape, face.shape_S),
        (got.expression, face.expression_E),
        (got.pose, face.pose_53),
        (got.camera, face.camera_3),
        (got.crop, face.crop_33),
        (got.landmarks, face.landmarks_L2),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)
    assert got.texture is not None and face.texture_NN3 is not None
    assert np.abs(got.texture.astype(int) - face.texture_NN3).mean() < 0.5
    assert session.request(Ping(), timeout=5).device == "cpu"


def test_errors_of_the_library_arrive_with_their_fix(session: Session, photo: Path, tmp_path: Path) -> None:
    text = tmp_path / "no photo.jpg"
    text.write_text("no photo")
    for request, kind in (
        (ReconstructPhoto(str(tmp_path / "missing.jpg")), "PhotoError"),
        (ReconstructPhoto(str(text)), "PhotoError"),
        (ReconstructPhoto(str(photo), head="/no/such/head"), "AssetError"),
        (ReconstructPhoto(str(photo), texture_size=None, face=5), "NoFaceError"),
    ):
        with pytest.raises(RequestFailed) as caught:
            session.request(request, timeout=60)
        assert caught.value.kind == kind and caught.value.message and caught.value.hint
