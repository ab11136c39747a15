"""The relief network and its file, and the way from a photo to a person's relief."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from deca.errors import AssetError
from deca.head import HeadModel, load_head
from deca.networks.relief import (
    FINER,
    Layout,
    ReliefCard,
    ReliefNetwork,
    load_relief,
    new_relief_network,
    save_relief,
    slope_light,
)
from deca.reconstruct.face import Face
from deca.reconstruct.relief import layout_of, relief_of_photo, reliefs_of_photo, with_other_side
from deca.render.uv import texels_of, uv_mask

SIZE = 256


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def network(head: HeadModel) -> ReliefNetwork:
    """Random weights that say something: doubtful by less than people differ."""
    network = new_relief_network(head, seed=3)
    torch.nn.init.constant_(network.doubt.bias, -3.0)
    return network


def layout(seed: int = 0, batch: int = 1) -> Layout:
    source = torch.Generator().manual_seed(seed)
    photo = torch.rand(batch, 3, FINER * SIZE, FINER * SIZE, generator=source) * 0.2 + 0.4
    normals = torch.zeros(batch, 3, SIZE, SIZE)
    normals[:, 2] = 1
    return Layout(photo, normals, torch.ones(batch, 1, SIZE, SIZE), torch.full((batch,), 2.0))


def face_at(head: HeadModel, pixels_per_metre: float, turn: float = 0.0) -> Face:
    """A face in the middle of a photo of 900 x 700 pixels."""
    camera_3 = np.array([2.0, 0.0, 0.0], np.float32)
    # DECA's camera: crop pixel = 112 + 112 * 2 * metre; the crop is a part of the photo.
    zoom = 224 / pixels_per_metre
    crop_33 = np.array([[zoom, 0, 112 - zoom * 450], [0, zoom, 112 - zoom * 350], [0, 0, 1]])
    pose_53 = np.zeros((5, 3), np.float32)
    pose_53[0, 1] = turn
    face = Face(
        Path("photo.png"), 0, head, np.zeros(50, np.float32), np.zeros(50, np.float32), pose_53, camera_3, crop_33,
        (900, 700), (0, 0, 1, 1), np.zeros((478, 2), np.float32), 0.0,
    )  # fmt: skip
    marks_L3 = head.landmarks_478.positions(face.vertices(), head.faces_F3)  # type: ignore[union-attr]
    marks_L2 = marks_L3 @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    face.landmarks_L2[:] = marks_L2
    return face


def skin_photo(seed: int = 0) -> np.ndarray:
    """Skin all over, with a grain."""
    grain = np.random.default_rng(seed).normal(0, 6, (700, 900, 1))
    return (np.array([205, 160, 135]) + grain).clip(0, 255).astype(np.uint8)


def test_a_file_gives_the_network_back_and_is_small(network: ReliefNetwork, tmp_path: Path) -> None:
    path, again = tmp_path / "relief.safetensors", tmp_path / "again.safetensors"
    save_relief(network, path)
    loaded = load_relief(path)
    save_relief(loaded, again)
    assert path.stat().st_size <= 4_000_000 and again.read_bytes() == path.read_bytes()
    assert loaded.card == network.card and not loaded.training
    for one, other in zip(network.read(layout()), loaded.read(layout()), strict=True):
        assert float(one.abs().max()) > 0
        torch.testing.assert_close(one, other, atol=0.02 * float(one.abs().max()), rtol=0)


@pytest.mark.parametrize(
    ("damage", "said"),
    [("truncated", "could not be read"), ("missing", "does not exist"), ("foreign", "no relief weights"),
     ("lacking", "lacks depth.weight"), ("shape", "expected with shape"), ("nan", "infinite or not a number"),
     ("card", "card")],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(network: ReliefNetwork, tmp_path: Path, damage: str, said: str) -> None:
    path = tmp_path / "relief.safetensors"
    save_relief(network, path)
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(str(path), "pt") as file:
        metadata = dict(file.metadata())
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "missing":
        path.unlink()
    else:
        if damage == "foreign":
            metadata["format"] = "deca-weights"
        elif damage == "card":
            metadata["card"] = '{"head": "openhead", "colour": 3}'
        elif damage == "lacking":
            del tensors["depth.weight"]
        elif damage == "shape":
            tensors["depth.weight"] = tensors["depth.weight"][:, :3].clone()
        else:
            tensors["depth.bias"][:] = float("nan")
        safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(AssetError, match=said) as caught:
        load_relief(path)
    assert str(path) in caught.value.message and caught.value.hint


def test_a_network_of_another_uv_map_is_refused(head: HeadModel) -> None:
    network = ReliefNetwork(ReliefCard("Other")).eval()
    with pytest.raises(AssetError, match="Other"):
        reliefs_of_photo(skin_photo(), [face_at(head, 3000)], network)


def test_nothing_is_known_of_what_is_not_seen(network: ReliefNetwork) -> None:
    seen = layout()
    half = seen.seen_B1HW.clone()
    half[..., :128] = 0
    displacement, certainty = network.read(seen._replace(seen_B1HW=half))
    assert not displacement[..., :128].any() and not certainty[..., :128].any()
    assert displacement[..., 130:].abs().max() > 0 and certainty[..., 130:].max() > 0
    nothing = network.read(seen._replace(seen_B1HW=torch.zeros_like(half)))
    assert not any(map_B1HW.any() for map_B1HW in nothing)


def test_what_is_not_seen_does_not_matter(network: ReliefNetwork) -> None:
    """Hair, the background: whatever lies there, what is seen reads the same."""
    seen = layout()
    half = seen.seen_B1HW.clone()
    half[..., :128] = 0
    photo = seen.photo_B3PQ.clone()
    photo[..., : 128 * FINER] = 1 - photo[..., : 128 * FINER]
    one = network.read(seen._replace(seen_B1HW=half))
    other = network.read(seen._replace(seen_B1HW=half, photo_B3PQ=photo))
    torch.testing.assert_close(one, other)


def test_brightness_of_a_photo_matters_little_and_deeper_lines_are_limited(network: ReliefNetwork) -> None:
    displacement, certainty = network.read(layout())
    assert displacement.abs().max() < 0.003 and 0 <= certainty.min() and certainty.max() <= 1


def test_certainty_is_what_is_known_beyond_the_usual(network: ReliefNetwork) -> None:
    """Four kinds of skin where people differ by 0.1 mm: nothing known, smooth for certain, a deep line hardly known
    and half known."""
    flat, deep = torch.zeros(1, 1, SIZE, SIZE), torch.full((1, 1, SIZE, SIZE), 1.0)
    cases = [(flat, 0.11, 0.0, 0.05), (flat, 0.02, 1.0, 1.0), (deep, 2.5, 0.6, 0.75), (deep, 1.0, 1.0, 1.0)]
    for depth, wrong, low, high in cases:
        certainty = network.certainty(depth, torch.full_like(depth, float(np.log(wrong))))
        assert low <= float(certainty.mean()) <= high, (wrong, certainty.mean())


def test_light_from_the_right_brightens_slopes_that_face_right() -> None:
    """A ball under light that is brightest to the right and up: the slopes are those of the light's formula."""
    across, down = np.meshgrid(np.linspace(-0.7, 0.7, 80), np.linspace(-0.7, 0.7, 80))
    normals_3HW = np.stack((across, -down, np.sqrt(1 - across**2 - down**2)))
    log_light_HW = 1.2 * normals_3HW[0] + 0.5 * normals_3HW[1] - 0.7
    tensors = (torch.from_numpy(map_XHW.astype(np.float32))[None] for map_XHW in (log_light_HW[None], normals_3HW))
    slope_2HW = slope_light(*tensors, torch.ones(1, 1, 80, 80))[0].numpy()
    middle = slope_2HW[:, 39:41, 39:41].mean((1, 2))
    assert np.allclose(middle, (1.2, 0.5), atol=0.05)
    # On the flank that faces right, the surface's right points away from the camera: there is less to gain.
    assert slope_2HW[0, 40, 75] == pytest.approx(1.2 * normals_3HW[2, 40, 75], abs=0.12)


