"""The ID-MRF loss against its formula written out in numpy, and in the ways it could break."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from deca_training.losses import id_mrf
from deca_training.losses.id_mrf import LAYERS, id_mrf_loss, mrf_distance

FORMS = ("paper", "release")


def slow_distance(found_CHW: np.ndarray, wanted_CHW: np.ndarray, form: str) -> float:
    """Wang et al. 2018, Eqs. 2 to 4, one pair of places at a time."""
    _, height, width = wanted_CHW.shape
    places = list(np.ndindex(height, width))

    def centred(features: np.ndarray, y: int, x: int) -> np.ndarray:
        if form == "paper":
            return features[:, y, x] - np.mean([wanted_CHW[:, r, c] for r, c in places], axis=0)
        return features[:, y, x] - np.mean(wanted_CHW[:, y, x])

    distance = np.zeros((len(places), len(places)))
    for i, v in enumerate(places):
        for j, s in enumerate(places):
            a, b = centred(found_CHW, *v), centred(wanted_CHW, *s)
            distance[i, j] = (1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) / 2
    similarity = np.zeros_like(distance)
    for i in range(len(places)):
        relative = np.exp((1 - distance[i] / (distance[i].min() + 1e-5)) / 0.5)
        similarity[i] = relative / relative.sum()
    return -np.log(np.mean([similarity[:, j].max() for j in range(len(places))]))


def features(seed: int, batch: int = 2) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    wanted = torch.rand(batch, 6, 3, 4, generator=random, dtype=torch.float64)
    return wanted + 0.3 * torch.randn(wanted.shape, generator=random, dtype=torch.float64), wanted


@pytest.mark.parametrize("form", FORMS)
def test_distance_equals_the_formula(form: str) -> None:
    found, wanted = features(0)
    expected = np.mean([slow_distance(a.numpy(), b.numpy(), form) for a, b in zip(found, wanted, strict=True)])
    assert float(mrf_distance(found, wanted, form)) == pytest.approx(expected, rel=1e-9)


def test_forms_differ() -> None:
    assert abs(mrf_distance(*features(0), "paper") - mrf_distance(*features(0), "release")) > 1e-3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", [1 << 22, 40])
def test_gradients_equal_finite_differences(form: str, table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when only a few rows of similarities are held at a time (40: three of twelve)."""
    monkeypatch.setattr(id_mrf, "LARGEST_TABLE", table)
    found, wanted = features(1, batch=1)
    assert torch.autograd.gradcheck(lambda f: mrf_distance(f, wanted, form), [found.requires_grad_()])


def test_parts_of_the_table_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for table in (1 << 22, 40, 1):
        monkeypatch.setattr(id_mrf, "LARGEST_TABLE", table)
        found, wanted = features(2)
        loss = mrf_distance(found.requires_grad_(), wanted, "release")
        loss.backward()
        results.append((loss.detach(), found.grad))
    for loss, gradient in results[1:]:
        assert torch.allclose(loss, results[0][0], rtol=1e-12)
        assert torch.allclose(gradient, results[0][1], rtol=1e-9, atol=1e-12)


def test_same_features_are_at_distance_zero() -> None:
    _, wanted = features(3)
    assert mrf_distance(wanted, wanted, "release") == pytest.approx(0, abs=1e-9)
    assert mrf_distance(wanted.flip(-1), wanted, "paper") == pytest.approx(0, abs=1e-9)  # places do not matter


@pytest.mark.parametrize("form", FORMS)
def test_features_without_direction_are_harmless(form: str) -> None:
    """A photo that shows nothing: the same features everywhere, none different from their mean."""
    found = torch.zeros(1, 4, 3, 3, requires_grad=True)
    loss = mrf_distance(found, torch.zeros(1, 4, 3, 3), form)
    loss.backward()
    assert torch.isfinite(loss) and found.grad is not None and not found.grad.any()


def test_half_precision_is_computed_in_float32() -> None:
    found, wanted = (tensor.half() for tensor in features(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = mrf_distance(found, wanted, "release")
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(mrf_distance(found.double(), wanted.double(), "release")), rel=1e-3)


def test_target_gets_no_gradient() -> None:
    found, wanted = features(5)
    wanted.requires_grad_()
    mrf_distance(found.requires_grad_(), wanted, "paper").backward()
    assert wanted.grad is None


class Pools(torch.nn.Module):
    """Stands for VGG: averaged pictures."""

    def forward(self, image_B3HW: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        self.asked = layers
        return {layer: torch.nn.functional.avg_pool2d(image_B3HW, 1 + index) for index, layer in enumerate(layers)}


@pytest.mark.parametrize("form", FORMS)
def test_loss_weighs_the_layers(form: str) -> None:
    """Factor 1 on the third block, 2 on the fourth (Eq. 13), whatever the layer within."""
    network, random = Pools(), torch.Generator().manual_seed(0)
    rendering, photo = torch.rand(2, 2, 3, 6, 6, generator=random, dtype=torch.float64)
    first = mrf_distance(rendering, photo, form)
    second = mrf_distance(*(torch.nn.functional.avg_pool2d(x, 2) for x in (rendering, photo)), form)
    assert torch.allclose(id_mrf_loss(network, rendering, photo, form), first + 2 * second)
    assert network.asked == tuple(LAYERS[form])
    assert [layer[:5] for layer in network.asked] == ["relu3", "relu4"]
