"""What the built-in E_d reads and F_d draws: depth; brows deepen the forehead alone; smooth skin stays smooth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deca.assets import asset
from deca.head import HeadModel, load_head
from deca.networks import load_checkpoint
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca.vision.landmarks import LandmarkNet
from deca_training.data.dataset import pictures
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.generate import generate
from deca_training.data.synthetic.person import Person
from deca_training.data.synthetic.seen import found_landmarks

_BROWS_UP = ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def maps(head: HeadModel, depth: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """D at rest and with raised brows, metres, of a person with so deep wrinkles (the first component)."""
    decoder = load_checkpoint(asset("weights/openhead.safetensors")).detail_decoder
    assert head.arkit_map_K52 is not None
    expression_E = head.arkit_map_K52[:50, [head.arkit_names.index(name) for name in _BROWS_UP]].sum(1)
    detail_2D = torch.zeros(2, 128)
    detail_2D[:, 0] = depth
    expression_2E = torch.from_numpy(np.stack((np.zeros(50), expression_E)).astype(np.float32))
    with torch.no_grad():
        rest_HW, raised_HW = decoder(detail_2D, expression_2E, torch.zeros(2, 3))[:, 0].numpy()
    return rest_HW, raised_HW


@pytest.mark.parametrize("depth", [-1.0, 0.0, 1.5])
def test_brows_deepen_the_forehead_alone(head: HeadModel, depth: float) -> None:
    rest_HW, raised_HW = maps(head, depth)
    typical_CHW = np.abs(Person.make(head, 3, 45, variety=0).wrinkles_CHW)
    forehead_HW = typical_CHW[:5].sum(0) > 0.2 * typical_CHW[:5].sum(0).max()
    skin_HW = (uv_mask(head, DETAIL_MASK) > 0.5).numpy()
    below_HW = skin_HW.copy()
    below_HW[: np.flatnonzero(forehead_HW.any(1))[-1] + 40] = False  # brows and the root of the nose move too
    assert raised_HW[forehead_HW].std() > 2 * rest_HW[forehead_HW].std()
    # F_d learnt beside an earlier head, on which the lines lay a texel lower. Smooth people's are faint.
    raised = max(raised_HW[np.roll(forehead_HW, row, 0)].std() for row in (0, 1))
    assert raised > (0.2e-3 if depth >= 0 else 0.1e-3)
    assert raised_HW[below_HW].std() == pytest.approx(rest_HW[below_HW].std(), rel=0.2)
    smooth_HW = skin_HW & (typical_CHW.sum(0) < 1e-6)
    assert smooth_HW.sum() > 5000 and rest_HW[smooth_HW].std() < 0.01e-3
    assert (rest_HW - rest_HW[:, ::-1])[skin_HW].std() / 2 < 0.05e-3


def test_deeper_wrinkles_by_the_first_component(head: HeadModel) -> None:
    skin_HW = (uv_mask(head, DETAIL_MASK) > 0.5).numpy()
    depths = [maps(head, depth)[0][skin_HW].std() for depth in (-1.0, 0.0, 1.5)]
    assert depths == sorted(depths) and depths[2] > 4 * depths[0]


def test_depth_is_read_from_the_photo(tmp_path: Path) -> None:
    """Of synthetic people that nothing was trained on: where E_d sees deeper wrinkles, there are deeper ones."""
    generate(tmp_path, subjects=16, images=2, seed=7_000_001, variety=0.35)
    encoder, network = load_checkpoint(asset("weights/openhead.safetensors")).detail_encoder, LandmarkNet().eval()
    seen, true = [], []
    for person in SyntheticSubjects(tmp_path):
        with torch.no_grad():
            landmarks_KL3 = torch.from_numpy(found_landmarks(person, network))
            seen += encoder(pictures(list(person.image_KHW3)), landmarks_KL3)[:, 0].tolist()
        true += [np.log(person.neutral_displacement_HW.std())] * len(person)
    assert np.corrcoef(seen, true)[0, 1] > 0.4