def test_the_other_side_stands_in(head: HeadModel) -> None:
    """The head's UV map is its own mirror image, so the oracle is the map read backwards."""
    texels, skin_HW = texels_of(head, SIZE), uv_mask(head, "face_no_eyes").numpy()
    rng = np.random.default_rng(0)
    depth_HW = np.asarray(
        torch.nn.functional.avg_pool2d(torch.from_numpy(rng.normal(0, 1e-3, (1, 1, SIZE, SIZE))), 9, 1, 4)
    )[0, 0]
    depth_HW = depth_HW.astype(np.float32)
    certainty_HW = np.zeros((SIZE, SIZE), np.float32)
    certainty_HW[:, :128] = 0.8
    relief = with_other_side(depth_HW, certainty_HW, skin_HW, texels)
    inner_HW = np.zeros((SIZE, SIZE), bool)
    inner_HW[60:200, 70:120] = skin_HW[60:200, 70:120] > 0.99
    assert np.allclose(relief.displacement_HW[inner_HW], depth_HW[inner_HW])
    assert np.allclose(relief.certainty_HW[inner_HW], 0.8)
    theirs_HW = inner_HW[:, ::-1]
    off_HW = relief.displacement_HW[theirs_HW] - depth_HW[:, ::-1][theirs_HW]
    assert np.abs(off_HW).mean() < 0.1 * np.abs(depth_HW).mean()
    assert (np.abs(relief.certainty_HW[theirs_HW] - 0.4) < 0.03).mean() > 0.98  # seams have no other side
    assert not relief.displacement_HW[skin_HW == 0].any() and not relief.certainty_HW[skin_HW == 0].any()


