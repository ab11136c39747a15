"""The skin laid out by landmarks. Oracles: the head model's own texture space, and pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca.errors import OptionError
from deca.head import HeadModel, load_head
from deca.head.layer import HeadLayer
from deca.networks import DetailEncoder
from deca.networks.encoders import SKIN
from deca.networks.skin import SkinBackbone
from deca.render.detail import detail_patch
from deca.render.uv import world2uv
from deca_training.skin import place_skin

MIDDLE, SCALE = 112.0, 800.0  # pixels, pixels per metre


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def backbone(head: HeadModel) -> SkinBackbone:
    backbone = SkinBackbone()
    place_skin(backbone, head)
    return backbone


def turned(head: HeadModel, degrees: float, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (1, V, 3) of somebody on a crop, pixels with z towards the camera, and the landmarks (1, 478, 3)."""
    rng = torch.Generator().manual_seed(seed)
    layer = HeadLayer(head, 100, 50)
    shape, expression = 0.8 * torch.randn(1, 100, generator=rng), 0.5 * torch.randn(1, 50, generator=rng)
    pose = torch.zeros(1, 5, 3)
    pose[0, 0, 1] = np.radians(degrees)
    verts = layer(shape, expression, pose)
    centre = verts.mean(1, keepdim=True)

    def on_crop(points: torch.Tensor) -> torch.Tensor:
        return (points - centre) * torch.tensor([SCALE, -SCALE, SCALE]) + torch.tensor([MIDDLE, MIDDLE, 0])

    return on_crop(verts), on_crop(layer.landmarks_478(verts))


@pytest.mark.parametrize("degrees", [0, 30])
def test_texels_are_where_the_head_has_them(head: HeadModel, backbone: SkinBackbone, degrees: float) -> None:
    """A picture whose colours are its pixels' positions: laid out, it says where each texel was looked up."""
    verts, landmarks = turned(head, degrees)
    rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    true = world2uv(verts, head, 256)[0, :2][..., *detail_patch(head, 256)]
    size = len(backbone.skin_NN)
    true_2NN = torch.nn.functional.interpolate(true[None], (size, size), mode="bilinear", antialias=True)[0]
    for axis, pixels in enumerate((columns, rows)):
        picture = (pixels / 224).expand(1, 3, -1, -1)
        light, seen = backbone.laid_out(picture, landmarks[..., :2])
        sure = seen[0, 0] > 0.99
        assert sure.float().mean() > 0.3
        # `laid_out` takes the logarithm's mean away, which the sure texels' differences do not see.
        found, wanted = light[0, 0][sure], torch.log((true_2NN[axis][sure] - 0.5) / 224 + 0.05)
        error = (found - found.median()) - (wanted - wanted.median())
        pixels_off = error.abs() * ((wanted.exp()) * 224)
        assert pixels_off.quantile(0.9) < 3.5  # of a face of 120


def test_what_looks_away_is_not_seen(head: HeadModel, backbone: SkinBackbone) -> None:
    _, landmarks = turned(head, 50)
    _, seen = backbone.laid_out(torch.rand(1, 3, 224, 224), landmarks[..., :2])
    _, straight = backbone.laid_out(torch.rand(1, 3, 224, 224), turned(head, 0)[1][..., :2])
    half = seen.shape[-1] // 2
    left, right = seen[..., :half].sum(), seen[..., half:].sum()
    assert min(left, right) < 0.6 * max(left, right)
    assert straight.sum() > seen.sum()
    assert straight[..., :half].sum() == pytest.approx(float(straight[..., half:].sum()), rel=0.2)


def test_features_do_not_depend_on_brightness_but_on_wrinkles(head: HeadModel, backbone: SkinBackbone) -> None:
    landmarks = turned(head, 0)[1][..., :2]
    rows = torch.arange(224.0)[:, None].expand(224, 224)
    smooth = torch.full((1, 3, 224, 224), 0.4)
    lined = smooth * (1 + 0.1 * torch.sin(rows))
    plain, brighter, wrinkled = (backbone(picture, landmarks) for picture in (smooth, 1.5 * smooth, lined))
    away = (wrinkled - plain).norm()
    assert (brighter - plain).norm() < 0.1 * away
    assert (backbone(1.5 * lined, landmarks) - wrinkled).norm() < 0.2 * away


def test_the_encoder_needs_landmarks(head: HeadModel) -> None:
    encoder = DetailEncoder(SKIN)
    with pytest.raises(OptionError, match="landmarks"):
        encoder(torch.rand(1, 3, 224, 224))
    place_skin(encoder.encoder, head)  # type: ignore[arg-type]
    landmarks = turned(head, 10)[1]
    with torch.no_grad():
        assert torch.equal(encoder(torch.full((1, 3, 224, 224), 0.3), landmarks), encoder(
            torch.full((1, 3, 224, 224), 0.3), landmarks[..., :2]
        ))  # fmt: skip
