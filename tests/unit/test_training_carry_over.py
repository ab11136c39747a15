"""Weights carried over to another head: one that is the first in other words has to look the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from deca.appearance.albedo import AlbedoModel, load_albedo
from deca.errors import AssetError
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.networks import Card, Checkpoint, Codes, CodeSizes, random_checkpoint, save_checkpoint
from deca.render.camera import crop_pixels, project
from deca_training.carry_over import carry_over

SIZES = CodeSizes(shape=20, albedo=6, expression=50, detail=16)
SCALE, SHIFT = 1.04, np.array((0.001, -0.004, 0.002))


def other_words(size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """An invertible change of coefficients."""
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return turn * rng.uniform(0.6, 1.6, size)


@pytest.fixture(scope="module")
def old() -> tuple[HeadModel, AlbedoModel]:
    head, albedo = load_head(), load_albedo()
    cut = replace(head, shape_dirs_V3S=head.shape_dirs_V3S[..., : SIZES.shape])
    return cut, albedo


@pytest.fixture(scope="module")
def new(old: tuple[HeadModel, AlbedoModel]) -> tuple[HeadModel, AlbedoModel]:
    """The old head with coefficients mixed, another mean of its span, larger and elsewhere, its UV map turned over."""
    head, albedo = old
    rng = np.random.default_rng(4)
    shapes, expressions, albedos = (other_words(n, rng) for n in (SIZES.shape, SIZES.expression, SIZES.albedo))
    template_V3 = head.template_V3 + head.shape_dirs_V3S @ rng.normal(size=SIZES.shape)
    assert head.arkit_map_K52 is not None
    units_KW = head.arkit_map_K52.astype(np.float64)
    units_KW[: SIZES.expression] = np.linalg.inv(expressions) @ units_KW[: SIZES.expression]
    head = replace(
        head,
        hash="a" * 16,
        template_V3=(template_V3 - SHIFT) / SCALE,
        shape_dirs_V3S=head.shape_dirs_V3S @ shapes / SCALE,
        expression_dirs_V3E=head.expression_dirs_V3E[..., : SIZES.expression] @ expressions / SCALE,
        pose_dirs_V3P=head.pose_dirs_V3P / SCALE,
        arkit_map_K52=units_KW,
        uv_T2=head.uv_T2 * (1, -1) + (0, 1),
        masks={name: mask_NN[::-1] for name, mask_NN in head.masks.items()},
    )
    maps_AHW3 = np.concatenate([maps.detach().numpy().reshape(-1, 3, 256, 256).transpose(0, 2, 3, 1)
                                for maps in (albedo.mean_X[None], albedo.basis_AX[: SIZES.albedo])])  # fmt: skip
    maps_AHW3 = maps_AHW3[:, ::-1]
    basis_AHW3 = np.tensordot(albedos.T, maps_AHW3[1:], 1)
    mean_HW3 = maps_AHW3[0] + np.tensordot(rng.normal(size=SIZES.albedo), maps_AHW3[1:], 1)
    return head, AlbedoModel(mean_HW3, basis_AHW3, name="new", head_hash=head.hash)


@pytest.fixture(scope="module")
def weights(old: tuple[HeadModel, AlbedoModel], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that say something: codes of about the size that real ones have."""
    path = tmp_path_factory.mktemp("old") / "weights.safetensors"
    checkpoint = random_checkpoint(0, Card.of(old[0], backbone="mobilenet_v3_large", sizes=SIZES))
    last = checkpoint.coarse_encoder.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    generator = torch.Generator().manual_seed(1)
    size = torch.cat([torch.full((count,), spread) for count, spread in
                      zip(SIZES.coarse, (1.0, 1.0, 0.7, 0.2, 0.01, 0.1), strict=True)])  # fmt: skip
    with torch.no_grad():
        last.bias.copy_(size * torch.randn(len(size), generator=generator))
        last.bias[sum(SIZES.coarse[:4])] = 8.0
        last.weight.copy_(3 * size[:, None] * torch.randn(last.weight.shape, generator=generator) / 1024**0.5)
    save_checkpoint(checkpoint, path)
    return path


def answers(checkpoint: Checkpoint, head: HeadModel, images: torch.Tensor) -> tuple[Codes, torch.Tensor]:
    """E_c's codes, and the vertices on the crops, pixels."""
    with torch.no_grad():
        codes = Codes.split(checkpoint.coarse_encoder(images), SIZES)
        verts = HeadLayer(head, SIZES.shape, SIZES.expression)(codes.shape_BS, codes.expression_BE, codes.pose_BJ3)
    return codes, crop_pixels(project(verts, codes.camera_B3))


