"""What the real backend answers is what the library gives when it is called directly."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deca.assets import assets_dir
from deca_blender.client import LaunchSettings, RequestFailed, Session
from deca_blender.protocol.messages import (
    ConvertHead,
    DecodeWrinkles,
    DescribeHead,
    DescribeWeights,
    Ping,
    ReconstructPerson,
    ReconstructPhoto,
    ReconstructReply,
    TrackPerformance,
)

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
    for got, expected in zip((reply.polygons, reply.uv_polygons), head.faces_of_four(), strict=True):
        assert np.array_equal(got, expected)
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
    assert face.texture is not None
    for sent, made in (
        (got.albedo, face.texture.albedo_NN3),
        (got.photographed, face.texture.photographed_NN3),
    ):
        assert sent is not None and np.abs(sent.astype(int) - made).mean() < 0.5
    assert got.notices == face.texture.notices and "small" in [notice.code for notice in got.notices]
    assert session.request(Ping(), timeout=5).device == "cpu"


def test_picture_is_the_upright_photo_without_metadata(session: Session, tmp_path: Path) -> None:
    """Of a photo that lies on its side and tells where it was taken, and only if asked for; as large as asked for."""
    import io

    data, image = pytest.importorskip("skimage.data"), pytest.importorskip("PIL.Image")
    upright = data.astronaut()[:480]
    exif = image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8825)[29] = "2020:02:02"
    photo = tmp_path / "a\\b.webp"
    image.fromarray(np.rot90(upright)).save(photo, exif=exif, lossless=True)
    for size, expected in ((0, None), (4096, (512, 480)), (256, (256, 240))):
        request = ReconstructPhoto(str(photo), texture_size=0, max_faces=1, picture_size=size)
        reply = session.request(request, timeout=60)
        assert reply.faces[0].image_size == (512, 480)
        if expected is None:
            assert reply.picture is None
            continue
        assert reply.picture is not None and b"Maker" not in reply.picture.tobytes()
        with image.open(io.BytesIO(reply.picture.tobytes())) as picture:
            assert (picture.format, picture.size) == ("JPEG", expected) and not picture.getexif()
            shown, same = (
                np.asarray(picture),
                np.asarray(image.fromarray(upright).resize(expected, image.Resampling.BOX)),
            )
            assert np.corrcoef(shown.ravel(), same.ravel())[0, 1] > 0.99


def test_a_head_whose_picture_cannot_be_made_is_there_and_says_so(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deca.service.device import Device
    from deca.service.handlers import make_handlers
    from deca.vision.photo import Photo

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Photo, "jpeg", fail)
    request = ReconstructPhoto(str(photo), texture_size=0, max_faces=1, picture_size=64)
    reply = make_handlers(Device("cpu"))[ReconstructPhoto](request, lambda fraction, text: None)
    assert isinstance(reply, ReconstructReply) and reply.faces and reply.picture is None
    assert "no photo behind the head" in reply.notices[-1]


def test_one_person_on_two_photos_and_what_is_left_out(session: Session, photo: Path, tmp_path: Path) -> None:
    """The astronaut, and she mirrored, farther away and in other light; a wall; a text."""
    image = pytest.importorskip("PIL.Image")
    with image.open(photo) as picture:
        pixels = np.asarray(picture)
    again, wall, text = (tmp_path / name for name in ("wieder é.png", "wall.png", "no photo.jpg"))
    darker = np.pad(pixels[:, ::-1], ((60, 60), (60, 60), (0, 0)), mode="edge") * np.array((0.8, 0.7, 0.6))
    image.fromarray(darker.astype(np.uint8)).save(again)
    image.fromarray(np.full((90, 90, 3), 127, np.uint8)).save(wall)
    text.write_text("no photo")
    paths = tuple(map(str, (again, wall, photo, text)))
    reply = session.request(ReconstructPerson(paths, texture_size=512, picture_size=64), timeout=110)
    assert sorted(face.photo for face in reply.faces) == sorted((str(photo), str(again)))
    assert [left.photo for left in reply.left_out] == [str(wall), str(text)]
    assert "No face" in reply.left_out[0].reason and "not a picture" in reply.left_out[1].reason
    one, other = reply.faces
    assert np.array_equal(one.shape, other.shape) and not np.allclose(one.pose, other.pose, atol=1e-3)
    assert one.albedo is not None and one.albedo.shape == (512, 512, 3) and other.albedo is other.photographed is None
    assert one.relief is not None and np.array_equal(one.relief, other.relief)  # pyright: ignore[reportArgumentType]
    assert all(face.landmark_error < 0.02 for face in reply.faces)
    assert all(picture.jpeg is not None for picture in reply.pictures) and len(reply.pictures) == 2
    with pytest.raises(RequestFailed, match="No photo shows a face"):
        session.request(ReconstructPerson((str(wall),)), timeout=60)


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not have")
def test_a_path_that_is_not_utf8_crosses_as_it_is(session: Session, photo: Path) -> None:
    odd = photo.with_name("caf\udce9...jpg")
    odd.write_bytes(photo.read_bytes())
    reply = session.request(ReconstructPhoto(str(odd), texture_size=0, max_faces=1, coarse="fit"), timeout=100)
    assert (reply.faces[0].photo, reply.faces[0].name) == (str(odd), "caf%E9")
    with pytest.raises(RequestFailed) as caught:
        session.request(ReconstructPhoto(str(odd.with_name("none\udce9.jpg"))), timeout=60)
    assert caught.value.kind == "PhotoError"


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


def test_flames_files_are_converted_and_described(session: Session, tmp_path: Path) -> None:
    from tests.flame_files import make_flame_files

    files = make_flame_files(tmp_path / "FLAME é")
    with pytest.raises(RequestFailed) as caught:
        session.request(DescribeHead(str(files.model)), timeout=60)
    assert "Convert" in caught.value.hint
    converted = session.request(ConvertHead(str(files.model.parent), str(tmp_path / "out")), timeout=60).head
    assert Path(converted).parent == tmp_path / "out"
    described = session.request(DescribeHead(converted, num_shape=0, num_expression=0), timeout=60)
    assert described.name == "FLAME 2020" and described.shape_dirs.shape == (5023, 3, 0)
    with pytest.raises(RequestFailed, match="lacks"):
        session.request(ConvertHead(str(tmp_path / "out")), timeout=60)


def test_wrinkles_are_the_librarys(session: Session, photo: Path, tmp_path: Path) -> None:
    """A photo with random weights: its detail code, and the map of another expression, exactly as the library says."""
    import torch

    from deca.head import load_head
    from deca.networks import Card, random_checkpoint, save_checkpoint
    from deca.reconstruct.models import load_models
    from deca.reconstruct.pipeline import reconstruct
    from deca.vision.photo import read_photo

    weights = tmp_path / "weights é.safetensors"
    save_checkpoint(random_checkpoint(0, Card.of(load_head(), backbone="mobilenet_v3_large")), weights)
    described = session.request(DescribeWeights(str(weights)), timeout=60)
    assert (described.head, described.head_hash) == (load_head().name, load_head().hash)
    assert (described.num_expression, described.num_detail) == (50, 128)

    request = ReconstructPhoto(str(photo), texture_size=0, max_faces=1, weights=str(weights), coarse="fit")
    (got,) = session.request(request, timeout=100).faces
    models = load_models("openhead", weights)
    (face,) = reconstruct(read_photo(photo), path=photo, models=models, coarse="fit", texture_size=None, max_faces=1)
    assert got.detail is not None and face.detail_D is not None and got.weights_hash == described.hash
    np.testing.assert_allclose(got.detail, face.detail_D, atol=1e-3)

    expression, jaw = np.linspace(-1, 1, 50, dtype=np.float32), np.array((0.2, 0, 0), np.float32)
    wrinkles = DecodeWrinkles(str(weights), described.hash, got.detail, expression, jaw)
    reply = session.request(wrinkles, timeout=20).displacement
    codes = (torch.from_numpy(code)[None] for code in (got.detail, expression, jaw))
    expected = models.displacement(*codes)[0, 0].numpy()
    assert reply.shape == (256, 256) and np.abs(expected).max() > 1e-4
    assert np.abs(reply - expected).max() < 1e-8

    for changes, kind in (
        ({"weights_hash": "0" * 16}, "AssetError"),
        ({"weights": ""}, "AssetError"),
        ({"weights": str(tmp_path / "none.safetensors")}, "AssetError"),
        ({"expression": np.zeros(7, np.float32)}, "AssetError"),
        ({"detail": np.zeros(5, np.float32)}, "AssetError"),
    ):
        with pytest.raises(RequestFailed) as failure:
            session.request(replace(wrinkles, **changes), timeout=20)
        assert failure.value.kind == kind and failure.value.hint


def test_performance_is_the_librarys(session: Session, photo: Path, tmp_path: Path) -> None:
    from deca.head import load_head
    from deca.reconstruct.performance import track_performance

    image = pytest.importorskip("PIL.Image")
    for number in range(2):
        image.open(photo).rotate(3 * number).resize((256, 256)).save(tmp_path / f"é_{number}.png")
    shape = np.full(100, 0.1, np.float32)
    steps: list[float] = []
    request = TrackPerformance(str(tmp_path), shape, rate=12.0)
    reply = session.request(request, lambda fraction, _: steps.append(fraction), timeout=100)
    expected = track_performance(tmp_path, load_head(), shape, rate=12.0)
    assert steps == sorted(steps) and len(steps) >= 3
    assert (reply.rate, reply.has_audio, reply.seen.tolist()) == (12.0, False, [1, 1])
    np.testing.assert_allclose(reply.times, [0, 1 / 12])
    np.testing.assert_allclose(reply.expression, expected.expression_FE, atol=1e-4)
    np.testing.assert_allclose(reply.pose, expected.pose_F53, atol=1e-4)
    with pytest.raises(RequestFailed, match="could not be read"):
        session.request(TrackPerformance(str(tmp_path / "none.mp4"), shape), timeout=60)
