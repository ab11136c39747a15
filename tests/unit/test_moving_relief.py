"""A photo's relief in motion: against the formula worked out texel by texel, through bytes, and from a photo."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, minimum_filter, zoom

from deca.assets import assets_dir
from deca.errors import AssetError, DecaWarning
from deca.head import load_head
from deca.networks import Card, Networks, random_checkpoint, save_checkpoint
from deca.networks.relief import new_relief_network, save_relief
from deca.reconstruct.export import write_faces
from deca.reconstruct.models import Models, load_models
from deca.reconstruct.moving_relief import GENERIC, MovingRelief, with_reliefs
from deca.reconstruct.pipeline import reconstruct_photo
from deca.reconstruct.relief import Relief
from deca.reconstruct.transfer import interpolate_detail, transfer_wrinkles
from deca.render.detail import applied_displacement
from deca.render.uv import uv_mask

HEAD = load_head()
CARD = Card.of(HEAD, backbone="mobilenet_v3_large")
SKIN_HW = uv_mask(HEAD, "face_no_eyes", 256).numpy()
INSIDE_HW = gaussian_filter(SKIN_HW, 8) > 0.98


def fine_map(seed: int, depth: float = 3e-4) -> np.ndarray:
    """Lines and folds of any kind, metres, on the skin."""
    random = np.random.default_rng(seed)
    fine_HW = gaussian_filter(random.normal(size=(256, 256)), 2)
    envelope_HW = 0.2 + zoom(random.random((8, 8)), 32, order=1)
    return (SKIN_HW * depth * fine_HW / fine_HW.std() * envelope_HW).astype(np.float32)


def tensor(map_HW: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(map_HW, np.float32))[None, None]


def moving(displacement_HW: np.ndarray, certainty: float | np.ndarray, at_photo_HW: np.ndarray) -> MovingRelief:
    certainty_HW = np.broadcast_to(np.float32(certainty), (256, 256))
    return MovingRelief.of(Relief(displacement_HW, certainty_HW), tensor(at_photo_HW), HEAD)


def test_the_formula() -> None:
    """R times the relative strength of F_d's maps, both by Gaussians of 4 texels and without cells."""
    relief_HW, photo_HW, now_HW = fine_map(0), fine_map(1), fine_map(2) * np.linspace(0, 6, 256, dtype=np.float32)

    def strength(map_HW: np.ndarray) -> np.ndarray:
        return np.sqrt(gaussian_filter(map_HW.astype(np.float64) ** 2, 4)) + 8e-5

    got_HW = with_reliefs(tensor(now_HW), [(moving(relief_HW, 1, photo_HW), 1)], HEAD)[0, 0].numpy()
    ratio_HW = strength(now_HW) / strength(photo_HW)
    used_HW = np.minimum(ratio_HW, 1.75)
    expected_HW = used_HW * relief_HW + 0.25 * (1 - used_HW / ratio_HW) * now_HW
    error_HW = np.abs(got_HW - expected_HW)[INSIDE_HW]
    assert np.sqrt(np.mean(error_HW**2)) < 0.06 * np.sqrt(np.mean(expected_HW[INSIDE_HW] ** 2))
    assert (ratio_HW[INSIDE_HW] > 3).mean() > 0.1 and (ratio_HW[INSIDE_HW] < 1).mean() > 0.05
    certain_HW = INSIDE_HW & (ratio_HW < 1.5)
    assert (got_HW * relief_HW)[certain_HW].min() >= 0  # valleys stay valleys


def test_at_the_photo_s_expression_it_is_what_the_photo_shows_where_that_is_sure() -> None:
    relief_HW, photo_HW = fine_map(0), fine_map(1)
    certainty_HW = np.zeros((256, 256), np.float32)
    certainty_HW[:, 128:] = 1
    got_HW = with_reliefs(tensor(photo_HW), [(moving(relief_HW, certainty_HW, photo_HW), 1)], HEAD)[0, 0].numpy()
    assert np.abs(got_HW - relief_HW)[:, 148:].max() < 0.02 * np.abs(relief_HW).max()
    # Lines of the cheeks stay in part, those of the forehead do not: rows are those of the brows and of the mouth.
    assert np.allclose(got_HW[140:, :108], GENERIC * photo_HW[140:, :108], atol=1e-9)
    upper_HW = np.s_[48:64, 98:108]
    assert SKIN_HW[upper_HW].all() and not np.allclose(photo_HW[upper_HW], 0, atol=1e-6)
    assert np.abs(got_HW[upper_HW]).max() < 0.02 * np.abs(photo_HW[upper_HW]).max()
    steps = np.abs(np.diff(got_HW - photo_HW, axis=1)).max()  # no seam between both
    assert steps < 1.5 * np.abs(np.diff(relief_HW - photo_HW, axis=1)).max()


def test_lines_of_an_unseen_forehead_come_with_its_movement() -> None:
    """A fringe: at rest the forehead is smooth, and skin that folds twice as much shows half of the lines of others."""
    photo_HW = fine_map(1, 3e-3)  # so deep that the strengths' floor hardly counts
    nothing = moving(np.zeros((256, 256), np.float32), 0, photo_HW)
    upper_HW, shown = np.s_[48:64, 98:158], []
    for strength in (0.5, 1, 2, 4):
        got_HW = with_reliefs(tensor(strength * photo_HW), [(nothing, 1)], HEAD)[0, 0].numpy()
        shown.append(np.abs(got_HW)[upper_HW].mean() / np.abs(strength * photo_HW)[upper_HW].mean())
        assert np.allclose(got_HW[160:], GENERIC * strength * photo_HW[160:], atol=1e-8)
    assert max(shown[:2]) < 0.02
    # The floor takes a little of the ratio.
    assert shown[2:] == pytest.approx([GENERIC / 2, 0.75 * GENERIC], abs=0.03)


