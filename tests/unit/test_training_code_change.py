"""F_d reads new codes: people whose maps an F_d made from other codes, which are known."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deca.head import load_head
from deca.networks import CodeSizes, DetailDecoder
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca_training.closed_form import code_change

DETAIL, PEOPLE = 5, 40


class People(list):  # as `SyntheticSubjects` is
    """People with maps."""

    @property
    def paths(self) -> list[Path]:
        """Their names."""
        return [Path(f"{number:08d}.npz") for number in range(len(self))]


def test_new_codes_say_what_the_old_ones_said(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    decoder = DetailDecoder(CodeSizes(detail=DETAIL)).eval()
    layer = decoder.l1[0]
    assert isinstance(layer, torch.nn.Linear)
    with torch.no_grad():
        layer.weight[:, 53:] *= 0.05  # so little that the answer is nearly linear
    old = torch.randn(PEOPLE, DETAIL)
    old -= old.mean(0)
    at_rest = torch.zeros(PEOPLE, 50), torch.zeros(PEOPLE, 3)
    with torch.no_grad():
        maps = decoder(old + 0.3, *at_rest)[:, 0]  # the codes of nobody lie elsewhere, too
    components = np.linalg.svd(old.numpy(), full_matrices=False)[0] * np.linspace(1, 0.3, DETAIL) * PEOPLE**0.5
    people = People(SimpleNamespace(neutral_displacement_HW=map_HW.numpy()) for map_HW in maps)
    codes = {path.stem: code.astype(np.float32) for path, code in zip(people.paths, components, strict=True)}
    monkeypatch.setattr(code_change, "subject_codes", lambda subjects, length: codes)
    monkeypatch.setattr(code_change, "_RIDGE", 1e-6)
    new = torch.from_numpy(np.stack(list(codes.values())))
    skin = uv_mask(load_head(), DETAIL_MASK, 256) > 0.5

    def left(network: DetailDecoder) -> float:
        """The share of the maps' squares that is not explained."""
        with torch.no_grad():
            made = network(new, *at_rest)[:, 0]
        usual = maps.mean(0)
        return float(((made - maps)[:, skin] ** 2).sum() / ((maps - usual)[:, skin] ** 2).sum())

    before, weight = copy.deepcopy(decoder), layer.weight.clone()
    code_change.read_codes_of(decoder, people, load_head(), DETAIL)  # type: ignore[arg-type]
    assert left(before) > 0.5 and left(decoder) < 0.02
    # The expression's and the jaw's part is as it was.
    torch.testing.assert_close(layer.weight[:, :53], weight[:, :53])
