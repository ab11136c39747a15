"""Decoding and rendering faces: on OpenHead with random networks, and on files of the official formats made here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from deca.appearance.albedo import AlbedoModel
from deca.cli import main
from deca.errors import AssetError, OptionError
from deca.head import HeadModel, load_head
from deca.head.flame import convert_flame
from deca.head.layer import HeadLayer
from deca.networks import Card, Networks, load_checkpoint, random_checkpoint, save_checkpoint
from deca.reconstruct.coarse import camera_on_crop, interior_error
from deca.reconstruct.face import Face
from deca.reconstruct.models import Models, load_models
from deca.reconstruct.pictures import comparison, on_photo
from deca.reconstruct.pipeline import reconstruct
from deca.reconstruct.transfer import transfer_expression, transfer_wrinkles
from deca.vision.crop import warp_crop
from deca.vision.landmarks import IBUG_68
from deca.vision.photo import read_photo
from tests.flame_files import make_albedo, make_flame_files

SMALL = "mobilenet_v3_large"


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def models(head: HeadModel) -> Models:
    rng = np.random.default_rng(0)
    mean = np.full((64, 64, 3), (0.7, 0.5, 0.4), np.float32)
    basis = 0.05 * rng.normal(size=(50, 1, 1, 3)).astype(np.float32) * np.ones((1, 64, 64, 1), np.float32)
    networks = Networks.random(seed=1, card=Card.of(head, backbone=SMALL))
    return Models(head, networks, AlbedoModel(mean, basis, name="plain", head_hash=head.hash))


def make_face(head: HeadModel, seed: int) -> Face:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    crop = np.array([[1.1, 0, -70.0], [0, 1.1, -30.0], [0, 0, 1]])
    pose = np.zeros((5, 3), np.float32)
    pose[0, 1], pose[2, 0] = 0.2, 0.1 * seed
    light = np.zeros((9, 3), np.float32)
    light[0] = 3
    return Face(
        photo=Path(f"{seed}.jpg"),
        index=0,
        head=head,
        shape_S=0.5 * normal(100),
        expression_E=0.5 * normal(50),
        pose_53=pose,
        camera_3=camera_on_crop(800.0, np.array([170.0, 130.0]), crop),
        crop_33=crop,
        image_size=(400, 300),
        box=(100.0, 60.0, 280.0, 260.0),
        landmarks_L2=rng.uniform(50, 250, (478, 2)).astype(np.float32),
        landmark_error=0.01,
        albedo_A=normal(50),
        light_93=light,
        detail_D=normal(128),
    )


def test_decoded_parts_agree_with_their_sources(models: Models) -> None:
    face = make_face(models.head, 1)
    decoded = models.decode_face(face)
    assert np.abs(decoded.verts_BV3[0].numpy() - face.vertices()).max() < 1e-7
    on_photo_V2 = face.vertices() @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    on_crop_V2 = on_photo_V2 @ face.crop_33[:2, :2].T + face.crop_33[:2, 2]
    assert np.abs((decoded.picture_BV3[0, :, :2].numpy() * 0.5 + 0.5) * 224 - on_crop_V2).max() < 1e-2
    layer = HeadLayer(models.head)
    pose = torch.from_numpy(face.pose_53)[None]
    assert decoded.landmarks_BL3 is not None
    assert torch.allclose(decoded.landmarks_BL3, layer.landmarks_68(decoded.verts_BV3, pose), atol=1e-7)

    assert models.networks is not None and decoded.displacement_B1HW is not None
    codes = (face.detail_D, face.expression_E, face.pose_53[2])
    plain = models.networks.displacement(*(torch.from_numpy(np.asarray(code))[None] for code in codes))[0, 0].numpy()
    mask = cv2.resize(models.head.masks["face_no_eyes"], (256, 256), interpolation=cv2.INTER_AREA) / 255
    assert np.abs(decoded.displacement_B1HW[0, 0].numpy() - plain * mask).max() < 1e-8
    assert np.abs(plain).max() > 1e-4


def test_wrinkles_follow_the_expression_and_the_code(models: Models) -> None:
    """Each transfer decodes the map anew: from the codes it leads to, and from nothing else."""
    a, b = make_face(models.head, 1), make_face(models.head, 2)

    def wrinkles(face: Face) -> torch.Tensor:
        displacement = models.decode_face(face).displacement_B1HW
        assert displacement is not None
        return displacement

    with_expression, with_wrinkles = transfer_expression(a, b), transfer_wrinkles(a, b)
    for result in (with_expression, with_wrinkles):
        assert (wrinkles(result) - wrinkles(b)).abs().max() > 1e-5
    everything = transfer_expression(a, with_wrinkles)
    assert torch.equal(wrinkles(everything), wrinkles(a))
    assert torch.equal(wrinkles(replace(b, shape_S=a.shape_S)), wrinkles(b))


def test_flat_map_renders_like_the_coarse_head(models: Models) -> None:
    decoded = models.decode_face(make_face(models.head, 1))
    pictures = models.render(decoded)
    assert pictures.coarse is not None and pictures.detail is not None and pictures.detail_shape is not None
    assert (pictures.detail_shape - pictures.coarse_shape).abs().max() > 0.02  # wrinkles are seen
    flat = models.decode_face(replace(make_face(models.head, 1), detail_D=None))
    plain = models.render(flat)
    assert plain.detail is None and plain.detail_shape is None
    assert plain.coarse is not None and torch.equal(plain.coarse, pictures.coarse)
    # grey light of band 0 alone: shading 3 * 0.2820948 everywhere
    covered = pictures.alpha_B1HW[0, 0] > 0
    assert decoded.albedo_B3HW is not None
    assert torch.allclose(
        plain.coarse[0][:, covered].mean(1), decoded.albedo_B3HW[0, :, 0, 0] * 3 * 0.2820948, rtol=1e-4
    )


def test_renderings_lie_where_the_head_is_on_the_photo(models: Models) -> None:
    face = make_face(models.head, 1)
    photo = np.full((300, 400, 3), 7, np.uint8)
    decoded = models.decode_face(face)
    on_photo_V2 = face.vertices() @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    for picture in on_photo(photo, face, decoded, models).values():
        rows, columns = np.nonzero((picture != 7).any(-1))
        low, high = on_photo_V2.min(0).clip(0), np.minimum(on_photo_V2.max(0), (400, 300))
        assert np.abs(np.array((columns.min(), rows.min())) - low).max() < 2
        assert np.abs(np.array((columns.max(), rows.max())) + 1 - high).max() < 2
    sheet = comparison(photo, [face, face], [decoded, decoded], models)
    assert sheet.shape == (640, 1600, 3)


def test_comparison_shows_the_crop_of_the_photo(models: Models) -> None:
    """A photo whose colours are its coordinates; the crop reaches beyond it."""
    y, x = np.mgrid[:300, :400]
    photo = np.stack((x // 2, y // 2, np.full_like(x, 200)), -1).astype(np.uint8)
    face = make_face(models.head, 1)
    face = replace(face, crop_33=np.array([[1.4, 0, -400.0], [0, 1.4, -30.0], [0, 0, 1]]))
    cell = comparison(photo, [face], [models.decode_face(face)], models)[:, :320]
    for column, row in ((60, 40), (120, 200)):
        crop = (np.array((column, row)) + 0.5) * 224 / 320
        expected = (crop - face.crop_33[:2, 2]) / 1.4 - 0.5
        assert np.abs(cell[row, column, :2] * 2.0 - expected).max() < 2.5 and cell[row, column, 2] == 200
    assert not cell[:, 250:].any()  # right of the photo


def test_models_of_different_heads_are_refused(models: Models) -> None:
    face = make_face(models.head, 1)
    stranger = replace(models.head, hash="0" * 16, name="another")
    with pytest.raises(OptionError, match="another"):
        models.decode_face(replace(face, head=stranger))
    for others in ({"networks": models.networks}, {"albedo": models.albedo}):
        with pytest.raises(AssetError):
            Models(stranger, **others)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = pytest.importorskip("skimage.data")
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


def test_command_writes_every_output(head: HeadModel, portrait: Path, tmp_path: Path) -> None:
    """The landmark fit on OpenHead with randomly initialised E_d and F_d, through every file."""
    weights = tmp_path / "weights.safetensors"
    save_checkpoint(random_checkpoint(0, Card.of(head, backbone=SMALL)), weights)
    options = ["--weights", str(weights), "--coarse", "fit", "--out", str(tmp_path / "out"), "--texture-size", "512"]
    assert main(["reconstruct", str(portrait), *options]) == 0
    folder = tmp_path / "out" / "astronaut"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("face_0.json", "overlay.png", "comparison.png", "head.obj", "head.mtl", "head.png", "head_albedo.png"),
        *("head_photographed.png", "head_coarse.png", "head_detail.png", "head_detail.obj", "head_detail.ply"),
        *("head_displacement.png", "head_displacement.exr", "head_normals.png"),
        *("head_relief.png", "head_relief.exr", "head_relief_certainty.png"),
    }
    codes = json.loads((folder / "face_0.json").read_text())
    assert [np.shape(codes[name]) for name in ("albedo", "light", "detail")] == [(50,), (9, 3), (128,)]
    for name in names:
        if name.endswith(".png"):
            pixels = cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED)
            assert pixels is not None and float(pixels.std()) > 0, name
    # The fitted albedo and light look like the photo: close to its crop on the face, much closer than in plain light.
    sheet = np.asarray(Image.open(folder / "comparison.png")).astype(float)
    photo, lit = sheet[:, :320], sheet[:, -320:]
    face = np.s_[150:250, 110:210]
    assert np.abs(photo[face] - lit[face]).mean() < 25


def test_official_formats_go_through_the_weights(portrait: Path, tmp_path: Path) -> None:
    """FLAME's files, DECA's checkpoint and an albedo npz, all made up: codes are what the networks say of the crop."""
    files = make_flame_files(tmp_path / "files")
    head_path = convert_flame(files.model, files.landmarks, files.template, tmp_path / "flame", maps=files.maps)
    checkpoint = random_checkpoint(3)
    tar = tmp_path / "deca_model.tar"
    states = {
        "E_flame": checkpoint.coarse_encoder.state_dict(),
        "E_detail": checkpoint.detail_encoder.state_dict(),
        "D_detail": checkpoint.detail_decoder.state_dict(),
    }
    torch.save(states, tar)
    make_albedo(tmp_path / "albedo.npz", components=50)
    models = load_models(head_path, tar, tmp_path / "albedo.npz")
    photo = read_photo(portrait)
    (face,) = reconstruct(photo, path=portrait, models=models, texture_size=None, max_faces=1)

    low, high = face.landmarks_L2[list(IBUG_68)].min(0), face.landmarks_L2[list(IBUG_68)].max(0)
    side = int((high - low).mean() * 1.1 * 1.25)
    assert np.allclose(face.crop_33[0, 0], 223 / side)
    image = torch.from_numpy(warp_crop(photo.pixels, face.crop_33))[None]
    with torch.no_grad():
        codes_236 = load_checkpoint(tar).coarse_encoder.eval()(image)[0].numpy()
    found = (
        face.shape_S,
        face.albedo_A,
        face.expression_E,
        face.pose_53[0],
        face.pose_53[2],
        face.camera_3,
        face.light_93,
    )
    found_236 = np.concatenate([np.ravel(part) for part in found if part is not None])
    assert np.abs(found_236 - codes_236).max() < 1e-3
    assert not face.pose_53[[1, 3, 4]].any()
    assert 0 < face.landmark_error and np.isclose(face.landmark_error, interior_error(face))

    decoded = models.decode_face(face)
    assert decoded.displacement_B1HW is not None and decoded.detail is not None
    fixed = models.head.fixed_displacement_NN
    assert fixed is not None
    flat = decoded.displacement_B1HW[0, 0].numpy() - fixed
    outside = models.head.masks["face_no_eyes"] == 0
    assert not cv2.resize(np.abs(flat), outside.shape[::-1], interpolation=cv2.INTER_NEAREST)[outside].any()
    pictures = models.render(decoded)
    assert pictures.detail is not None and torch.isfinite(pictures.detail).all()


def test_weights_without_a_file_are_refused(portrait: Path, models: Models) -> None:
    bare = Models(models.head)
    with pytest.raises(OptionError, match="no weights"):
        reconstruct(read_photo(portrait), path=portrait, models=bare, coarse="weights")
