"""An F_d that was trained with other people's detail codes, made to read those of these people.

Codes are principal components of the wrinkles of the people at hand (`data.synthetic.codes`): with other people, or on
another head, the same numbers mean something else. What they mean now is a linear map away from what F_d reads.

Shape suffixes: D detail code, X texels of the skin.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from deca.head import HeadModel
from deca.networks import MAP_SIZE, DetailDecoder
from deca.render.detail import DETAIL_MASK
from deca.render.uv import uv_mask
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.codes import subject_codes

_STEP = 0.5
"""Change of a code by which F_d's answer to it is measured."""
_RIDGE = 0.03
"""Of the strongest combination of F_d's codes, in squares: weak ones are hardly used. Of 24 people's maps this
explained most (0.68; 0.67 with a third of it; 0.28 with the codes unchanged)."""


@torch.no_grad()
def read_codes_of(decoder: DetailDecoder, subjects: SyntheticSubjects, head: HeadModel, length: int) -> None:
    """Changes the layer of F_d that reads codes, so that at rest it comes as near to the people's maps as it can.

    Args:
        decoder: F_d, trained on other people.
        subjects: The people.
        head: Their head model.
        length: Of the detail code.
    """
    decoder.eval()
    is_skin_HW = uv_mask(head, DETAIL_MASK, MAP_SIZE).numpy() > 0.5
    layer = decoder.l1[0]
    assert isinstance(layer, torch.nn.Linear)
    at_rest = layer.in_features - length

    def maps(detail_BD: torch.Tensor) -> NDArray[np.float64]:
        zero = torch.zeros(len(detail_BD), at_rest)
        rows = zip(*(codes_BX.split(16) for codes_BX in (detail_BD, zero[:, 3:], zero[:, :3])), strict=True)
        return torch.cat([decoder(*codes) for codes in rows])[:, 0].double().numpy()[:, is_skin_HW]

    nobody_1X, steps_DD = maps(torch.zeros(1, length)), _STEP * torch.eye(length)
    answers_DX = (maps(steps_DD) - maps(-steps_DD)) / (2 * _STEP)
    codes = subject_codes(subjects, length)
    codes_ND = np.stack([codes[path.stem] for path in subjects.paths]).astype(np.float64)
    mean_X, per_code_DX = np.zeros(answers_DX.shape[1]), np.zeros_like(answers_DX)
    for subject, code_D in zip(subjects, codes_ND, strict=True):
        map_X = subject.neutral_displacement_HW[is_skin_HW]
        mean_X += map_X / len(codes_ND)
        per_code_DX += code_D[:, None] * map_X
    # The components are uncorrelated: each can be looked at alone.
    per_code_DX /= np.maximum(np.square(codes_ND).sum(0), 1e-9)[:, None]
    square_DD = answers_DX @ answers_DX.T
    square_DD += _RIDGE * np.linalg.eigvalsh(square_DD)[-1] * np.eye(length)
    said = np.linalg.solve(square_DD, answers_DX @ np.concatenate((per_code_DX, mean_X - nobody_1X)).T).T
    weight_HD = layer.weight[:, at_rest:].double().numpy()
    layer.bias.add_(torch.from_numpy(weight_HD @ said[-1]).float())
    layer.weight[:, at_rest:] = torch.from_numpy(weight_HD @ said[:-1].T).float()
