"""Losses of the nonlinear face model: values by hand, what they leave alone, gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from deca_training.features.early import EarlyFaceFeatures
from deca_training.losses.albedo_constancy import ALPHA, POWER, albedo_constancy_loss
from deca_training.losses.albedo_symmetry import albedo_symmetry_loss
from deca_training.losses.known_codes import known_codes_loss
from deca_training.losses.pairings import pairings
from deca_training.losses.reconstruction import l21_loss, perceptual_loss
from deca_training.losses.residual import residual_loss
from deca_training.losses.residual_symmetry import residual_symmetry_loss
from deca_training.losses.shape_smoothness import shape_smoothness_loss
from tests.unit.test_nonlinear import codes


def texels(*colours: tuple[float, float, float]) -> Tensor:
    """A row of texels (1, 3, 1, W)."""
    return torch.tensor(colours).T[None, :, None]


def test_l21_by_hand() -> None:
    """Eq. 4: lengths 0.5 and 0.13, the third texel is not seen."""
    photo = texels((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0))
    found = texels((0.4, 0.2, 0.7), (0.5, 0.55, 0.62), (9.0, 0.0, 0.0))
    seen = torch.tensor([[[[1.0, 1.0, 0.0]]]])
    assert float(l21_loss(found, photo, seen)) == pytest.approx((0.5 + 0.13) / 2, abs=1e-5)
    assert float(l21_loss(found, photo, torch.zeros_like(seen))) == 0


def test_l21_has_a_gradient_where_nothing_is_off() -> None:
    photo = torch.rand(1, 3, 4, 4)
    found = photo.clone().requires_grad_()
    l21_loss(found, photo, torch.ones(1, 1, 4, 4)).backward()
    assert found.grad is not None and found.grad.isfinite().all()


class Two:
    """Features that are known: the picture itself, and twice its columns' means."""

    def __call__(self, image_B3HW: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        found = {"same": image_B3HW, "twice": 2 * image_B3HW.mean(-1, keepdim=True)}
        return {layer: found[layer] for layer in layers}


def test_perceptual_by_hand() -> None:
    """Eq. 5: `same` differs by 0.3 at one of six numbers, `twice` by 2 * 0.15 at one of three."""
    photo, found = texels((0, 0, 0), (0, 0, 0)), texels((0.3, 0, 0), (0, 0, 0))
    seen = torch.ones(1, 1, 1, 2)
    expected = (0.09 / 6 + 0.09 / 3) / 2
    assert float(perceptual_loss(Two(), ("same", "twice"), found, photo, seen)) == pytest.approx(expected)
    assert float(perceptual_loss(Two(), ("same",), found, photo, 0 * seen)) == 0


def test_early_features_are_the_landmark_network_s() -> None:
    network = EarlyFaceFeatures()
    image = torch.rand(1, 3, 64, 48, requires_grad=True)
    found = network(image, ("block1", "block2"))
    assert found["block1"].shape == (1, 16, 32, 24) and found["block2"].shape == (1, 32, 16, 12)
    assert torch.equal(network(image, ("block2",))["block2"], found["block2"])
    assert not any(parameter.requires_grad for parameter in network.parameters())
    # A blurred picture is told from a sharp one: that is what the loss is for.
    blurred = torch.nn.functional.avg_pool2d(image, 3, 1, 1)
    far = perceptual_loss(network, network.layers, blurred, image, torch.ones(1, 1, 64, 48))
    near = perceptual_loss(network, network.layers, image + 0.01, image, torch.ones(1, 1, 64, 48))
    assert far > 20 * near
    far.backward()
    assert image.grad is not None and image.grad.any()


def test_pairs_are_the_three_and_never_both_true() -> None:
    """Eq. 15."""
    assert pairings("S", "S~", "A", "A~") == [("S~", "A~"), ("S~", "A"), ("S", "A~")]
    assert pairings("S", "S", "A", "A") == [("S", "A")]  # without proxies


def test_albedo_symmetry_by_hand() -> None:
    """Eq. 8: columns 0 and 2 differ by 0.3 in one colour; the middle is its own mirror image."""
    albedo = texels((0.5, 0.5, 0.5), (0.9, 0.1, 0.0), (0.8, 0.5, 0.5))
    skin = torch.ones(1, 3)
    assert float(albedo_symmetry_loss(albedo, skin)) == pytest.approx(2 * 0.1 / 3)
    assert float(albedo_symmetry_loss(albedo, torch.tensor([[0.0, 1.0, 0.0]]))) == 0


def test_albedo_constancy_by_hand() -> None:
    """Eq. 9 on a row of three: the first two have one chromaticity, the third has another, whose weight is
    exp(-alpha |c - c'|)."""
    photo = texels((0.2, 0.2, 0.2), (0.8, 0.8, 0.8), (0.8, 0.6, 0.6))
    albedo = texels((0.5, 0.5, 0.5), (0.5, 0.9, 0.5), (0.5, 0.9, 0.8))
    seen = torch.ones(1, 1, 1, 3)
    grey, red = torch.full((3,), 1 / math.sqrt(3)), torch.tensor([0.8, 0.6, 0.6]) / math.sqrt(1.36)
    weight = math.exp(-ALPHA * float((grey - red).norm()))
    assert 0.05 < weight < 0.2
    expected = (0.4**POWER + weight * 0.3**POWER) / 2
    assert float(albedo_constancy_loss(albedo, photo, seen)) == pytest.approx(expected, rel=1e-2)
    # A pair counts only where both are seen.
    seen[..., 1] = 0
    assert float(albedo_constancy_loss(albedo, photo, seen)) == 0


def test_albedo_constancy_knows_both_directions() -> None:
    across = texels((0.5, 0.5, 0.5), (0.5, 0.9, 0.5))
    ones = torch.ones(1, 1, 1, 2)
    grey = torch.full_like(across, 0.5)
    assert float(albedo_constancy_loss(across, grey, ones)) == pytest.approx(
        float(albedo_constancy_loss(across.mT, grey.mT, ones.mT))
    )


def test_shape_smoothness_by_hand() -> None:
    """Eq. 10: one texel of nine stands out by 3 mm along x and 4 mm along z; a plane costs nothing."""
    bump = torch.zeros(1, 3, 3, 3)
    bump[0, :, 1, 1] = torch.tensor([0.003, 0.0, 0.004])
    assert float(shape_smoothness_loss(bump, torch.ones(3, 3))) == pytest.approx(5.0, rel=1e-4)
    row, column = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")
    plane = torch.stack((row, column, 2 * row - column))[None] * 1e-3
    assert float(shape_smoothness_loss(plane, torch.ones(5, 5))) < 1e-3


def test_residual_by_hand() -> None:
    """Eq. 14 on one texel: 2 mm are 0.2 cm of one of three axes; 0.3 of one of three colours."""
    nothing = torch.zeros(1, 3, 1, 1)
    shape, albedo = nothing.clone(), nothing.clone()
    shape[0, 0], albedo[0, 2] = 0.002, 0.3
    skin = torch.ones(1, 1)
    assert float(residual_loss(shape, nothing, albedo, nothing, skin)) == pytest.approx((0.2 + 0.3) / 3)
    assert float(residual_loss(shape, shape, albedo, albedo, skin)) == 0


def test_residual_symmetry_by_hand() -> None:
    """Eq. 16: depth alone, where the normal faces away, and the side that is seen learns nothing."""
    residual = torch.zeros(1, 3, 1, 4)
    residual[0, 2, 0] = torch.tensor([0.003, 0.001, 0.0, 0.001])
    residual[0, :2] = torch.rand(2, 1, 4)  # x and y do not count
    residual.requires_grad_()
    normals = torch.zeros(1, 3, 1, 4)
    normals[0, 2, 0] = torch.tensor([1.0, 1.0, 0.0, -0.5])  # the right half is hidden
    loss = residual_symmetry_loss(residual, normals, torch.ones(1, 4))
    # Millimetres: |0 - 1| and |1 - 3|, over four texels.
    assert float(loss.detach()) == pytest.approx(3 / 4)
    loss.backward()
    assert residual.grad is not None
    assert not residual.grad[0, 2, 0, :2].any() and residual.grad[0, 2, 0, 2:].all()
    assert not residual.grad[0, :2].any()


def test_known_codes_by_hand() -> None:
    """The leading entries count; small errors by half their square in spreads, large ones linearly; a mean of seven."""
    found, known = codes(1), codes(1)
    assert float(known_codes_loss(found, known)) == 0
    known.shape_BS[0, 0] += 0.5
    shorter = replace(known, shape_BS=known.shape_BS[:, :10])
    assert float(known_codes_loss(found, shorter)) == pytest.approx(0.5 * 0.25 / 10 / 7)
    turned = codes(1)
    turned.jaw_pose_B3[0, 1] += 0.3  # three spreads
    assert float(known_codes_loss(found, turned)) == pytest.approx((3 - 0.5) / 3 / 7, rel=1e-4)


@pytest.mark.parametrize("name", ["l21", "symmetry", "constancy", "smoothness", "residual"])
def test_gradients(name: str) -> None:
    source = torch.Generator().manual_seed(3)
    found, other = (torch.rand(2, 3, 4, 4, generator=source, dtype=torch.float64) for _ in range(2))
    seen = torch.rand(2, 1, 4, 4, generator=source, dtype=torch.float64)
    losses = {
        "l21": lambda x: l21_loss(x, other, seen),
        "symmetry": lambda x: albedo_symmetry_loss(x, seen[0, 0]),
        "constancy": lambda x: albedo_constancy_loss(x, other, seen),
        "smoothness": lambda x: shape_smoothness_loss(x, seen[0, 0]),
        "residual": lambda x: residual_loss(x, other, other, x, seen[0, 0]),
    }
    assert torch.autograd.gradcheck(losses[name], (found.requires_grad_(),))