def vertex_colours(head: HeadModel, map_HW3: NDArray) -> NDArray:
    uv_V2 = np.zeros((head.num_verts, 2))
    uv_V2[head.faces_F3] = head.uv_T2[head.uv_faces_F3]
    places = np.stack((1 - uv_V2[:, 1], uv_V2[:, 0])) * 256 - 0.5
    return np.stack([map_coordinates(map_HW3[..., c], places, order=1) for c in range(3)], 1)


def test_the_same_faces_and_wrinkles(
    old: tuple[HeadModel, AlbedoModel], new: tuple[HeadModel, AlbedoModel], weights: Path
) -> None:
    from deca.networks import load_checkpoint

    before, after = load_checkpoint(weights), carry_over(weights, *old, *new)
    images = torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    (was, was_at), (now, now_at) = answers(before, old[0], images), answers(after, new[0], images)
    assert (was_at - was_at[:1]).abs().max() > 3  # different faces
    off = (now_at - was_at).norm(dim=-1)  # of 224 pixels
    assert float(off.mean()) < 0.04 and float(off.max()) < 0.2
    assert (now.shape_BS - was.shape_BS).abs().max() > 0.5 and (now.expression_BE - was.expression_BE).abs().max() > 0.5
    torch.testing.assert_close((now.light_B93, now.global_pose_B3), (was.light_B93, was.global_pose_B3))
    for k in range(4):
        colours = [
            vertex_colours(head, albedo(codes.albedo_BA)[k].permute(1, 2, 0).numpy())
            for (head, albedo), codes in ((old, was), (new, now))
        ]
        assert np.abs(colours[0] - colours[1]).max() < 1e-3
    detail = torch.randn(4, SIZES.detail)
    with torch.no_grad():
        maps = [one.detail_decoder(detail, codes.expression_BE, codes.jaw_pose_B3)
                for one, codes in ((before, was), (after, now), (before, now))]  # fmt: skip
    spread = float((maps[0] - maps[0].mean(0)).abs().max())
    assert float((maps[1] - maps[0]).abs().max()) < 1e-3 * spread
    assert float((maps[2] - maps[0]).abs().max()) > 0.1 * spread  # new codes mean nothing to the old F_d


def test_the_shape_encoder_says_the_same_head(
    old: tuple[HeadModel, AlbedoModel], new: tuple[HeadModel, AlbedoModel], weights: Path, tmp_path: Path
) -> None:
    from deca.networks import ShapeEncoder, load_checkpoint
    from deca_training.closed_form.shape_encoder import with_shape_encoder

    torch.manual_seed(0)
    encoder = ShapeEncoder(SIZES.shape)
    torch.nn.init.normal_(encoder.layer.weight, std=0.01)
    save_checkpoint(with_shape_encoder(load_checkpoint(weights), encoder), tmp_path / "old.safetensors")
    after = carry_over(tmp_path / "old.safetensors", *old, *new).shape_encoder
    assert after is not None
    inputs_BX = torch.randn(8, encoder.layer.in_features)
    heads = [
        head.template_V3 + np.tensordot(one.layer(inputs_BX).detach().numpy(), head.shape_dirs_V3S, (1, 2))
        for (head, _), one in ((old, encoder), (new, after))
    ]
    for was_V3, now_V3 in zip(*heads, strict=True):
        assert np.linalg.norm(now_V3 * SCALE + SHIFT - was_V3, axis=1).mean() < 1e-4, "a tenth of a millimetre"
    assert np.abs(heads[0][0] - heads[0][1]).max() > 2e-3, "different people"


def test_the_card_says_where_they_come_from(
    old: tuple[HeadModel, AlbedoModel], new: tuple[HeadModel, AlbedoModel], weights: Path
) -> None:
    import hashlib

    card = carry_over(weights, *old, *new).card
    assert card.head_hash == new[0].hash and not card.metrics and not card.shape_encoder
    assert hashlib.sha256(weights.read_bytes()).hexdigest()[:16] in card.recipe and old[0].hash in card.recipe


def test_models_that_do_not_belong_together(
    old: tuple[HeadModel, AlbedoModel], new: tuple[HeadModel, AlbedoModel], weights: Path
) -> None:
    with pytest.raises(AssetError, match="another version of openhead"):
        carry_over(weights, *new, *old)
    with pytest.raises(AssetError, match="another head model"):
        carry_over(weights, old[0], new[1], *new)
