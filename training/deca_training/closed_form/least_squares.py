"""E_d by least squares: what a linear map can tell of the detail code from the features of its backbone.

Beside an F_d that knows nothing, or from codes that a photo hardly shows, gradient descent silences E_d's hidden units
before it learns anything. This start cannot fail, and keeps only what holds for people it has not seen.

Shape suffixes: N photos, F features, D detail code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from deca.networks import DetailEncoder
from deca.networks.skin import SkinBackbone
from deca.vision.landmarks import LandmarkNet
from deca_training.data.dataset import pictures
from deca_training.data.synthetic import SyntheticSubjects
from deca_training.data.synthetic.codes import subject_codes
from deca_training.data.synthetic.seen import found_landmarks

_RIDGE = 3e-4
"""Of features of variance 1, per photo and feature."""
_SMALL = 1e-3
"""Features that vary less are nobody's."""
_HELD_OUT, _KNOWN = 10, 0.05
"""Every tenth person decides which components are kept: those of which this share of the variance is explained."""


@torch.no_grad()
def fit_detail_encoder(
    encoder: DetailEncoder, subjects: SyntheticSubjects, length: int, *, progress: bool = False
) -> list[float]:
    """Sets E_d's two layers so that they answer the estimate.

    Args:
        encoder: E_d, whose backbone stays, but for the statistics of a `SkinBackbone`.
        subjects: Synthetic people.
        length: Of the detail code.
        progress: Show a progress bar.

    Returns:
        The share of each component's variance (D,) that is explained for people held out; 0 for those left out.
    """
    encoder.eval()
    codes, network = subject_codes(subjects, length), LandmarkNet().eval()
    features, targets, is_held_out = [], [], []
    for number, subject in enumerate(tqdm(subjects, unit="subject", disable=not progress)):
        landmarks_KL3 = torch.from_numpy(found_landmarks(subject, network)) if encoder.reads_landmarks else None
        features.append(encoder.features(pictures(list(subject.image_KHW3)), landmarks_KL3).double().numpy())
        targets.append(np.tile(codes[subject.name], (len(subject), 1)))
        is_held_out += [number % _HELD_OUT == 0] * len(subject)
    features_NF = np.concatenate(features)
    if isinstance(encoder.encoder, SkinBackbone):
        features_NF = _standardised(encoder.encoder, features_NF)
    estimate = ridge(features_NF, np.concatenate(targets), np.array(is_held_out))
    _set_layers(encoder, estimate)
    return estimate.explained_D.tolist()


def _set_layers(encoder: DetailEncoder, estimate: Estimate) -> None:
    """Two ReLUs for each number x of the code: low + relu(x - low) - relu(x - high) keeps it within its limits."""
    hidden, last = encoder.layers[0], encoder.layers[-1]
    assert isinstance(hidden, nn.Linear) and isinstance(last, nn.Linear)
    weight_FD, bias_D, low_D, high_D = (torch.from_numpy(value).float() for value in estimate[:4])
    length = len(bias_D)
    for start, limit_D, sign in ((0, low_D, 1), (length, high_D, -1)):
        hidden.weight[start : start + length] = weight_FD.T
        hidden.bias[start : start + length] = bias_D - limit_D
        last.weight[:, start : start + length] = sign * torch.eye(length)
    last.weight[:, 2 * length :] = 0
    last.bias[:] = low_D


def _standardised(backbone: SkinBackbone, features_NF: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features with the backbone's statistics, which are set to theirs."""
    raw_NF = features_NF * backbone.spread_F.double().numpy() + backbone.usual_F.double().numpy()
    # What a file in half precision holds.
    backbone.usual_F.copy_(torch.from_numpy(raw_NF.mean(0)).half())
    backbone.spread_F.copy_(torch.from_numpy(raw_NF.std(0) + _SMALL).half())
    return (raw_NF - backbone.usual_F.double().numpy()) / backbone.spread_F.double().numpy()


class Estimate(NamedTuple):
    """A linear estimate of codes, kept within limits.

    Attributes:
        weight_FD, bias_D: Of the linear map; components left out are 0.
        low_D, high_D: Limits: the people's own.
        explained_D: Share of the variance that it explains for people held out.
    """

    weight_FD: NDArray[np.float64]
    bias_D: NDArray[np.float64]
    low_D: NDArray[np.float64]
    high_D: NDArray[np.float64]
    explained_D: NDArray[np.float64]


def ridge(
    features_NF: NDArray[np.float64], codes_ND: NDArray[np.floating], is_held_out_N: NDArray[np.bool_]
) -> Estimate:
    """Ridge regression of the codes on the features of the people who are not held out."""
    used_N = ~is_held_out_N
    mean_F, spread_F = features_NF[used_N].mean(0), features_NF[used_N].std(0) + 1e-6
    unit_NF, mean_D = (features_NF - mean_F) / spread_F, codes_ND[used_N].mean(0)
    fitted_NF = unit_NF[used_N]
    square_FF = fitted_NF.T @ fitted_NF / len(fitted_NF) + _RIDGE * len(mean_F) * np.eye(len(mean_F))
    weight_FD = np.linalg.solve(square_FF, fitted_NF.T @ (codes_ND[used_N] - mean_D) / len(fitted_NF))
    low_D, high_D = (limit(codes_ND[used_N], 0).astype(np.float64) for limit in (np.min, np.max))
    made_ND = np.clip(unit_NF[is_held_out_N] @ weight_FD + mean_D, low_D, high_D)
    error_ND = made_ND - codes_ND[is_held_out_N]
    spread_D = np.square(codes_ND[is_held_out_N] - mean_D).sum(0)
    explained_D = 1 - np.square(error_ND).sum(0) / np.maximum(spread_D, 1e-12)
    kept_D = (explained_D > _KNOWN).astype(np.float64)
    weight_FD = weight_FD / spread_F[:, None] * kept_D
    bias_D = kept_D * mean_D - mean_F @ weight_FD
    return Estimate(weight_FD, bias_D, low_D, high_D, np.where(kept_D > 0, explained_D, 0.0))