def test_no_line_is_deeper_than_skin_allows() -> None:
    deep_HW = 40 * fine_map(0)
    got_HW = with_reliefs(tensor(fine_map(1)), [(moving(deep_HW, 1, fine_map(1)), 2)], HEAD)[0, 0].numpy()
    assert 2.5e-3 < np.abs(got_HW).max() <= 3e-3 and (got_HW * deep_HW >= 0).all()


def test_shares_add_up_and_nothing_is_nothing() -> None:
    now_11HW = tensor(fine_map(2))
    one, other = moving(fine_map(0, 1e-4), 1, fine_map(1)), moving(fine_map(3, 1e-4), 0.3, fine_map(4))
    assert with_reliefs(now_11HW, [], HEAD) is now_11HW and with_reliefs(now_11HW, [(one, 0)], HEAD) is now_11HW
    alone = [with_reliefs(now_11HW, [(relief, 1)], HEAD) for relief in (one, other)]
    both = with_reliefs(now_11HW, [(one, 0.3), (other, 0.7)], HEAD)
    assert torch.allclose(both, 0.3 * alone[0] + 0.7 * alone[1], atol=1e-7)


def test_bytes() -> None:
    made = moving(fine_map(0), np.random.default_rng(0).random((256, 256)), fine_map(1))
    packed = made.pack()
    assert len(packed) < 60_000
    again = MovingRelief.unpack(packed)
    assert np.abs(again.displacement_HW - made.displacement_HW).max() < 0.51e-6
    assert np.abs(again.certainty_PQ - made.certainty_PQ).max() < 0.51 / 255
    assert np.abs(again.activity_PQ - made.activity_PQ).max() < 0.51e-7
    assert again.pack() == packed
    for damaged in (b"", packed[:4], packed[:-400], b"DRL9" + packed[4:], packed[:8] + b"x" * 90):
        with pytest.raises(AssetError, match="damaged") as refused:
            MovingRelief.unpack(damaged)
        assert "Photo Detail" in refused.value.hint


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(random_checkpoint(0, CARD), path)
    return path


@pytest.fixture
def relief_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the relief network would be, in assets that are otherwise the bundled ones."""
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("openhead", "vision", "identity"):
        (assets / name).symlink_to(assets_dir() / name, target_is_directory=True)
    monkeypatch.setenv("DECA_ASSETS", str(assets))
    path = assets / "relief/openhead.safetensors"
    path.parent.mkdir()
    return path


def test_faces_wear_their_photo_s_relief_and_are_as_before_without(
    photo: Path, weights: Path, relief_file: Path, tmp_path: Path
) -> None:
    def face_of() -> tuple:
        (face,) = reconstruct_photo(photo, weights=weights, coarse="fit", texture_size=None, max_faces=1)
        models = load_models(weights=weights)
        displacement_11HW = models.decode_face(face).displacement_B1HW
        assert displacement_11HW is not None
        return face, displacement_11HW, models

    plain, before_11HW, models = face_of()
    assert plain.reliefs == () and models.relief is None and models.networks is not None
    codes = (torch.from_numpy(code)[None] for code in (plain.detail_D, plain.expression_E, plain.pose_53[2]))
    of_code_11HW = Networks.load(weights).displacement(*codes)
    assert torch.equal(before_11HW, applied_displacement(of_code_11HW, HEAD))  # to the last bit

    network = new_relief_network(HEAD, seed=3)
    network.spread_HW.fill_(30.0)  # so that its random numbers pass for sure
    save_relief(network, relief_file)
    face, displacement_11HW, models = face_of()
    ((relief, share),) = face.reliefs
    assert share == 1 and np.array_equal(face.detail_D, plain.detail_D) and relief.certainty_PQ.max() > 0.5
    sure_HW = (minimum_filter(relief.certainty_PQ, 3) > 0.5).repeat(4, 0).repeat(4, 1) & (SKIN_HW > 0.999)
    shown_HW = displacement_11HW[0, 0].numpy()
    expected_HW = relief.displacement_HW / (1 + (relief.displacement_HW / 3e-3) ** 4) ** 0.25
    assert sure_HW.sum() > 5000 and np.abs(shown_HW - expected_HW)[sure_HW].max() < 1e-6  # what the photo shows
    assert torch.equal(models.decode_face(replace(face, reliefs=())).displacement_B1HW, before_11HW)

    written = write_faces(tmp_path / "out", skimage.data.astronaut(), [face], models)
    names = {path.name for path in written}
    assert {"head_relief.png", "head_relief.exr", "head_relief_certainty.png"} <= names
    grey = np.asarray(Image.open(tmp_path / "out" / "head_relief.png"), np.float64)
    assert np.abs((grey / 65535 - 0.5) * 0.02 - relief.displacement_HW).max() < 1e-6

    other = replace(plain, detail_D=0.5 * plain.detail_D)
    assert transfer_wrinkles(face, other).reliefs == face.reliefs
    assert interpolate_detail(other, face, 0.25).reliefs == ((relief, 0.25),)


def test_a_damaged_network_is_told_of_and_left_out(relief_file: Path, weights: Path) -> None:
    relief_file.write_bytes(b"nothing of use")
    with pytest.warns(DecaWarning, match=r"relief network cannot be used.*Reinstall"):
        assert load_models(weights=weights).relief is None
    with warnings.catch_warnings():
        warnings.simplefilter("error", DecaWarning)
        assert load_models(weights=None).relief is None  # nobody would move it
    assert Models(HEAD).relief is None
