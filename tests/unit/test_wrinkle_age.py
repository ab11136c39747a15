"""How wrinkles change with age: in the weights file, in maps, with a photo's relief; and how that is measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from deca.assets import asset
from deca.errors import AssetError, OptionError
from deca.head import load_head
from deca.networks import Card, Networks, load_checkpoint, random_checkpoint, save_checkpoint
from deca.reconstruct.models import Models
from deca.reconstruct.moving_relief import MovingRelief
from deca.reconstruct.relief import Relief
from deca.render.detail import applied_displacement
from deca_training.closed_form import age as measured

HEAD = load_head()
CARD = Card.of(HEAD, backbone="mobilenet_v3_large")
BUILTIN = asset("weights/openhead.safetensors")


def test_a_file_knows_age_or_not(tmp_path: Path) -> None:
    plain, knowing = (tmp_path / name for name in ("plain.safetensors", "knowing.safetensors"))
    checkpoint, direction_D = random_checkpoint(0, CARD), torch.linspace(-1, 1, 128)
    save_checkpoint(checkpoint, plain)
    save_checkpoint(replace(checkpoint, age_D=direction_D), knowing, torch.float16)
    assert load_checkpoint(plain).age_D is None and Networks.load(plain).age_D is None
    found_D = Networks.load(knowing).age_D
    assert found_D is not None and torch.equal(found_D, direction_D)
    assert set(load_file(knowing)) - set(load_file(plain)) == {"age.direction"}
    with safe_open(str(knowing), "pt") as file:
        metadata = file.metadata()
    for wrong_X in (torch.zeros(127), torch.full((128,), torch.nan)):
        save_file(load_file(knowing) | {"age.direction": wrong_X}, knowing, metadata)
        with pytest.raises(AssetError, match=r"age\.direction"):
            load_checkpoint(knowing)


def test_age_moves_the_code() -> None:
    direction_D, code_1D = torch.randn(128), torch.randn(1, 128)
    rest = torch.zeros(1, 50), torch.zeros(1, 3)
    knowing = Models(HEAD, Networks(replace(random_checkpoint(1, CARD), age_D=direction_D)))
    network = random_checkpoint(1, CARD).detail_decoder
    with torch.no_grad():
        expected = applied_displacement(network(code_1D - 0.6 * direction_D, *rest), HEAD)
        plain = applied_displacement(network(code_1D, *rest), HEAD)
    assert torch.allclose(knowing.displacement(code_1D, *rest, age=-0.6), expected, atol=1e-7)
    assert torch.allclose(knowing.displacement(code_1D, *rest), plain, atol=1e-7) and not torch.allclose(
        plain, expected
    )
    unknowing = Models(HEAD, Networks(random_checkpoint(1, CARD)))
    assert torch.equal(unknowing.displacement(code_1D, *rest, age=0), knowing.displacement(code_1D, *rest))
    with pytest.raises(OptionError, match="do not know"):
        unknowing.displacement(code_1D, *rest, age=1.0)


@pytest.mark.parametrize("first", [-0.8, 0.0, 1.2])
def test_a_photo_s_lines_deepen_with_age_and_never_flip(first: float) -> None:
    """Lines of the forehead, of the built-in weights, on people with smooth to deep wrinkles."""
    models = Models(HEAD, Networks.load(BUILTIN))
    rows_HW = np.arange(256)[:, None] + np.zeros(256)
    relief = Relief(np.float32(-2e-4 * np.exp(-0.5 * ((rows_HW - 78) / 2) ** 2)), np.ones((256, 256), np.float32))
    codes = torch.zeros(1, 128), torch.zeros(1, 50), torch.zeros(1, 3)
    codes[0][0, 0] = first
    worn = [(MovingRelief.of(relief, models.displacement(*codes), HEAD), 1.0)]
    lines = [models.displacement(*codes, worn, age)[0, 0, 78, 110:146] for age in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    assert all((one < before).all() for before, one in pairwise(lines))  # deeper is more negative
    assert lines[0].max() < -0.2e-4 and torch.allclose(lines[2], torch.full((36,), -2e-4), atol=1e-5)
    assert 1.1 < float(lines[4].mean() / lines[2].mean()) < 2.1


@pytest.mark.parametrize("first", [-1.5, -0.8, 0.0, 1.2])
def test_younger_is_smoother_also_without_a_photo_s_lines(first: float) -> None:
    models = Models(HEAD, Networks.load(BUILTIN))
    codes = torch.zeros(1, 128), torch.zeros(1, 50), torch.zeros(1, 3)
    codes[0][0, 0] = first
    maps = [models.displacement(*codes, age=age)[0, 0] for age in (-1.0, 0.0, 1.0)]
    assert maps[0].std() < maps[1].std() < maps[2].std()
    deep_HW = maps[1] < -0.3 * maps[1].abs().max()
    assert deep_HW.any() and maps[0][deep_HW].max() < 0.1 * maps[1].abs().max()


class Shy(torch.nn.Module):
    """An E_d that says a third of what a person is, and an F_d that deepens by e for each unit along an axis."""

    reads_landmarks = False

    def __init__(self, axis_D: torch.Tensor, pattern_HW: torch.Tensor) -> None:
        super().__init__()
        self.axis_D, self.pattern_HW = axis_D, pattern_HW

    def forward(self, image_13HW: torch.Tensor, *codes: torch.Tensor | None) -> torch.Tensor:
        if codes[0] is None:
            return (image_13HW.mean() - 0.3)[None, None] * self.axis_D
        return 1e-4 * torch.exp(image_13HW @ self.axis_D)[:, None, None, None] * self.pattern_HW


def test_twenty_years_deepen_what_f_d_makes_as_they_deepen_people() -> None:
    random = np.random.default_rng(0)
    axis_D = torch.from_numpy(random.normal(size=128)).float()
    axis_D /= axis_D.norm()
    pattern_HW = torch.from_numpy(random.normal(size=(256, 256))).float()
    people = [
        SimpleNamespace(
            age=age,
            image_KHW3=np.full((1, 224, 224, 3), round(2 * age), np.uint8),
            neutral_displacement_HW=np.exp(0.03 * age) * 1e-5 * pattern_HW.numpy(),
        )
        for age in random.uniform(20, 80, 30)
    ]
    shy = Shy(axis_D, pattern_HW)
    checkpoint = SimpleNamespace(card=CARD, detail_encoder=shy, detail_decoder=shy)
    ageing = measured.age_direction(checkpoint, people)  # type: ignore[arg-type]
    assert ageing.deeper == pytest.approx(np.exp(0.6), rel=1e-4) and ageing.correlation > 0.99
    assert torch.allclose(ageing.direction_D, 0.6 * axis_D, atol=1e-3)
    with pytest.raises(AssetError, match="people"):
        measured.age_direction(checkpoint, people[:5])  # type: ignore[arg-type]
    for person in people:
        person.neutral_displacement_HW = pattern_HW.numpy() / person.age
    with pytest.raises(AssetError, match="do not deepen"):
        measured.age_direction(checkpoint, people)  # type: ignore[arg-type]