def test_neither_side_known_is_nothing_known(head: HeadModel) -> None:
    zeros_HW = np.zeros((SIZE, SIZE), np.float32)
    relief = with_other_side(zeros_HW + 1e-3, zeros_HW, np.ones_like(zeros_HW), texels_of(head, SIZE))
    assert not relief.displacement_HW.any() and not relief.certainty_HW.any()


@pytest.mark.parametrize(("scale", "turn"), [(3000.0, 0.0), (1500.0, 0.5)])
def test_texels_take_their_own_place_on_the_photo(head: HeadModel, scale: float, turn: float) -> None:
    """A photo whose colours are its coordinates: every vertex's texel has the colour of where the vertex is."""
    face = face_at(head, scale, turn)
    columns, rows = np.meshgrid(np.arange(900) + 0.5, np.arange(700) + 0.5)
    photo = np.stack((columns / 900, rows / 700, np.full_like(rows, 0.5)), 2)
    found = layout_of(np.rint(photo * 255).astype(np.uint8), face)
    pixels_V2 = face.vertices() @ face.to_photo()[:, :3].T + face.to_photo()[:, 3]
    uv_V2 = np.zeros((head.num_verts, 2))
    uv_V2[head.faces_F3] = head.uv_T2[head.uv_faces_F3]
    row_V, column_V = ((1 - uv_V2[:, 1]) * SIZE).astype(int), (uv_V2[:, 0] * SIZE).astype(int)
    normals_HW3 = found.normals_B3HW[0].permute(1, 2, 0).numpy()
    is_skin_V = (uv_mask(head, "face_no_eyes").numpy()[row_V, column_V] > 0.9) & (head.parts_V == 0)
    front_V = is_skin_V & (normals_HW3[row_V, column_V, 2] > 0.6)
    assert front_V.sum() > 300
    colours_V2 = found.photo_B3HW[0, :2].numpy()[:, row_V, column_V].T
    off_V2 = np.abs(colours_V2 * (900, 700) - pixels_V2)[front_V]
    assert np.median(off_V2) < scale * 0.001  # half a texel is about half a millimetre
    # Within a texel the photo runs on: its right half lies half the way to the next texel, on average over 8-bit steps.
    x_PQ = found.photo_B3PQ[0, 0].numpy() * 900
    halves_V, texels_V = (
        x_PQ[FINER * row_V, FINER * column_V + step] - x_PQ[FINER * row_V, FINER * column_V] for step in (1, FINER)
    )
    assert texels_V[front_V].mean() > 0.3 * scale * 0.001
    assert halves_V[front_V].mean() / texels_V[front_V].mean() == pytest.approx(0.5, abs=0.05)


def test_faces_of_different_sizes_are_read_together(head: HeadModel, network: ReliefNetwork) -> None:
    large, small = face_at(head, 3200), face_at(head, 800, turn=0.4)
    densities = [float(layout_of(skin_photo(), face).density_B) for face in (large, small)]
    assert 3 < densities[0] / densities[1] < 5
    both = reliefs_of_photo(skin_photo(), [large, small], network)
    skin_HW = uv_mask(head, "face_no_eyes").numpy()
    for face, relief in zip((large, small), both, strict=True):
        alone = relief_of_photo(skin_photo(), face, network)
        assert np.allclose(relief.displacement_HW, alone.displacement_HW, atol=1e-7)
        assert np.allclose(relief.certainty_HW, alone.certainty_HW, atol=1e-4)
        assert relief.displacement_HW.shape == (SIZE, SIZE) and relief.displacement_HW.dtype == np.float32
        assert relief.displacement_HW.any() and not relief.displacement_HW[skin_HW == 0].any()
    assert reliefs_of_photo(skin_photo(), [], network) == []
