"""The nonlinear face model: its networks and their file, its heads, and what is found by optimising latents alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.errors import AssetError, OptionError
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.networks import Codes, CodeSizes
from deca.networks.nonlinear import (
    DecoderSizes,
    NonlinearCard,
    NonlinearNetworks,
    UvDecoder,
    load_nonlinear,
    local_regions,
    save_nonlinear,
    window_of,
)
from deca.reconstruct.nonlinear import (
    NonlinearHead,
    TexelView,
    fit_latents,
    fit_shapes,
    fit_textures,
    render,
    texture_error,
)
from deca.render.camera import project
from deca.render.lighting import grey_light
from deca.render.renderer import Renderer
from deca.render.uv import photo_texture, uv_mask, world2uv

SIZES = CodeSizes(shape=120, albedo=60, detail=0)


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def albedo() -> AlbedoModel:
    return load_albedo()


@pytest.fixture(scope="module")
def networks(head: HeadModel) -> NonlinearNetworks:
    torch.manual_seed(1)
    card = NonlinearCard.of(head, SIZES, DecoderSizes.small(), backbone="face_mesh")
    return NonlinearNetworks(card).eval()


@pytest.fixture(scope="module")
def face(head: HeadModel, albedo: AlbedoModel) -> NonlinearHead:
    return NonlinearHead(head, albedo, DecoderSizes.small(), SIZES.expression)


def codes(batch: int = 2, turn: float = 0.3) -> Codes:
    source = torch.Generator().manual_seed(0)
    pose = torch.zeros(batch, 3)
    pose[:, 1] = turn
    return Codes(
        torch.randn(batch, SIZES.shape, generator=source) * 0.5,
        torch.randn(batch, SIZES.albedo, generator=source) * 0.5,
        torch.rand(batch, SIZES.expression, generator=source) * 0.3,
        pose,
        torch.tensor([[0.1, 0.0, 0.0]]).repeat(batch, 1),
        torch.tensor([[8.0, 0.0, 0.02]]).repeat(batch, 1),
        grey_light(batch),
    )


# --- networks


def test_the_paper_s_sizes() -> None:
    """Section 4: U = 192, V = 224."""
    sizes = DecoderSizes()
    assert (sizes.columns, sizes.rows, sizes.decoder, sizes.proxy) == (192, 224, "global_local", True)


@pytest.mark.parametrize("sizes", [DecoderSizes(), DecoderSizes.small()])
def test_window_and_regions(head: HeadModel, sizes: DecoderSizes) -> None:
    """The window holds nearly all skin that may differ, is symmetric, and regions lie around their landmarks."""
    rows, columns = window_of(head, sizes)
    skin = uv_mask(head, "face_no_eyes", sizes.map_size)
    assert skin[rows, columns].sum() > 0.98 * skin.sum()
    assert columns.start + columns.stop == sizes.map_size and rows.stop - rows.start == sizes.rows
    right_eye, left_eye, nose, mouth = local_regions(head, sizes)
    points = head.landmarks_68
    assert points is not None
    uv = (head.uv_T2[head.uv_faces_F3[points.faces]] * points.bary[..., None]).sum(1)
    places = np.stack((1 - uv[:, 1], uv[:, 0]), 1) * sizes.map_size - (rows.start, columns.start)
    for region, landmarks in ((right_eye, (36, 39)), (left_eye, (42, 45)), (nose, (30, 33)), (mouth, (48, 54, 57))):
        top, left, height, width = region
        assert height % 8 == width % 8 == 0
        for row, column in places[list(landmarks)]:
            assert top < row < top + height and left < column < left + width
    # The subject's right eye is on the left of the map; both are mirror images to within rounding to texels.
    assert abs(right_eye[1] + left_eye[1] + right_eye[3] - sizes.columns) <= 1 and right_eye[2:] == left_eye[2:]


def test_local_pathways_draw_in_their_regions_and_the_largest_shows() -> None:
    sizes = replace(DecoderSizes.small(), rows=32, columns=32)
    regions = ((0, 0, 16, 16), (8, 8, 16, 16))
    decoder = UvDecoder(5, sizes, regions, 1.0).eval()
    with torch.no_grad():
        local = decoder._local(torch.randn(3, 5))
        parts = [path(torch.randn(3, 5)) for path in decoder.local_paths]
        code = torch.randn(3, 5)
        first, second = (path(code) for path in decoder.local_paths)
        both = decoder._local(code)
    assert local.shape == (3, sizes.local_channels[-1], 32, 32) and parts[0].shape[-2:] == (16, 16)
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[:16, :16] = outside[8:24, 8:24] = False
    assert not both[..., outside].any() and both.any()
    assert torch.equal(both[..., :8, :8], first[..., :8, :8])
    assert torch.equal(both[..., 16:24, 8:24], second[..., 8:, :])
    assert torch.equal(both[..., 8:16, 8:16], torch.maximum(first[..., 8:, 8:], second[..., :8, :8]))


@pytest.mark.parametrize(
    ("changes", "paths", "branches"),
    [
        ({}, 4, 2),
        ({"proxy": False}, 4, 1),
        ({"decoder": "global"}, 0, 2),
        ({"decoder": "global", "proxy": False}, 0, 1),
    ],
)
def test_switches_of_the_ablations(head: HeadModel, changes: dict, paths: int, branches: int) -> None:
    sizes = replace(DecoderSizes.small(), **changes)
    decoder = UvDecoder(7, sizes, local_regions(head, sizes), 0.5)
    assert len(decoder.local_paths) == paths and len(decoder.branches) == branches
    pair = decoder(torch.randn(2, 7))
    assert pair.true_B3HW.shape == (2, 3, 128, 96)
    assert (pair.true_B3HW is pair.proxy_B3HW) == (branches == 1)


def test_linear_models_have_no_decoders(head: HeadModel) -> None:
    sizes = replace(DecoderSizes.small(), decoder="linear")
    networks = NonlinearNetworks(NonlinearCard.of(head, SIZES, sizes, backbone="face_mesh"))
    pair = networks.displacement(torch.randn(2, SIZES.shape))
    assert networks.shape_decoder is None and not pair.true_B3HW.any() and pair.true_B3HW is pair.proxy_B3HW


@pytest.mark.parametrize(
    "changes", [{"rows": 100}, {"columns": 160}, {"global_channels": (8, 8)}, {"decoder": "local"}]
)
def test_sizes_that_are_not_possible(changes: dict) -> None:
    with pytest.raises(OptionError):
        replace(DecoderSizes.small(), **changes)


def test_file_and_back(networks: NonlinearNetworks, head: HeadModel, tmp_path: Path) -> None:
    path = tmp_path / "nonlinear.safetensors"
    save_nonlinear(networks, path)
    loaded = load_nonlinear(path)
    assert loaded.card == networks.card
    loaded.card.check_head(head)
    with torch.no_grad():
        code = torch.randn(1, SIZES.shape)
        one, other = (n.displacement(code).true_B3HW for n in (networks, loaded))
    assert (one - other).abs().max() < 0.01 * one.abs().max()
    save_nonlinear(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_foreign_and_damaged_files(networks: NonlinearNetworks, head: HeadModel, tmp_path: Path) -> None:
    path = tmp_path / "nonlinear.safetensors"
    save_nonlinear(networks, path)
    state = safetensors.torch.load_file(path)
    with safetensors.safe_open(str(path), "pt") as file:
        metadata = file.metadata()
    foreign, lacking, odd = (tmp_path / f"{name}.safetensors" for name in ("foreign", "lacking", "odd"))
    safetensors.torch.save_file(state, foreign, metadata | {"format": "deca-relief"})
    safetensors.torch.save_file({k: v for k, v in state.items() if "fuse" not in k}, lacking, metadata)
    safetensors.torch.save_file(state, odd, metadata | {"card": "{}"})
    for file, says in (
        (foreign, "holds no nonlinear"),
        (lacking, "lacks .*fuse"),
        (odd, "card"),
        (tmp_path / "none", "not exist"),
    ):
        with pytest.raises(AssetError, match=says):
            load_nonlinear(file)
    with pytest.raises(AssetError, match="another version"):
        networks.card.check_head(replace(head, hash="0" * 16))


# --- heads


def test_displacement_at_the_vertices(face: NonlinearHead, head: HeadModel) -> None:
    """A displacement that is linear in the texture coordinates is read off exactly; eyes, teeth and the back stay."""
    rows, columns = face.window
    size = face.sizes.map_size
    v, u = torch.meshgrid(
        1 - (torch.arange(rows.start, rows.stop) + 0.5) / size,
        (torch.arange(columns.start, columns.stop) + 0.5) / size,
        indexing="ij",
    )
    offsets = face.offsets(torch.stack((u, v, u + v))[None])[0]
    share_V1 = face.share_V1
    uv_V2 = np.zeros((head.num_verts, 2), np.float32)
    uv_V2[head.faces_F3.ravel()] = head.uv_T2[head.uv_faces_F3.ravel()]
    assert (share_V1 > 0.99).sum() > 1000 and share_V1.max() <= 1
    assert (offsets[:, :2] - share_V1 * torch.from_numpy(uv_V2)).abs().max() < 1e-4
    assert not offsets[torch.from_numpy(head.parts_V != 0)].any()
    assert not offsets[torch.from_numpy(head.template_V3[:, 2] < -0.05)].any()


def test_posed_heads_are_the_rig_s(face: NonlinearHead, head: HeadModel) -> None:
    """Without displacement the head is the linear one; with it, it is the linear head on another template."""
    some = codes()
    nothing = torch.zeros(2, 3, 128, 96)
    layer = HeadLayer(head, 100, 50)
    expected = layer(some.shape_BS[:, :100], some.expression_BE, some.pose_BJ3)
    assert torch.allclose(face.posed(some, nothing), expected, atol=1e-6)
    moved = torch.randn(1, 3, 128, 96) * 1e-3
    changed = replace(head, template_V3=head.template_V3 + face.offsets(moved)[0].numpy())
    other = HeadLayer(changed, 100, 50)
    other.joints_J3.copy_(layer.joints_J3)  # joints do not follow skin
    one = codes(1)
    expected = other(one.shape_BS[:, :100], one.expression_BE, one.pose_BJ3)
    assert torch.allclose(face.posed(one, moved), expected, atol=1e-5)


def test_window_maps_are_the_whole_maps_cut(face: NonlinearHead, head: HeadModel) -> None:
    attributes = torch.randn(2, head.num_verts, 4)
    whole = world2uv(attributes, head, face.sizes.map_size)
    assert torch.equal(face.on_window(attributes), whole[..., *face.window])


def test_what_photos_show_is_what_rasterising_finds(face: NonlinearHead, head: HeadModel, albedo: AlbedoModel) -> None:
    """Against the renderer: a head drawn with a texture, looked at texel by texel, has that texture."""
    some = codes(1)
    verts = face.posed(some, torch.zeros(1, 3, 128, 96))
    picture = project(verts, some.camera_B3)
    texture = albedo(some.albedo_BA[:, :50])
    surface = Renderer.of_head(head, 224)(verts, picture)
    image = surface.texture(texture)
    view = face.view(verts, some.camera_B3, image, surface.alpha_B1HW)
    expected, shown = photo_texture(
        image, picture, surface.vertex_normals_BV3, surface.fragments, head, face.sizes.map_size
    )
    both = (shown[..., *face.window] > 0) & (view.seen_B1HW > 0.5)
    assert both.sum() > 3000
    assert torch.equal((view.photo_B3HW * both), expected[..., *face.window] * both)
    wanted = face.albedo(some.albedo_BA, torch.zeros(1, 3, 128, 96))
    off = ((view.photo_B3HW - wanted).abs() * both).sum() / (3 * both.sum())
    assert off < 0.01


def test_seen_from_the_side(face: NonlinearHead) -> None:
    """A head that looks to its left (+x) shows its right side."""
    some = codes(1, turn=1.0)
    image = torch.ones(1, 3, 224, 224)
    view = face.view(face.posed(some, torch.zeros(1, 3, 128, 96)), some.camera_B3, image, image[:, :1])
    right, left = view.seen_B1HW[..., :48].sum(), view.seen_B1HW[..., 48:].sum()
    assert right > 2 * left > 0


def test_albedo_models_must_fit(head: HeadModel, albedo: AlbedoModel) -> None:
    with pytest.raises(AssetError, match="60 are"):
        NonlinearHead(head, albedo, replace(DecoderSizes.small(), linear_albedo=60), 50)


# --- latents


def flat_view(photo: torch.Tensor) -> TexelView:
    normals = torch.zeros_like(photo)
    normals[:, 2] = 1
    return TexelView(photo, normals, torch.ones_like(photo[:, :1]))


def test_texture_error_by_hand() -> None:
    """Off by (0.3, 0.4, 0) at one texel, nothing at a second, and by a lot where nothing is seen."""
    photo = torch.zeros(1, 3, 1, 3)
    image = photo.clone()
    image[0, :, 0, 0] = torch.tensor([0.3, 0.4, 0.0])
    image[0, :, 0, 2] = 9.0
    view = replace(flat_view(photo), seen_B1HW=torch.tensor([[[[1.0, 1.0, 0.0]]]]))
    assert float(texture_error(image, view)) == pytest.approx(0.25, abs=1e-5)


def test_albedo_and_light_are_found(face: NonlinearHead) -> None:
    """Photos of the model itself: the error falls to little, each photo's alone."""
    some = codes()
    nothing = torch.zeros(2, 3, 128, 96)
    verts = face.posed(some, nothing)
    view = face.view(verts, some.camera_B3, torch.zeros(2, 3, 224, 224), torch.ones(2, 1, 224, 224))
    light = grey_light(2, 0.8)
    light[:, 1] = 0.2
    view = replace(view, photo_B3HW=render(face.albedo(some.albedo_BA, nothing), view.normals_B3HW, light))

    def albedo_of(code: torch.Tensor) -> torch.Tensor:
        return face.albedo(code, nothing[: len(code)])

    found = fit_textures(albedo_of, torch.zeros(2, 50), grey_light(2), view, steps=150, rate=0.05)
    start = texture_error(render(albedo_of(torch.zeros(2, 50)), view.normals_B3HW, grey_light(2)), view)
    assert (found.error_B < 0.1 * start).all()
    first = TexelView(*(tensor[:1] for tensor in (view.photo_B3HW, view.normals_B3HW, view.seen_B1HW)))
    alone = fit_textures(albedo_of, torch.zeros(1, 50), grey_light(1), first, steps=150, rate=0.05)
    assert torch.allclose(alone.error_B, found.error_B[:1], atol=2e-4)


def test_shapes_are_found(networks: NonlinearNetworks, face: NonlinearHead) -> None:
    code = torch.zeros(1, SIZES.shape)
    code[:, :100] = torch.randn(1, 100, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        target = face.neutral(code, networks.displacement(code).true_B3HW)
    found = fit_shapes(networks, face, target, steps=120)
    with torch.no_grad():
        off, start = (
            (face.neutral(one, networks.displacement(one).true_B3HW) - target)[:, face.share_V1[:, 0] > 0.5]
            .norm(dim=-1)
            .mean()
            for one in (found, torch.zeros_like(code))
        )
    assert off < 0.25 * start


def test_photos_are_reconstructed_by_latents_alone(networks: NonlinearNetworks, face: NonlinearHead) -> None:
    some = codes(1, turn=0.1)
    with torch.no_grad():
        verts = face.posed(some, networks.displacement(some.shape_BS).true_B3HW)
        albedo = face.albedo(some.albedo_BA, networks.albedo_offset(some.albedo_BA).true_B3HW)
        surface = Renderer.of_head(face.head, 224)(verts, project(verts, some.camera_B3))
        whole = torch.full((1, 3, 128, 128), 0.5)
        whole[..., face.window[0], face.window[1]] = albedo
        image = surface.shade(whole, some.light_B93).image_B3HW
    begun = replace(some, albedo_BA=torch.zeros_like(some.albedo_BA), light_B93=grey_light(1, 0.7))
    names = ("albedo_BA", "light_B93")
    fit = fit_latents(networks, face, image, surface.alpha_B1HW, begun, free=names, steps=60, rate=0.05)
    before = fit_latents(networks, face, image, surface.alpha_B1HW, begun, free=names, steps=0)
    assert fit.error_B < 0.5 * before.error_B
    assert torch.equal(fit.codes.shape_BS, begun.shape_BS)  # what is not free stays
